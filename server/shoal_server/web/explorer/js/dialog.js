/** Dialogs, by the browser's own element: it keeps the focus inside, gives it back, and closes with Escape. */

import { h, fill } from "./dom.js";
import { ApiError } from "./api-error.js";

let dialogs = 0;

/**
 * Opens a dialog and waits until it is closed.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {Array<Node|string>} options.body the first field or button in it has the focus
 * @param {string} [options.confirm] of the button that does it; without, there is only a button to close
 * @param {boolean} [options.danger] what it does cannot be undone
 * @param {boolean} [options.wide]
 * @param {(form: HTMLFormElement) => Promise<*>|*} [options.submit] does it; throws ApiError: shown in the dialog,
 *   which stays. What it returns, `openDialog` returns
 * @param {(dialog: HTMLDialogElement, confirm: HTMLButtonElement|null) => void} [options.opened] to load what comes
 *   later
 * @returns {Promise<*>} what `submit` returned; null if a person closed it
 */
export function openDialog(options) {
  const { title, body, confirm = "", danger = false, wide = false, submit = () => true, opened = null } = options;
  return new Promise((resolve) => {
    const id = `dialog-${++dialogs}`;
    let result = null;
    const problem = h("div", { class: "field-error", role: "alert" });
    const doing = confirm && h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm);
    const form = h(
      "form",
      { class: "dialog-form" },
      h(
        "div",
        { class: "dialog-head" },
        h("h2", { id }, title),
        h(
          "button",
          { type: "button", class: "quiet", "aria-label": "Close", on: { click: () => dialog.close() } },
          "×",
        ),
      ),
      h("div", { class: "dialog-body" }, body, problem),
      h(
        "div",
        { class: "dialog-actions" },
        h("button", { type: "button", on: { click: () => dialog.close() } }, confirm ? "Cancel" : "Close"),
        doing,
      ),
    );
    const dialog = h("dialog", { class: wide ? "wide" : null, "aria-labelledby": id }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (doing) doing.disabled = true;
      fill(problem);
      try {
        result = (await submit(form)) ?? true;
        dialog.close();
      } catch (error) {
        if (!(error instanceof ApiError)) console.error(error);
        fill(problem, [error.message, error.advice].filter(Boolean).join(" "));
      } finally {
        if (doing) doing.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    const first = dialog.querySelector(".dialog-body :is(input, select, textarea, button, a[href])") ?? doing;
    first?.focus();
    first?.select?.();
    opened?.(dialog, doing || null);
  });
}
