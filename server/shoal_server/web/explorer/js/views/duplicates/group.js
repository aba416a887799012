/** A group of images that show the same picture, with the one to keep. */

import { imageName } from "../../cards.js";
import { fill, h } from "../../dom.js";
import { bytes, dateTime, number, percent } from "../../format.js";
import { href } from "../../router.js";

let groups = 0;

/** One group. */
export class Group {
  /**
   * @param {import("../../main.js").ViewContext} context
   * @param {object} group as the API gives it: the suggested keeper first
   * @param {object} options
   * @param {() => void} options.changed another one is to be kept
   * @param {(images: object[]) => void} options.remove these are to be removed
   */
  constructor(context, group, { changed, remove }) {
    this.context = context;
    this.members = group.members;
    this.suggested = group.keeper;
    this.keep = new Set([group.keeper]);
    this.name = `duplicates-${++groups}`;
    const button = h("button", { type: "button", on: { click: () => remove(this.others()) } });
    const tell = () => {
      const others = this.others().length;
      button.disabled = others === 0;
      button.textContent = others === 0 ? "All are kept" : others === 1 ? "Remove the other…" : `Remove the other ${number(others)}…`;
      changed();
    };
    const cards = this.members.map((member) => this.cardOf(member, tell));
    this.element = h(
      "section",
      { class: "panel duplicates", "aria-labelledby": this.name },
      h("div", { class: "row spread" }, h("h2", { id: this.name }, imageName(this.members[0].image)), context.mayChange && button),
      h("div", { class: "card-grid" }, cards),
    );
    tell();
  }

  /** Images that are not kept. */
  others() {
    return this.members.filter(({ image }) => !this.keep.has(image.id)).map(({ image }) => image);
  }

  cardOf({ image, similarity, distance }, tell) {
    const { width, height, format, byte_size: size, captured_at: taken, camera_model: camera } = image.metadata;
    const name = imageName(image);
    const box = h("input", { type: "checkbox", checked: this.keep.has(image.id), "aria-label": `Keep ${name}` });
    const verdict = h("span", {});
    const card = h(
      "article",
      { class: "card", dataset: { image: image.id } },
      h(
        "a",
        { href: href({ collection: this.context.api.id, view: "image", path: [image.id] }) },
        this.context.thumbnails.element(image.id, { contain: true }),
        h("div", { class: "card-text" }, h("p", { class: "card-title one-line", title: image.uri }, name)),
      ),
      h(
        "div",
        { class: "card-text" },
        h("p", { class: "card-detail numeric" }, `${number(width)} × ${number(height)} · ${format} · ${bytes(size)}`),
        h(
          "p",
          { class: "card-detail" },
          [taken && dateTime(taken), camera].filter(Boolean).join(" · ") || "no time, no camera",
        ),
        h(
          "p",
          { class: "card-detail numeric" },
          image.id === this.suggested ? "suggested: most pixels, then metadata, then bytes" : `${percent(similarity)} alike, ${number(distance)} of 64 bits differ`,
        ),
        this.context.mayChange && h("label", { class: "check" }, box, verdict),
      ),
    );
    const show = () => {
      card.classList.toggle("kept", box.checked);
      fill(verdict, box.checked ? "Keep" : "Remove");
    };
    box.addEventListener("change", () => {
      if (box.checked) this.keep.add(image.id);
      else this.keep.delete(image.id);
      // At least one is kept: nobody wants to lose the picture.
      if (this.keep.size === 0) {
        this.keep.add(image.id);
        box.checked = true;
      }
      show();
      tell();
    });
    show();
    return card;
  }
}
