/** The box: words, a photo, or both. */

import { fill, h } from "../../dom.js";
import { fail } from "../../live.js";

/**
 * @param {object} options
 * @param {(text: string) => void} options.search
 * @param {(file: File) => void} options.searchPhoto
 * @param {HTMLElement} options.dropOn a photo may be dropped anywhere on this
 * @param {AbortSignal} options.signal
 */
export class SearchBox {
  constructor({ search, searchPhoto, dropOn, signal }) {
    this.input = h(
      "input",
      {
        type: "search",
        id: "search-text",
        placeholder: "What is on the photo? A red bicycle, grandmother's garden…",
        "aria-label": "Search by what photos show",
        autocomplete: "off",
        enterkeyhint: "search",
      },
    );
    const file = h(
      "input",
      {
        type: "file",
        accept: "image/*",
        class: "visually-hidden",
        id: "search-photo",
        tabindex: "-1",
        "aria-hidden": "true",
      },
    );
    this.picture = h("div", { class: "search-photo" });
    this.element = h(
      "form",
      { class: "search-box", role: "search" },
      this.input,
      h("button", { type: "submit", class: "primary" }, "Search"),
      h(
        "button",
        {
          type: "button",
          title: "Finds the cluster of a photo and what is like it",
          on: { click: () => file.click() },
        },
        "By photo…",
      ),
      file,
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      search(this.input.value);
    });
    file.addEventListener("change", () => {
      if (file.files[0]) searchPhoto(file.files[0]);
      file.value = "";
    });
    this.takeDrops(dropOn, searchPhoto, signal);
  }

  takeDrops(target, searchPhoto, signal) {
    let depth = 0;
    const mark = (step) => {
      depth = Math.max(0, depth + step);
      target.classList.toggle("dropping", depth > 0);
    };
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    target.addEventListener("dragenter", (event) => hasFiles(event) && (event.preventDefault(), mark(1)), { signal });
    target.addEventListener("dragleave", (event) => hasFiles(event) && mark(-1), { signal });
    target.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault(), { signal });
    const drop = (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(-depth);
      const photo = [...event.dataTransfer.files].find(({ type }) => type.startsWith("image/"));
      if (photo) searchPhoto(photo);
      else fail(new Error("That is no image. Drop a photo; to add a folder of them, go to Add photos."));
    };
    target.addEventListener("drop", drop, { signal });
  }

  /** Shows the photo that is looked for; null: none is. */
  showPhoto(file, remove) {
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = file && URL.createObjectURL(file);
    if (!file) return fill(this.picture);
    return fill(
      this.picture,
      h("img", { src: this.address, alt: "" }),
      h("p", {}, "Like the photo ", h("strong", {}, file.name)),
      h("button", { type: "button", class: "small", on: { click: remove } }, "Remove photo"),
    );
  }
}
