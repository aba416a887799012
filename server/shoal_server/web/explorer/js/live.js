/** Telling people what happened: in a corner of the page, and to screen readers. */

import { h } from "./dom.js";

/** How long a message stays, in milliseconds; errors and those with something to do stay until they are closed. */
const STAYS = 6000;

/** Says something to screen readers alone. */
export function announce(text) {
  const region = document.getElementById("announcements");
  region.textContent = "";
  // A change of text is read; the same text again would not be.
  setTimeout(() => (region.textContent = text), 50);
}

/**
 * Shows a short message.
 *
 * @param {string} text what happened
 * @param {object} [options]
 * @param {"info"|"error"} [options.kind]
 * @param {string} [options.detail] what to do
 * @param {{label: string, run: () => void}} [options.action] a button, such as Undo
 */
export function toast(text, { kind = "info", detail = "", action = null } = {}) {
  const close = () => element.remove();
  const element = h(
    "div",
    { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status" },
    h("div", {}, h("p", {}, text), detail && h("p", { class: "muted" }, detail)),
    action && h(
      "button",
      { type: "button", class: "small", on: { click: () => (close(), action.run()) } },
      action.label,
    ),
    h("button", { type: "button", class: "quiet", "aria-label": "Close message", on: { click: close } }, "×"),
  );
  document.getElementById("toasts").append(element);
  if (kind !== "error" && !action) setTimeout(close, STAYS);
  return close;
}

/** Shows what went wrong with something that a person did; a request that was given up is nothing wrong. */
export function fail(error) {
  if (error.name === "AbortError") return;
  if (error.name !== "ApiError") console.error(error);
  toast(error.message || String(error), { kind: "error", detail: error.advice ?? "" });
}
