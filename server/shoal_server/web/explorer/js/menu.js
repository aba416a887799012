/** A button that opens a list of things to do, after the menu button pattern of the ARIA authoring practices. */

import { h } from "./dom.js";

let menus = 0;

/**
 * Makes the button with its menu.
 *
 * @param {object} options
 * @param {string} options.label of the button, for screen readers
 * @param {Array<{label: string, run: () => void, hint?: string, danger?: boolean}>} options.items in order; `hint` is a
 *   key that does the same
 * @param {string} [options.text] what the button shows
 * @param {string} [options.class] of the button
 * @returns {HTMLElement}
 */
export function menuButton({ label, items, text = "⋯", class: style = "small" }) {
  const id = `menu-${++menus}`;
  const button = h(
    "button",
    {
      type: "button",
      class: style,
      "aria-label": label,
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-controls": id,
    },
    text,
  );
  const entries = items.map((item) =>
    h(
      "button",
      {
        type: "button",
        role: "menuitem",
        tabindex: "-1",
        class: item.danger ? "danger-text" : null,
        on: { click: () => (close(true), item.run()) },
      },
      h("span", {}, item.label),
      item.hint && h("kbd", { "aria-hidden": "true" }, item.hint),
    ),
  );
  const list = h("div", { id, class: "menu-list", role: "menu", "aria-label": label, popover: "manual" }, entries);
  const root = h("div", { class: "menu" }, button, list);

  const isOpen = () => button.getAttribute("aria-expanded") === "true";
  function open(at) {
    button.setAttribute("aria-expanded", "true");
    list.showPopover();
    place(button, list);
    entries.at(at).focus();
    document.addEventListener("pointerdown", outside, true);
    window.addEventListener("scroll", away, true);
  }
  function close(focus) {
    if (!isOpen()) return;
    button.setAttribute("aria-expanded", "false");
    list.hidePopover();
    document.removeEventListener("pointerdown", outside, true);
    window.removeEventListener("scroll", away, true);
    if (focus) button.focus();
  }
  const outside = (event) => root.contains(event.target) || close(false);
  const away = () => close(false);

  button.addEventListener("click", () => (isOpen() ? close(true) : open(0)));
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    open(event.key === "ArrowDown" ? 0 : -1);
  });
  list.addEventListener("keydown", (event) => {
    const now = entries.indexOf(document.activeElement);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) entries.at(to % entries.length).focus();
    else if (event.key === "Escape") close(true);
    else if (event.key === "Tab") return close(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return root;
}

/** Puts the list below its button, or above where there is no room, within the window. */
function place(button, list) {
  const at = button.getBoundingClientRect();
  const { width, height } = list.getBoundingClientRect();
  const below = at.bottom + 4 + height <= innerHeight;
  list.style.setProperty("left", `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`);
  list.style.setProperty("top", `${below ? at.bottom + 4 : Math.max(8, at.top - height - 4)}px`);
}
