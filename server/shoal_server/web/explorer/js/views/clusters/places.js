/** Where images were taken: their positions on a map that is drawn here, without asking anybody for its tiles. */

import { h } from "../../dom.js";
import { count, number } from "../../format.js";
import { GeoMap } from "./geo-map.js";

/** Positions that are asked for. */
const LIMIT = 5000;
/** Places that are listed. */
const LISTED = 5;

/** @param {object} where the filter that lets the images through */
export async function placesOf(context, where) {
  const [{ locations, total }, { facets }] = await Promise.all([
    context.api.post("images:locations", { where, limit: LIMIT }, { signal: context.signal }),
    context.api.post("images:facet", { fields: ["place"], where, limit: LISTED }, { signal: context.signal }),
  ]);
  if (locations.length === 0) return h("p", { class: "muted" }, "None of its files says where it was taken.");
  const map = new GeoMap(locations, context.signal);
  const [places] = facets;
  return [
    map.element,
    total > locations.length && h(
      "p",
      { class: "muted" },
      `${number(locations.length)} of ${count(total, "position")} are drawn.`,
    ),
    places.counts.length > 0 &&
      h(
        "ul",
        { class: "places" },
        places.counts.map((each) =>
          h(
            "li",
            {},
            h(
              "a",
              {
                href: context.link({
                  view: "search",
                  params: { where: JSON.stringify({ ...where, places: [each.value] }) },
                }),
              },
              each.display_name,
            ),
            h("span", { class: "muted numeric" }, count(each.count, "image")),
          ),
        ),
      ),
  ];
}
