/** Taking a correction back. */

import { KINDS } from "../correction-words.js";
import { correct } from "./correction.js";

/** @param {object} correction as the API gives it */
export function undoCorrection(context, correction) {
  return correct(context, {
    title: `Undo: ${KINDS[correction.kind] ?? correction.kind} ${correction.detail}`.trim(),
    request: () => ({ parts: ["corrections", `${correction.id}:undo`] }),
    confirm: "Undo it",
    said: "Taken back",
    remark: "Names and pins become what they were. Images that were put elsewhere since stay where they are.",
    final: true,
  });
}
