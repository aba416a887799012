/** The bar that says what is selected and what can be done with it. */

import { h, fill } from "./dom.js";
import { announce, fail } from "./live.js";
import { count } from "./format.js";
import { SELECTION_ACTIONS } from "./selection-actions.js";

/**
 * Keeps the bar in step with the selection.
 *
 * @param {HTMLElement} bar
 * @param {import("./selection.js").Selection} selection
 * @param {() => import("./main.js").ViewContext} context of the view that is open
 */
export function showSelection(bar, selection, context) {
  selection.addEventListener("change", () => {
    const was = bar.hidden;
    bar.hidden = selection.size === 0;
    document.body.classList.toggle("selecting", !bar.hidden);
    if (bar.hidden) {
      if (!was) announce("Nothing is selected");
      return;
    }
    const said = `${count(selection.size, "image")} selected`;
    announce(said);
    const text = bar.querySelector("p");
    // The buttons stay the same, so that one with the focus keeps it.
    if (text) text.textContent = said;
    else fill(
      bar,
      h("p", {}, said),
      SELECTION_ACTIONS.filter((action) => !action.changes || context().mayChange).map((action) =>
        button(action, selection, context),
      ),
      clear(selection),
    );
  });
}

function button({ label, load }, selection, context) {
  const run = async () => {
    try {
      const module = await load();
      await module.open(context(), [...selection.ids]);
    } catch (error) {
      fail(error);
    }
  };
  return h("button", { type: "button", class: "small", on: { click: run } }, label);
}

function clear(selection) {
  const run = () => {
    selection.clear();
    document.getElementById("main").focus();
  };
  return h("button", { type: "button", class: "small quiet", on: { click: run } }, "Clear");
}
