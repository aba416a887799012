/** A photo's card on the map: under the pointer a small one, after a click one with what can be done. */

import { imageName } from "../../cards.js";
import { fill, h } from "../../dom.js";
import { dateTime } from "../../format.js";

/** Milliseconds that a pointer stays before the server is asked for the file's name. */
const PAUSE = 130;
const KEPT = 300;

export class PhotoCard {
  /**
   * @param {HTMLElement} host
   * @param {import("../../main.js").ViewContext} context
   * @param {(row: number) => {id: string, cluster: string, clusterId: number, left: number, top: number, width: number,
   *   height: number}} describe a row: its image's id, cluster, place on the map and the map's size
   */
  constructor(host, context, describe) {
    this.context = context;
    this.describe = describe;
    this.element = h("div", { class: "map-card", hidden: true });
    this.images = new Map();
    this.row = -1;
    this.pinned = false;
    host.append(this.element);
  }

  /** Shows what is below the pointer; -1: nothing is. */
  hover(row) {
    if (this.pinned || row === this.row) return;
    this.row = row;
    clearTimeout(this.pausing);
    if (row < 0) {
      this.element.hidden = true;
      return;
    }
    this.fill(row, null);
    this.pausing = setTimeout(() => this.load(row), PAUSE);
  }

  /** Shows a photo until it is closed, and puts the focus on it. */
  async pin(row) {
    this.close();
    if (row < 0) return;
    this.pinned = true;
    this.row = row;
    this.fill(row, null);
    this.element.querySelector("a")?.focus();
    await this.load(row);
  }

  close() {
    const focused = this.element.contains(document.activeElement);
    this.pinned = false;
    this.row = -1;
    this.element.hidden = true;
    if (focused) this.element.parentElement.querySelector(".map-surface")?.focus();
  }

  async load(row) {
    const { id } = this.describe(row);
    try {
      if (!this.images.has(id)) {
        if (this.images.size > KEPT) this.images.clear();
        this.images.set(id, await this.context.api.get(["images", id], {}, { signal: this.context.signal }));
      }
      if (this.row === row) this.fillText(row, this.images.get(id));
    } catch (error) {
      if (this.row === row && error.name !== "AbortError") fill(this.name, error.message);
    }
  }

  fill(row, image) {
    const { id } = this.describe(row);
    this.name = h("p", { class: "map-card-name" });
    this.text = h("div", { class: "map-card-text" });
    const picture = this.context.thumbnails.element(id, { contain: true });
    fill(this.element, picture, this.text);
    this.element.classList.toggle("pinned", this.pinned);
    if (this.pinned) {
      this.element.setAttribute("role", "dialog");
      this.element.setAttribute("aria-label", "Photo");
    } else {
      this.element.removeAttribute("role");
    }
    this.element.hidden = false;
    this.fillText(row, image);
    this.place(row);
  }

  fillText(row, image) {
    const { id, cluster, clusterId } = this.describe(row);
    const { link, selection } = this.context;
    const taken = dateTime(image?.metadata.captured_at ?? "");
    const focused = this.text.contains(document.activeElement);
    fill(
      this.text,
      h("p", { class: "map-card-name" }, image ? imageName(image) : " "),
      h("p", { class: "muted" }, [cluster, taken].filter(Boolean).join(" · ")),
      this.pinned &&
        h(
          "div",
          { class: "row" },
          h("a", { class: "button small primary", href: link({ view: "image", path: [id] }) }, "Open"),
          clusterId >= 0 && h(
            "a",
            { class: "button small", href: link({ view: "clusters", path: [clusterId] }) },
            "Its cluster",
          ),
          h(
            "button",
            { type: "button", class: "small", on: { click: () => selection.toggle([id], !selection.has(id)) } },
            "Select",
          ),
          h("button", { type: "button", class: "small quiet", on: { click: () => this.close() } }, "Close"),
        ),
    );
    this.name = this.text.firstChild;
    if (focused) this.text.querySelector("a")?.focus();
  }

  /** Goes where its point has gone. */
  follow() {
    if (this.row >= 0) this.place(this.row);
  }

  /** Beside its point, where there is room. */
  place(row) {
    const { left, top, width, height } = this.describe(row);
    const box = this.element.getBoundingClientRect();
    const beside = left + 16 + box.width < width ? left + 16 : Math.max(8, left - 16 - box.width);
    const below = Math.min(Math.max(8, top - box.height / 2), Math.max(8, height - box.height - 8));
    this.element.style.transform = `translate(${Math.round(beside)}px, ${Math.round(below)}px)`;
  }
}
