/** The images that are in no cluster, and where they might go. */

import { emptyState } from "../../states.js";
import { fill, h } from "../../dom.js";
import { reassign } from "../../dialogs/reassign.js";
import { count } from "../../format.js";
import { fail } from "../../live.js";
import { imagesOf } from "./cluster-images.js";

/** @param {import("../../main.js").ViewContext} context */
export async function openUnclustered(context) {
  const { root, api, signal } = context;
  const collection = await api.get([], {}, { signal });
  context.title("In no cluster");
  const trail = h("p", { class: "trail" }, h("a", { href: context.link({ view: "clusters" }) }, "Clusters"));
  const head = h(
    "div",
    {},
    h("h1", {}, "In no cluster"),
    h("p", {}, `${count(collection.unclustered_count, "image")} like no group, or not yet looked at`),
  );
  if (collection.unclustered_count === 0) {
    fill(
      root,
      trail,
      h("div", { class: "view-head" }, head),
      emptyState({
        title: "Every image is in a cluster",
        actions: [h("a", { class: "button", href: context.link({ view: "clusters" }) }, "See the clusters")],
      }),
    );
    return;
  }
  const fit = h(
    "button",
    { type: "button", on: { click: () => reassign(context).catch(fail) } },
    "Put them where they fit…",
  );
  const images = await imagesOf(context, { where: JSON.stringify({ unclustered: true }) });
  fill(
    root,
    trail,
    h("div", { class: "view-head" }, head, collection.cluster_count > 0 && context.mayChange && fit),
    h("div", { class: "stack" }, images),
  );
}
