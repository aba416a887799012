/** What differs between two runs. */

import { named } from "../../dialogs/preview.js";
import { h } from "../../dom.js";
import { count, number, percent } from "../../format.js";
import { tableFrame } from "../../table-frame.js";

/**
 * @param {object} compared as the API gives it
 * @param {object} [options]
 * @param {number} [options.flows] that are shown at most
 */
export function comparisonOf(context, compared, { flows = 100 } = {}) {
  const { same_count: same, moved_count: moved, added_count: added, removed_count: removed } = compared;
  const figure = (value, text, style = "") => h(
    "div",
    { class: `figure ${style}` },
    h("dt", {}, text),
    h("dd", { class: "numeric" }, number(value)),
  );
  const most = Math.max(1, ...compared.flows.map((flow) => flow.image_count));
  const rest = compared.flows.slice(flows);
  return h(
    "div",
    { class: "stack comparison" },
    h(
      "p",
      { class: "verdict" },
      moved === 0 ? "No image moved." : `${count(moved, "image")} of ${number(same + moved)} moved (${percent(moved / (same + moved))}).`,
    ),
    h(
      "dl",
      { class: "figures" },
      figure(same, "stay where they are"),
      figure(moved, "move", "strong"),
      figure(added, "only in the second"),
      figure(removed, "only in the first"),
      figure(compared.new_clusters.length, "new clusters"),
      figure(compared.gone_clusters.length, "clusters gone"),
    ),
    compared.flows.length > 0 &&
      tableFrame(
        "What moved where",
        h(
          "table",
          { class: "flows-table" },
          h("caption", { class: "visually-hidden" }, "What moved where, most first"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, "From"),
              h("th", { scope: "col" }, "To"),
              h("th", { scope: "col", class: "numeric" }, "Images"),
            ),
          ),
          h("tbody", {}, compared.flows.slice(0, flows).map((flow) => rowOf(flow, most, compared))),
        ),
      ),
    rest.length > 0 && h(
      "p",
      { class: "muted" },
      `and ${count(rest.reduce((sum, flow) => sum + flow.image_count, 0), "image")} in ${count(rest.length, "smaller flow")}`,
    ),
  );
}

function rowOf(flow, most, compared) {
  const gone = compared.gone_clusters.includes(flow.from);
  const fresh = compared.new_clusters.includes(flow.to);
  return h(
    "tr",
    {},
    h("td", {}, named(flow.from, flow.from_display_name), gone && [" ", h("span", { class: "badge warning" }, "gone")]),
    h("td", {}, named(flow.to, flow.to_display_name), fresh && [" ", h("span", { class: "badge good" }, "new")]),
    h(
      "td",
      { class: "numeric" },
      number(flow.image_count),
      h(
        "span",
        { class: "bar", "aria-hidden": "true" },
        h("span", { style: { width: `${(100 * flow.image_count) / most}%` } }),
      ),
    ),
  );
}
