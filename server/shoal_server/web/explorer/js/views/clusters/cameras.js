/** Which cameras and lenses a cluster's images were taken with. */

import { h } from "../../dom.js";
import { number, percent } from "../../format.js";

/** Values of each that are shown. */
const SHOWN = 6;

/** @param {object} where the filter that lets the images through */
export async function camerasOf(context, where) {
  const { facets, total } = await context.api.post(
    "images:facet",
    { fields: ["camera", "lens"], where, limit: SHOWN },
    { signal: context.signal },
  );
  const [cameras, lenses] = facets;
  if (cameras.counts.length === 0 && lenses.counts.length === 0) {
    return h("p", { class: "muted" }, "None of its files says what camera took it.");
  }
  const link = (field) => (value) => context.link({
    view: "search",
    params: { where: JSON.stringify({ ...where, [field]: [value] }) },
  });
  return [
    listOf("Camera", cameras, total, link("camera_models")),
    lenses.counts.length > 0 && listOf("Lens", lenses, total, link("lenses")),
  ].filter(Boolean);
}

function listOf(title, facet, total, link) {
  const rows = facet.counts.map((each) => barOf(h("a", { href: link(each.value) }, each.display_name), each.count, total));
  return h(
    "div",
    { class: "bars" },
    h("h3", {}, title),
    h("ul", {}, rows, facet.without > 0 && barOf("Not known", facet.without, total, "unknown")),
  );
}

function barOf(name, images, total, style = "") {
  return h(
    "li",
    { class: style },
    h("span", { class: "bar-name" }, name),
    h("span", { class: "numeric muted", title: percent(images / total) }, number(images)),
    h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { width: `${(100 * images) / total}%` } })),
  );
}
