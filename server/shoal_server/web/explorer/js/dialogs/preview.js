/** What a correction would change, as the server says: which images go where, and how large the clusters are then. */

import { h } from "../dom.js";
import { count, number } from "../format.js";
import { tableFrame } from "../table-frame.js";

/** Images of a flow that are shown. */
const SHOWN = 8;
/** Flows that are shown. */
const FLOWS = 12;

/**
 * @param {object} preview as the API gives it
 * @param {import("../thumbnails.js").Thumbnails} thumbnails
 * @param {string} [remark] what else there is to know
 * @returns {Node[]}
 */
export function previewOf(preview, thumbnails, remark = "") {
  if (preview.kind === "split" && preview.image_count > 0) return [partsOf(preview, thumbnails), h("p", { class: "muted" }, remark)];
  const rest = preview.flows.slice(FLOWS).reduce((sum, flow) => sum + flow.image_count, 0);
  return [
    h(
      "h3",
      {},
      preview.image_count
        ? `${count(preview.image_count, "image")} ${preview.image_count === 1 ? "goes" : "go"} elsewhere`
        : "No image goes elsewhere",
    ),
    preview.flows.length > 0 && h(
      "ul",
      { class: "flows" },
      preview.flows.slice(0, FLOWS).map((flow) => flowOf(flow, thumbnails)),
    ),
    rest > 0 && h("p", { class: "muted" }, `and ${count(rest, "image")} in smaller groups`),
    preview.clusters.length > 0 && sizesOf(preview.clusters),
    remark && h("p", { class: "muted" }, remark),
  ];
}

/** A cluster's name in a sentence. */
export function named(id, name) {
  if (id === null || id === undefined) return "no cluster";
  return name ? `“${name}”` : `cluster ${id}`;
}

/** What a cluster falls into. */
function partsOf({ clusters }, thumbnails) {
  return [
    h("h3", {}, `${count(clusters.length, "part")}`),
    h(
      "ul",
      { class: "flows" },
      clusters.map((each) =>
        h(
          "li",
          {},
          h(
            "p",
            {},
            h("strong", { class: "numeric" }, number(each.size_after)),
            ` ${each.size_after === 1 ? "image" : "images"} `,
            each.size_before ? ["stay in ", named(each.id, each.display_name)] : `in a new cluster (id ${each.id})`,
          ),
          h(
            "div",
            { class: "strip" },
            each.images.slice(0, SHOWN).map((id) => thumbnails.element(id)),
            each.size_after > SHOWN && h("span", { class: "muted numeric" }, `+${number(each.size_after - SHOWN)}`),
          ),
        ),
      ),
    ),
  ];
}

function flowOf(flow, thumbnails) {
  const left = flow.image_count - Math.min(SHOWN, flow.images.length);
  return h(
    "li",
    {},
    h(
      "p",
      {},
      h("strong", { class: "numeric" }, number(flow.image_count)),
      " from ",
      named(flow.from, flow.from_display_name),
      " to ",
      flow.to !== null && !flow.to_display_name ? `a new cluster (id ${flow.to})` : named(flow.to, flow.to_display_name),
    ),
    flow.images.length > 0 &&
      h(
        "div",
        { class: "strip" },
        flow.images.slice(0, SHOWN).map((id) => thumbnails.element(id)),
        left > 0 && h("span", { class: "muted numeric" }, `+${number(left)}`),
      ),
  );
}

function sizesOf(clusters) {
  return tableFrame(
    "Images in each cluster",
    h(
      "table",
      { class: "sizes" },
      h("caption", { class: "visually-hidden" }, "Images in each cluster now and afterwards"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "Cluster"),
          h("th", { scope: "col", class: "numeric" }, "Now"),
          h("th", { scope: "col", class: "numeric" }, "Then"),
        ),
      ),
      h(
        "tbody",
        {},
        clusters.map((each) =>
          h(
            "tr",
            {},
            h(
              "th",
              { scope: "row" },
              each.display_name || `New cluster ${each.id}`,
              h("span", { class: "muted" }, ` id ${each.id}`),
            ),
            h("td", { class: "numeric" }, each.size_before ? number(each.size_before) : h("span", { class: "muted" }, "—")),
            h(
              "td",
              { class: "numeric" },
              each.size_after ? number(each.size_after) : h("span", { class: "badge warning" }, "gone"),
            ),
          ),
        ),
      ),
    ),
  );
}
