/** Small pictures of images, fetched with the key when they come into view. */

import { h } from "./dom.js";

/** Requests at once: what HTTP/1.1 gives a page, less some for what else it asks. */
const AT_ONCE = 5;
/** Pictures kept; beyond, those that were not asked for the longest are let go. */
const KEPT = 800;

/** Thumbnails of one collection. */
export class Thumbnails {
  /** @param {import("./api.js").CollectionApi} api */
  constructor(api) {
    this.api = api;
    /** @type {Map<string, Promise<string|null>>} blob URLs by image, the longest unused first */
    this.urls = new Map();
    this.waiting = [];
    this.running = 0;
    this.wanted = new WeakMap();
    this.observer = new IntersectionObserver((entries) => this.look(entries), { rootMargin: "300px" });
  }

  /**
   * A frame with the picture, which comes when the frame is looked at.
   *
   * @param {string} id of the image
   * @param {object} [options]
   * @param {string} [options.alt] what a screen reader says; "" where text beside it says the same
   * @param {boolean} [options.contain] the whole picture rather than a square cut out of it
   */
  element(id, { alt = "", contain = false } = {}) {
    const frame = h(
      "div",
      { class: `thumbnail${contain ? " contain" : ""}` },
      h("img", { alt, decoding: "async", draggable: "false" }),
    );
    this.wanted.set(frame, id);
    this.observer.observe(frame);
    return frame;
  }

  /** The picture as a blob URL; null if there is none. */
  url(id) {
    let found = this.urls.get(id);
    if (found) this.urls.delete(id);
    found ??= new Promise((resolve) => {
      this.waiting.push(() => this.fetch(id).then(resolve));
      this.next();
    });
    this.urls.set(id, found);
    this.trim();
    return found;
  }

  look(entries) {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      this.observer.unobserve(entry.target);
      this.show(entry.target);
    }
  }

  async show(frame) {
    const url = await this.url(this.wanted.get(frame));
    const picture = frame.querySelector("img");
    if (url) picture.src = url;
    else frame.classList.add("missing");
  }

  next() {
    while (this.running < AT_ONCE && this.waiting.length > 0) {
      this.running += 1;
      // The newest first: a person who has scrolled on waits for what is in front of them.
      this.waiting.pop()().finally(() => {
        this.running -= 1;
        this.next();
      });
    }
  }

  async fetch(id) {
    try {
      const response = await this.api.send("GET", ["images", id, "thumbnail"]);
      return URL.createObjectURL(await response.blob());
    } catch (error) {
      // A picture that is not kept stays so; what failed on the way is asked for again next time.
      if (error.status !== 404) this.urls.delete(id);
      return null;
    }
  }

  trim() {
    for (const [id, url] of this.urls) {
      if (this.urls.size <= KEPT) return;
      this.urls.delete(id);
      // Later, so that an element that has just been given the address has read it.
      url.then((each) => each && setTimeout(() => URL.revokeObjectURL(each), 30_000));
    }
  }

  close() {
    this.observer.disconnect();
    this.waiting.length = 0;
    for (const url of this.urls.values()) url.then((each) => each && URL.revokeObjectURL(each));
    this.urls.clear();
  }
}
