/** Images of a cluster: some that are named by their ids, or all, a stretch at a time. */

import { imageCard } from "../../cards.js";
import { fill, h } from "../../dom.js";
import { count } from "../../format.js";
import { announce, fail } from "../../live.js";

/** Images of a stretch. */
const STRETCH = 60;

const ORDERS = [
  ["", "As they were stored"],
  ["captured_at", "Oldest first"],
  ["captured_at desc", "Newest first"],
];

/** Cards of some images, in the order of their ids here. */
export async function namedImages(context, ids, none) {
  if (ids.length === 0) return h("p", { class: "muted" }, none);
  const { images } = await context.api.post("images:get", { ids }, { signal: context.signal });
  const found = new Map(images.map((image) => [image.id, image]));
  const cards = ids.filter((id) => found.has(id)).map((id) => imageCard(found.get(id), context));
  return h("div", { class: "card-grid small" }, cards);
}

/**
 * All images that a query lets through, to look at and to select.
 *
 * @param {object} query parameters of the list of images
 */
export async function imagesOf(context, query) {
  const grid = h("div", { class: "card-grid" });
  const more = h("button", { type: "button", class: "more", on: { click: () => add().catch(fail) } }, "Show more");
  const order = context.route.params.get("images") ?? "";
  const sort = h(
    "select",
    { id: "images-order" },
    ORDERS.map(([value, label]) => h("option", { value, selected: value === order }, label)),
  );
  const select = h(
    "button",
    { type: "button", class: "small", on: { click: () => context.selection.toggle(shown, true) } },
    "Select all shown",
  );
  let shown = [];
  let page_token = "";

  async function add() {
    more.disabled = true;
    try {
      const page = await context.api.get(
        "images",
        { ...query, order_by: sort.value, page_size: STRETCH, page_token },
        { signal: context.signal },
      );
      grid.append(...page.images.map((image) => imageCard(image, context)));
      shown.push(...page.images.map(({ id }) => id));
      page_token = page.next_page_token;
      more.hidden = !page_token;
    } finally {
      more.disabled = false;
    }
  }
  sort.addEventListener("change", async () => {
    context.setParams({ images: sort.value }, { replace: true });
    fill(grid);
    [shown, page_token] = [[], ""];
    await add().catch(fail);
    announce(`${count(shown.length, "image")} shown`);
  });
  await add();
  if (shown.length === 0) return h("p", { class: "muted" }, "There are none.");
  return [
    h(
      "div",
      { class: "toolbar" },
      h("div", { class: "field" }, h("label", { for: "images-order" }, "Order"), sort),
      select,
      h("p", { class: "muted hint" }, "Select images to move them, to make them a cluster of their own, or to export them."),
    ),
    grid,
    more,
  ];
}

