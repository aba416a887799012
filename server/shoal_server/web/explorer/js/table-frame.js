/** A frame that a wide table scrolls in, also from the keyboard. */

import { h } from "./dom.js";

/**
 * @param {string} label of the table, for screen readers
 * @param {HTMLTableElement} table with nothing in it that has the focus
 */
export const tableFrame = (label, table) =>
  h("div", { class: "table-frame", role: "region", tabindex: "0", "aria-label": label }, table);
