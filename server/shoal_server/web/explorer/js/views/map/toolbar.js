/** The buttons on the map. */

import { h } from "../../dom.js";

/**
 * @param {import("../../map/scatter-map.js").ScatterMap} map
 * @param {() => void} selectInView
 */
export function mapTools(map, selectInView) {
  const tools = [
    ["pan", "Move", "Drag moves the map"],
    ["lasso", "Lasso", "Drag draws a line around what to select"],
  ].map(([tool, label, title]) =>
    h(
      "button",
      {
        type: "button",
        class: "small",
        title,
        "aria-pressed": String(tool === "pan"),
        dataset: { tool },
        on: { click: () => choose(tool) },
      },
      label,
    ),
  );
  const choose = (tool) => {
    map.setTool(tool);
    for (const button of tools) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  };
  const zoom = (factor) => map.zoomBy(factor);
  const button = (label, title, click) => h(
    "button",
    { type: "button", class: "small", title, "aria-label": title, on: { click } },
    label,
  );
  return h(
    "div",
    { class: "map-tools", role: "toolbar", "aria-label": "Map tools" },
    h("div", { class: "button-group" }, tools),
    h(
      "div",
      { class: "button-group" },
      button("+", "Zoom in", () => zoom(1.6)),
      button("−", "Zoom out", () => zoom(1 / 1.6)),
      button("Fit", "Show everything", () => map.fit()),
    ),
    h(
      "button",
      {
        type: "button",
        class: "small",
        title: "Select every image that is on the screen now",
        on: { click: selectInView },
      },
      "Select in view",
    ),
  );
}
