/** An image, a cluster: what they look like wherever they are listed. */

import { h } from "./dom.js";
import { count, date, decimal, fileName } from "./format.js";
import { href } from "./router.js";

/** What an image is called: its file's name, or its id where it has none. */
export const imageName = (image) => (image.uri ? fileName(image.uri) : image.id);

/** What a cluster is called. */
export const clusterName = (cluster) => cluster.display_name || `Cluster ${cluster.id}`;

/**
 * A card of an image. It opens the image; the box on it selects.
 *
 * @param {object} image as the API gives it
 * @param {object} context
 * @param {import("./thumbnails.js").Thumbnails} context.thumbnails
 * @param {import("./selection.js").Selection} [context.selection] without, there is nothing to select
 * @param {Node|string} [context.detail] a second line; when it was taken if left out
 * @param {number} [context.score] how well it answers, -1 to 1
 */
export function imageCard(image, { thumbnails, selection = null, detail = null, score = null }) {
  const name = imageName(image);
  const second = detail ?? date(image.metadata?.captured_at ?? "");
  const card = h(
    "article",
    { class: "card", dataset: { image: image.id } },
    h(
      "a",
      { href: href({ collection: thumbnails.api.id, view: "image", path: [image.id] }) },
      thumbnails.element(image.id, { alt: "" }),
      h(
        "div",
        { class: "card-text" },
        h("p", { class: "card-title one-line", title: name }, name),
        h(
          "p",
          { class: "card-detail" },
          [second, score === null ? "" : `match ${decimal(score)}`].filter(Boolean).join(" · ") || " ",
        ),
      ),
    ),
  );
  if (selection) card.append(selectionBox(card, image.id, `Select ${name}`, selection));
  return card;
}

/**
 * A card of a cluster: its most typical images, its name and how large it is.
 *
 * @param {object} cluster as the API gives it
 * @param {object} context
 * @param {import("./thumbnails.js").Thumbnails} context.thumbnails
 * @param {Node|string} [context.detail] after the size
 */
export function clusterCard(cluster, { thumbnails, detail = null }) {
  return h(
    "article",
    { class: "card", dataset: { cluster: cluster.id } },
    h(
      "a",
      { href: href({ collection: thumbnails.api.id, view: "clusters", path: [cluster.id] }) },
      h("div", { class: "mosaic" }, (cluster.exemplars ?? []).slice(0, 3).map((id) => thumbnails.element(id))),
      h(
        "div",
        { class: "card-text" },
        h("p", { class: "card-title" }, clusterName(cluster)),
        h("p", { class: "card-detail" }, count(cluster.size, "image"), detail && " · ", detail),
      ),
    ),
  );
}

function selectionBox(card, id, label, selection) {
  const box = h("input", { type: "checkbox", "aria-label": label, checked: selection.has(id) });
  const show = () => {
    box.checked = selection.has(id);
    card.classList.toggle("selected", box.checked);
  };
  box.addEventListener("change", () => selection.toggle([id], box.checked));
  selection.watch(card, show);
  show();
  return h("div", { class: "card-check" }, box);
}
