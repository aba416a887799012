/** The photos themselves, where the map is near enough for them to have room. */

import { h } from "../dom.js";

/** With more points than this in view there is no room to look at single photos. */
const SPARSE = 500;
const AT_MOST = 70;
const SIDE = 64;

export class PhotoLayer {
  /**
   * @param {HTMLElement} host
   * @param {(row: number) => Promise<string|null>} thumbnail an address of a row's picture
   * @param {(row: number) => boolean} hasThumbnail
   */
  constructor(host, thumbnail, hasThumbnail) {
    this.layer = h("div", { class: "map-photos", "aria-hidden": "true" });
    this.thumbnail = thumbnail;
    this.hasThumbnail = hasThumbnail;
    this.elements = new Map();
    host.append(this.layer);
  }

  /** Chooses which photos are seen; `inView` gives rows in view, at most so many. */
  choose(camera, points, inView) {
    const rows = inView(SPARSE + 1);
    const taken = [];
    const chosen = new Set();
    for (const row of rows.length > SPARSE ? [] : this.keptFirst(rows.filter(this.hasThumbnail))) {
      const [left, top] = camera.toScreen(points.x[row], points.y[row]);
      const free = taken.every(([x, y]) => Math.abs(x - left) > SIDE + 8 || Math.abs(y - top) > SIDE + 8);
      if (!free) continue;
      taken.push([left, top]);
      chosen.add(row);
      if (chosen.size >= AT_MOST) break;
    }
    for (const [row, element] of this.elements) {
      if (chosen.has(row)) continue;
      element.remove();
      this.elements.delete(row);
    }
    for (const row of chosen) if (!this.elements.has(row)) this.add(row, points.colour(row));
    this.place(camera, points);
  }

  /** Puts those that are there where their points are. */
  place(camera, points) {
    for (const [row, element] of this.elements) {
      const [left, top] = camera.toScreen(points.x[row], points.y[row]);
      element.style.transform = `translate(${left - SIDE / 2}px, ${top - SIDE / 2}px)`;
    }
  }

  clear() {
    this.layer.replaceChildren();
    this.elements.clear();
  }

  /** So that a photo which is there stays while the map is moved. */
  keptFirst(rows) {
    return [...rows.filter((row) => this.elements.has(row)), ...rows.filter((row) => !this.elements.has(row))];
  }

  async add(row, colour) {
    const picture = h("img", { alt: "", class: "map-photo", draggable: "false", style: { "border-color": colour } });
    this.elements.set(row, picture);
    const address = await this.thumbnail(row);
    if (!address) {
      if (this.elements.get(row) === picture) this.elements.delete(row);
    } else if (this.elements.get(row) === picture) {
      picture.src = address;
      this.layer.append(picture);
    }
  }
}
