/** The map in a file of its own: everything it shows is in the page, and it asks nobody for more. */

import { h } from "../dom.js";
import { count, dateTime, number } from "../format.js";
import { ScatterMap } from "../map/scatter-map.js";
import { ClusterList } from "../views/map/cluster-list.js";

/** Values of a kind from Base64; the bytes are little-endian, as those of every machine that has a browser. */
function values(Kind, text) {
  return new Kind(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
}

const data = JSON.parse(document.getElementById("data").textContent);
const [x, y, clusters] = [
  values(Float32Array, data.x),
  values(Float32Array, data.y),
  values(Int32Array, data.clusters),
];
const names = new Map(data.cluster_names.map(([id, name]) => [id, name || `Cluster ${id}`]));
const photos = new Map(data.thumbnails);
const dark = matchMedia("(prefers-color-scheme: dark)");

const label = `Map of ${count(x.length, "image")}`;
const frame = h(
  "section",
  { class: "map-frame", "aria-label": "Map" },
  h("h1", { class: "visually-hidden" }, data.title),
  h(
    "p",
    { class: "visually-hidden", id: "map-keys" },
    "Arrow keys move the map, plus and minus zoom, 0 shows everything, Enter shows the photo in the middle.",
  ),
);
const card = h("div", { class: "map-card", hidden: true });
const side = h("aside", { class: "map-side", "aria-label": "Clusters on the map" });
document.getElementById("main").append(h("div", { class: "map-page snapshot" }, frame, side));

const map = new ScatterMap(frame, {
  label,
  describedBy: "map-keys",
  dark: () => dark.matches,
  thumbnail: async (row) => photos.get(row) ?? null,
  hasThumbnail: (row) => photos.has(row),
  listeners: { hover: show, pick: show },
});

function show(row) {
  card.hidden = row < 0;
  if (row < 0) return;
  const picture = photos.get(row);
  const cluster = clusters[row] < 0 ? "in no cluster" : names.get(clusters[row]);
  card.replaceChildren(
    ...(picture ? [h("div", { class: "thumbnail contain" }, h("img", { src: picture, alt: "" }))] : []),
    h(
      "div",
      { class: "map-card-text", role: "status" },
      h("p", { class: "map-card-name" }, data.files[row]),
      h("p", { class: "muted" }, cluster),
    ),
  );
  const [left, top] = map.camera.toScreen(x[row], y[row]);
  const beside = left + 16 + card.offsetWidth < map.camera.width ? left + 16 : Math.max(
    8,
    left - 16 - card.offsetWidth,
  );
  const below = Math.min(
    Math.max(8, top - card.offsetHeight / 2),
    Math.max(8, map.camera.height - card.offsetHeight - 8),
  );
  card.style.transform = `translate(${Math.round(beside)}px, ${Math.round(below)}px)`;
}

function focus(cluster) {
  map.setFocus(cluster);
  list.setFocus(cluster);
  if (cluster !== null) map.zoomToCluster(cluster);
}

const sizes = new Map();
for (const cluster of clusters) sizes.set(cluster, (sizes.get(cluster) ?? 0) + 1);
const listed = [...names].map(([id, name]) => ({
  id,
  name,
  size: sizes.get(id) ?? 0,
})).sort((a, b) => b.size - a.size || a.id - b.id);

frame.append(
  h(
    "div",
    { class: "map-tools", role: "toolbar", "aria-label": "Map tools" },
    [
      ["+", "Zoom in", () => map.zoomBy(1.6)],
      ["−", "Zoom out", () => map.zoomBy(1 / 1.6)],
      ["Fit", "Show everything", () => map.fit()],
    ].map(([text, title, click]) =>
      h("button", { type: "button", class: "small", title, "aria-label": title, on: { click } }, text),
    ),
  ),
  card,
);
map.show({ x, y, clusters, names });
const list = new ClusterList({ clusters: listed, colour: (id) => map.colour(id), focus });
const unclustered = sizes.get(-1) ?? 0;
side.append(
  h("p", { class: "map-summary" }, h("strong", {}, data.title)),
  h("p", {}, `${count(x.length, "image")} in ${count(listed.length, "cluster")}, ${number(unclustered)} in none`),
  h(
    "p",
    { class: "muted" },
    `As it was on ${dateTime(data.created)}.`,
    photos.size < x.length && ` ${count(photos.size, "photo")} of them can be seen.`,
  ),
  list.element,
);
dark.addEventListener("change", () => (map.recolour(), list.show()));
