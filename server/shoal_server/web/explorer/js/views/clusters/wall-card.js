/** A cluster's card on the wall: what it looks like, how firm it is, and all that can be done with it. */

import { clusterCard, clusterName } from "../../cards.js";
import { exportWhere } from "../../dialogs/export.js";
import { dissolve, pin } from "../../dialogs/hold.js";
import { mergeIntoAnother } from "../../dialogs/merge.js";
import { rename } from "../../dialogs/rename.js";
import { split } from "../../dialogs/split.js";
import { h } from "../../dom.js";
import { decimal } from "../../format.js";
import { fail } from "../../live.js";
import { menuButton } from "../../menu.js";

/** What is dragged: our own type, so that nothing else that is dropped is taken for a cluster. */
const DRAGGED = "application/x-shoal-cluster";

/** What a person may do with a cluster, and the key that does it while its card has the focus. */
export function actionsOf(context, cluster, clusters) {
  const nearestFirst = () => clusters();
  const guarded = (what) => () => Promise.resolve(what()).catch(fail);
  const all = [
    { label: "Rename…", hint: "F2", key: "F2", changes: true, run: guarded(() => rename(context, cluster)) },
    {
      label: "Merge into…",
      hint: "M",
      key: "m",
      changes: true,
      run: guarded(async () => mergeIntoAnother(context, cluster, await nearestFirst())),
    },
    { label: "Split…", hint: "S", key: "s", changes: true, run: guarded(() => split(context, cluster)) },
    {
      label: cluster.pinned ? "Unpin…" : "Pin…",
      hint: "P",
      key: "p",
      changes: true,
      run: guarded(() => pin(context, cluster)),
    },
    {
      label: "Export…",
      hint: "E",
      key: "e",
      run: guarded(() =>
        exportWhere(context, { clusters: [cluster.id] }, `“${clusterName(cluster)}”`, `cluster-${cluster.id}`),
      ),
    },
    { label: "Dissolve…", danger: true, changes: true, run: guarded(() => dissolve(context, cluster)) },
  ];
  return all.filter(({ changes }) => !changes || context.mayChange);
}

/** What people did to a cluster, as badges. */
export function badgesOf(cluster) {
  return [
    cluster.pinned && h("span", { class: "badge good" }, "Pinned"),
    cluster.name_source === "person" && h("span", { class: "badge" }, "Named by a person"),
    cluster.merged && h("span", { class: "badge" }, "Merged"),
    cluster.split && h("span", { class: "badge" }, "Split"),
  ].filter(Boolean);
}

/** How alike a cluster's images are, as a bar and in words. */
export function cohesionOf(cluster) {
  const share = Math.max(0, Math.min(1, cluster.cohesion));
  return h(
    "span",
    { class: "cohesion", title: "Mean cosine similarity of its images to their middle, -1 to 1" },
    h("span", { class: "cohesion-bar", "aria-hidden": "true" }, h("span", { style: { width: `${share * 100}%` } })),
    h("span", { class: "numeric" }, `cohesion ${decimal(cluster.cohesion)}`),
  );
}

/**
 * @param {object} cluster as the API gives it
 * @param {object} options
 * @param {object[]} options.clusters all of them, to merge it into
 * @param {(dropped: number, onto: object) => void} options.drop another card was dropped on this one
 */
export function wallCard(context, cluster, { clusters, drop }) {
  const name = clusterName(cluster);
  const card = clusterCard(cluster, { thumbnails: context.thumbnails, detail: cohesionOf(cluster) });
  const actions = actionsOf(context, cluster, () => likeliest(context, cluster, clusters));
  const renaming = actions.find(({ key }) => key === "F2");
  const badges = badgesOf(cluster);
  if (badges.length > 0) card.querySelector(".card-text").append(h("p", { class: "row badges" }, badges));
  card.append(
    h(
      "div",
      { class: "card-actions row" },
      renaming && h(
        "button",
        {
          type: "button",
          class: "small",
          "aria-label": `Rename ${name}`,
          title: "Rename (F2)",
          on: { click: renaming.run },
        },
        "✎",
      ),
      menuButton({ label: `More for ${name}`, items: actions }),
    ),
  );
  const link = card.querySelector("a");
  link.setAttribute("aria-keyshortcuts", actions.map(({ key }) => key).filter(Boolean).join(" "));
  link.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = actions.find(({ key }) => key && key.toLowerCase() === event.key.toLowerCase());
    if (!action) return;
    event.preventDefault();
    action.run();
  });
  if (context.mayChange) makeDraggable(card, cluster, drop);
  return card;
}

function makeDraggable(card, cluster, drop) {
  // The link and the pictures inside would be dragged by themselves.
  for (const inner of card.querySelectorAll("a, img")) inner.draggable = false;
  card.draggable = true;
  card.addEventListener("dragstart", (event) => {
    event.dataTransfer.setData(DRAGGED, String(cluster.id));
    event.dataTransfer.effectAllowed = "move";
    card.classList.add("dragged");
  });
  card.addEventListener("dragend", () => card.classList.remove("dragged"));
  let inside = 0;
  const over = (more) => {
    inside = Math.max(0, inside + more);
    card.classList.toggle("drop", inside > 0 && !card.classList.contains("dragged"));
  };
  card.addEventListener("dragenter", (event) => event.dataTransfer.types.includes(DRAGGED) && over(1));
  card.addEventListener("dragleave", (event) => event.dataTransfer.types.includes(DRAGGED) && over(-1));
  card.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes(DRAGGED)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "move";
  });
  card.addEventListener("drop", (event) => {
    inside = 0;
    over(0);
    const dropped = event.dataTransfer.getData(DRAGGED);
    if (!dropped) return;
    event.preventDefault();
    drop(Number(dropped), cluster);
  });
}

/** All clusters, those that are most like one first. */
async function likeliest(context, cluster, clusters) {
  const { clusters: similar } = await context.api.get(
    ["clusters", cluster.id, "similar"],
    { limit: 20 },
    { signal: context.signal },
  );
  const first = similar.map((each) => each.cluster);
  const known = new Set(first.map(({ id }) => id));
  return [...first, ...clusters.filter(({ id }) => !known.has(id))];
}
