/** Corrections: what each would change is shown before a person says that it shall. */

import { author } from "../author.js";
import { openDialog } from "../dialog.js";
import { fill, h } from "../dom.js";
import { announce, fail, toast } from "../live.js";
import { previewOf } from "./preview.js";

/** Milliseconds without another keystroke before the server is asked. */
const PAUSE = 250;

let lastToast = null;

/**
 * A request that corrects.
 *
 * @typedef {object} Request
 * @property {"post"|"patch"} [method]
 * @property {string|Array} parts of the path
 * @property {object} [body] without author and validate_only
 */

/**
 * Opens a dialog that shows what a correction would change, and does it when it is confirmed.
 *
 * @param {import("../main.js").ViewContext} context
 * @param {object} options
 * @param {string} options.title
 * @param {Node[]} [options.fields] that a person fills in; the preview follows them
 * @param {() => Request|null} options.request what would be done now; null: something is not filled in yet
 * @param {string} options.confirm
 * @param {string} options.said when it is done
 * @param {string} [options.waiting] while the preview is made
 * @param {string} [options.incomplete] in place of a preview while `request` is null
 * @param {string} [options.remark] under the preview
 * @param {boolean} [options.danger]
 * @param {boolean} [options.wide]
 * @param {boolean} [options.final] it cannot be taken back itself
 * @returns {Promise<object|null>} the server's answer; null if nothing was done
 */
export async function correct(
  context,
  {
    title,
    fields = [],
    request,
    confirm,
    said,
    waiting = "Looking at what would change…",
    incomplete = "",
    remark = "",
    danger = false,
    wide = false,
    final = false,
  },
) {
  const preview = h("section", { class: "preview", "aria-label": "What will change", "aria-live": "polite" });
  const closed = new AbortController();
  let looking = null;
  let looked = "";
  let timer = 0;

  async function look(dialog, button) {
    looking?.abort();
    const wanted = request();
    looked = JSON.stringify(wanted);
    button.disabled = true;
    if (wanted === null) return fill(preview, incomplete && h("p", { class: "muted" }, incomplete));
    const mine = (looking = new AbortController());
    preview.setAttribute("aria-busy", "true");
    fill(preview, h("p", { class: "muted waiting" }, waiting));
    try {
      const answer = await send(context, wanted, true, AbortSignal.any([mine.signal, closed.signal]));
      fill(preview, previewOf(answer.preview, context.thumbnails, remark));
      button.disabled = false;
      // A button that is disabled loses the focus.
      if (!dialog.contains(document.activeElement) || document.activeElement === dialog) button.focus();
    } catch (error) {
      if (mine.signal.aborted || closed.signal.aborted) return;
      fill(preview, h("p", { class: "field-error" }, [error.message, error.advice].filter(Boolean).join(" ")));
    }
    preview.removeAttribute("aria-busy");
  }

  const answer = await openDialog({
    title,
    body: [...fields, preview],
    confirm,
    danger,
    wide,
    submit: () => send(context, request(), false),
    opened(dialog, button) {
      const soon = () => {
        // A field that loses the focus to the button tells once more of a change that was shown already.
        if (JSON.stringify(request()) === looked) return;
        button.disabled = true;
        clearTimeout(timer);
        timer = setTimeout(() => look(dialog, button), PAUSE);
      };
      dialog.addEventListener("input", soon);
      dialog.addEventListener("change", soon);
      dialog.addEventListener("close", () => closed.abort());
      look(dialog, button);
    },
  });
  clearTimeout(timer);
  closed.abort();
  if (answer) await corrected(context, said, final ? null : answer.correction);
  return answer;
}

/** Sends a correction, or asks what it would do. */
export function send(context, { method = "post", parts, body = {} }, validateOnly, signal) {
  const said = validateOnly ? { ...body, validate_only: true } : body;
  return context.api[method](parts, { ...said, author: author() }, { signal });
}

/** Says that something was corrected, offers to take it back, and shows what there is now. */
export async function corrected(context, said, correction) {
  lastToast?.();
  const undo = async () => {
    const { undoCorrection } = await import("./undo.js");
    undoCorrection(context, correction).catch(fail);
  };
  lastToast = toast(said, correction ? { action: { label: "Undo", run: undo } } : {});
  announce(said);
  // The message may have stayed longer than its view: then it is the one that is open now that is to be told.
  if (context.signal.aborted) window.dispatchEvent(new Event("hashchange"));
  else await (context.changed ?? context.reload)();
}
