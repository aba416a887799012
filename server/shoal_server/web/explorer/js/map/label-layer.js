/** Names of clusters over the map: as many as fit, the largest clusters' first. */

import { h } from "../dom.js";

const AT_MOST = 60;
/** CSS pixels around a name that no other may touch. */
const GAP = 6;
const LINE = 20;
const WIDEST = 190;
/** Up to so many pixels from its middle to its upper edge, a cluster has its name above it, and else in it. */
const LOW = 60;
/** Lines by which a name may be moved where another has its place. */
const NUDGES = [0, -1, 1];

export class LabelLayer {
  /** @param {HTMLElement} host */
  constructor(host) {
    // Hidden from screen readers: the list of clusters beside the map says the same in order.
    this.layer = h("div", { class: "map-labels", "aria-hidden": "true" });
    host.append(this.layer);
    this.pen = document.createElement("canvas").getContext("2d");
    this.widths = new Map();
    this.labels = [];
    this.elements = new Map();
  }

  /** @param {Array<{id: number, text: string, x: number, y: number, reach: number}>} labels the most important first;
   *    `reach` is from there to the upper edge */
  show(labels) {
    this.labels = labels;
  }

  /** Chooses which names are seen, and puts them in their places. */
  place(camera, focus = null) {
    const taken = [];
    const shown = new Map();
    const first = focus === null ? [] : this.labels.filter(({ id }) => id === focus);
    for (const label of [...first, ...this.labels]) {
      if (shown.size >= AT_MOST) break;
      if (shown.has(label.id)) continue;
      const isFree = (box) => isSeen(box, camera) && !taken.some((other) => overlap(box, other));
      const box = NUDGES.map((lines) => this.boxOf(label, camera, lines)).find(isFree);
      if (!box) continue;
      taken.push(box);
      shown.set(label.id, { label, box });
    }
    for (const [id, element] of this.elements) {
      if (shown.has(id)) continue;
      element.remove();
      this.elements.delete(id);
    }
    for (const [id, { label, box }] of shown) {
      this.elementOf(id, label).style.transform = `translate(${box.left}px, ${box.top}px)`;
    }
    for (const [id, element] of this.elements) element.classList.toggle("focus", id === focus);
    this.placedAt = { x: camera.x, y: camera.y, scale: camera.scale };
    this.layer.style.transform = "";
  }

  /** Follows the camera until the names are placed anew; false if it cannot, because the camera has zoomed. */
  follow(camera) {
    if (!this.placedAt || this.placedAt.scale !== camera.scale) return false;
    const right = (this.placedAt.x - camera.x) * camera.scale;
    const down = (camera.y - this.placedAt.y) * camera.scale;
    this.layer.style.transform = `translate(${right}px, ${down}px)`;
    return true;
  }

  elementOf(id, label) {
    let element = this.elements.get(id);
    if (!element) {
      element = h("span", { class: "map-label" });
      this.layer.append(element);
      this.elements.set(id, element);
    }
    if (element.textContent !== label.text) element.textContent = label.text;
    return element;
  }

  boxOf({ text, x, y, reach }, camera, lines) {
    const width = Math.min(WIDEST, this.widthOf(text)) + 2;
    const [middle, within] = camera.toScreen(x, y);
    const up = reach * camera.scale;
    const centre = up > LOW ? within : within - up - LINE / 2 - GAP;
    const [left, top] = [Math.round(middle - width / 2), Math.round(centre - LINE / 2 + lines * (LINE + GAP / 2))];
    return { left, top, right: left + width, bottom: top + LINE };
  }

  widthOf(text) {
    if (!this.widths.has(text)) {
      const style = getComputedStyle(this.layer);
      this.pen.font = `600 13px ${style.fontFamily}`;
      this.widths.set(text, Math.ceil(this.pen.measureText(text).width));
    }
    return this.widths.get(text);
  }
}

const isSeen = (box, camera) => box.right > 0 && box.left < camera.width && box.bottom > 0 && box.top < camera.height;

function overlap(one, other) {
  const beside = one.right + GAP < other.left || other.right + GAP < one.left;
  return !beside && !(one.bottom + 1 < other.top || other.bottom + 1 < one.top);
}
