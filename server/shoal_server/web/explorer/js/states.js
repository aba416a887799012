/** What stands where there is nothing to see: not yet, not here, or because something went wrong. */

import { h } from "./dom.js";

/** Something is being fetched. */
export const busyState = (text = "Loading…") => h("div", { class: "busy", role: "status" }, text);

/**
 * There is nothing, and this is what to do.
 *
 * @param {object} state
 * @param {string} state.title
 * @param {string|Node} [state.text]
 * @param {Node[]|false} [state.actions] links and buttons
 * @param {string|false} [state.command] for the command line
 */
export function emptyState({ title, text = "", actions = [], command = "" }) {
  return h(
    "div",
    { class: "state" },
    h("h2", {}, title),
    text && h("p", {}, text),
    actions && actions.length > 0 && h("div", { class: "row" }, actions),
    command && h("p", {}, "Or on the command line: ", h("code", {}, command)),
  );
}

/**
 * Something went wrong.
 *
 * @param {Error} error
 * @param {() => void} [retry]
 */
export function errorState(error, retry) {
  if (error.name !== "ApiError") console.error(error);
  return h(
    "div",
    { class: "state error", role: "alert" },
    h("h2", {}, "That did not work"),
    h("p", {}, error.message || String(error)),
    error.advice && h("p", {}, error.advice),
    retry && h("button", { type: "button", on: { click: retry } }, "Try again"),
  );
}
