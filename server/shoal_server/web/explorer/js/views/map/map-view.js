/** The map: every image a point, near what it is like. */

import { h, fill } from "../../dom.js";
import { count, number } from "../../format.js";
import { announce, fail, toast } from "../../live.js";
import { ScatterMap } from "../../map/scatter-map.js";
import { emptyState } from "../../states.js";
import { isDark, onThemeChange } from "../../theme.js";
import { ClusterList } from "./cluster-list.js";
import { idOf, loadMap, rowsById } from "./map-file.js";
import { PhotoCard } from "./photo-card.js";
import { compare } from "./run-comparison.js";
import { comparisonPanel, drawable, runPickers } from "./run-panel.js";
import { mapTools } from "./toolbar.js";

const NO_CLUSTER = "unclustered";
const KEYS =
  "Arrow keys move the map, plus and minus zoom, 0 shows everything, Enter opens the photo in the middle, " +
  "S selects every image in view. The list of clusters beside the map selects without a pointer.";
/** How far in one photo is shown. */
const NEAR = 14;

/** @param {import("../../main.js").ViewContext} context */
export async function open(context) {
  const { api, signal } = context;
  const runs = (await api.all("runs", {}, { signal })).filter(drawable);
  const active = runs.find((run) => run.active);
  const wanted = context.route.params.get("run") || active?.id;
  if (!wanted) {
    fill(context.root, nothingClustered(context));
    return null;
  }
  const other = context.route.params.get("with") ?? "";
  const load = async (run) => {
    const [map, { clusters }] = await Promise.all([
      loadMap(api, run === active?.id ? "active" : run, signal),
      api.get(["runs", run, "clusters"], {}, { signal }),
    ]);
    return {
      map,
      clusters,
      names: new Map(clusters.map(({ id, display_name }) => [id, display_name || `Cluster ${id}`])),
    };
  };
  const [now, before] = await Promise.all([load(wanted), other ? load(other) : null]);
  const view = new MapView(context, { runs, now, before, run: wanted, other });
  signal.addEventListener("abort", () => view.map.close());
  return { update: (route) => view.update(route) };
}

class MapView {
  constructor(context, { runs, now, before, run, other }) {
    Object.assign(this, { context, now, before, run, other });
    this.comparison = before && compare(before.map, now.map);
    this.build(runs);
    this.map.show({ ...this.sideData(this.side), names: this.names });
    this.fillSide(runs);
    this.applyRoute(context.route);
    this.watch();
  }

  get side() {
    return this.comparison && this.context.route.params.get("side") === "before" ? "before" : "now";
  }

  /** Names of clusters that are on either side. */
  get names() {
    return this.before ? new Map([...this.before.names, ...this.now.names]) : this.now.names;
  }

  sideData(side) {
    const { x, y, clusters } = side === "before" ? this.comparison : this.now.map;
    return { x, y, clusters };
  }

  build(runs) {
    const { context } = this;
    const label = `Map of ${count(this.now.map.count, "image")}`;
    this.frame = h(
      "section",
      { class: "map-frame", "aria-label": "Map" },
      h("h1", { class: "visually-hidden" }, label),
      h(
        "p",
        { class: "visually-hidden", id: "map-keys" },
        KEYS,
      ),
    );
    this.sidePanel = h("aside", { class: "map-side", "aria-label": "Clusters on the map" });
    context.root.classList.add("full", "map-page");
    fill(context.root, this.frame, this.sidePanel);
    this.map = new ScatterMap(this.frame, {
      label,
      describedBy: "map-keys",
      dark: isDark,
      thumbnail: (row) => context.thumbnails.url(idOf(this.now.map, row)),
      listeners: {
        hover: (row) => this.card.hover(row),
        pick: (row) => this.card.pin(row).catch(fail),
        select: (rows, corners, how) => this.select(rows, corners, how),
        rest: () => (this.remember(), this.card.follow()),
      },
    });
    this.frame.append(mapTools(this.map, () => this.select(this.map.inView(), null, "replace")));
    this.card = new PhotoCard(this.frame, context, (row) => this.describe(row));
  }

  fillSide(runs) {
    const { map, clusters } = this.now;
    const sizes = new Map();
    for (const cluster of map.clusters) sizes.set(cluster, (sizes.get(cluster) ?? 0) + 1);
    const listed = clusters.map(({ id }) => ({ id, name: this.now.names.get(id), size: sizes.get(id) ?? 0 }));
    listed.sort((a, b) => b.size - a.size || a.id - b.id);
    this.list = new ClusterList({
      clusters: listed,
      colour: (id) => this.map.colour(id),
      focus: (id) => this.focus(id, true),
      select: (id) => this.select(this.rowsOf((row) => map.clusters[row] === id), null, "add"),
    });
    const unclustered = sizes.get(-1) ?? 0;
    const unplaced = map.count - this.map.placed.length;
    const choose = (changes) => this.context.setParams({ ...changes, lasso: null, cluster: null });
    fill(
      this.sidePanel,
      h(
        "p",
        { class: "map-summary" },
        h("strong", {}, count(map.count, "image")),
        ` in ${count(listed.length, "cluster")}`,
      ),
      runs.length > 1 && runPickers(runs, this, choose),
      this.comparison && this.showComparison(),
      unplaced > 0 && h(
        "p",
        { class: "muted" },
        `${count(unplaced, "image")} came after this run and will be on the map after the next one.`,
      ),
      unclustered > 0 && this.unclusteredLine(unclustered),
      this.list.element,
    );
  }

  unclusteredLine(size) {
    const rows = () => this.rowsOf((row) => this.now.map.clusters[row] < 0);
    const shown = this.context.route.params.get("unclustered") !== "0";
    const box = h("input", { type: "checkbox", checked: shown });
    const show = () => {
      this.map.setUnclustered(box.checked);
      this.context.setParams({ unclustered: box.checked ? null : "0" }, { replace: true });
    };
    box.addEventListener("change", show);
    this.map.setUnclustered(shown);
    return h(
      "div",
      { class: "map-unclustered" },
      h(
        "label",
        { class: "check" },
        box,
        h("span", { class: "swatch", style: { background: this.map.colour(-1) } }),
        `${number(size)} in no cluster`,
      ),
      h(
        "button",
        {
          type: "button",
          class: "quiet small",
          "aria-label": "Select all images in no cluster",
          title: "Select them",
          on: { click: () => this.select(rows(), null, "add") },
        },
        "Select",
      ),
    );
  }

  showComparison() {
    const nameIn = (names) => (cluster) => (cluster < 0 ? NO_CLUSTER : (names.get(cluster) ?? `Cluster ${cluster}`));
    this.map.setBright(this.comparison.moved);
    return comparisonPanel({
      comparison: this.comparison,
      nameBefore: nameIn(this.before.names),
      nameNow: nameIn(this.now.names),
      side: this.side,
      turn: (side) => {
        this.context.setParams({ side: side === "before" ? side : null }, { replace: true });
        const { x, y, clusters } = this.sideData(side);
        this.map.morph(x, y, clusters, this.map.bright);
        announce(side === "before" ? "The map shows the run before" : "The map shows the later run");
      },
      focus: (flow) => {
        const bright = flow ? new Uint8Array(this.now.map.count) : this.comparison.moved;
        for (const row of flow?.rows ?? []) bright[row] = 1;
        this.map.setBright(bright);
      },
      select: (flow) => this.select(flow.rows, null, "add"),
    });
  }

  /** Follows the address: where the camera is, which cluster is brought out, what a lasso held. */
  applyRoute({ params }) {
    const [x, y, zoom] = ["x", "y", "zoom"].map((name) => Number(params.get(name) ?? Number.NaN));
    if ([x, y, zoom].every(Number.isFinite)) this.map.camera.moveTo(x, y, zoom);
    const cluster = params.has("cluster") ? Number(params.get("cluster")) : null;
    this.focus(cluster, false);
    const numbers = (params.get("lasso") ?? "").split(",").map(Number);
    if (numbers.length >= 6 && numbers.every(Number.isFinite)) {
      const corners = Array.from({ length: numbers.length >> 1 }, (_, at) => [numbers[2 * at], numbers[2 * at + 1]]);
      this.pick(this.map.rowsWithin(corners), "replace");
    } else {
      this.markChosen();
    }
    if (params.has("image")) this.showImage(params.get("image"));
    this.map.moved();
  }

  /** Brings a photo into the middle, with its card. */
  showImage(id) {
    this.rows ??= rowsById(this.now.map);
    const row = this.rows.get(id);
    if (row === undefined || Number.isNaN(this.map.x[row])) {
      toast("This photo is not on the map of this run. It will be after the next one.");
      return;
    }
    this.map.camera.moveTo(this.map.x[row], this.map.y[row], Math.max(this.map.camera.zoom, NEAR));
    requestAnimationFrame(() => this.card.pin(row).catch(fail));
  }

  update(route) {
    const [run, other] = [route.params.get("run") || this.run, route.params.get("with") ?? ""];
    if (run !== this.run || other !== this.other) return this.context.reload();
    if (!route.params.has("x")) this.map.fit();
    return this.applyRoute(route);
  }

  /** Puts what is seen into the address, so that the link shows the same. */
  remember() {
    const { x, y, zoom } = this.map.camera;
    const atHome = Math.abs(zoom - 1) < 0.001 && this.isCentred();
    const written = atHome ? { x: null, y: null, zoom: null } : {
      x: x.toPrecision(6),
      y: y.toPrecision(6),
      zoom: zoom.toPrecision(4),
    };
    this.context.setParams(written, { replace: true });
  }

  isCentred() {
    const { left, right, bottom, top } = this.map.camera.bounds;
    const { x, y, scale } = this.map.camera;
    return Math.abs(x - (left + right) / 2) * scale < 1 && Math.abs(y - (bottom + top) / 2) * scale < 1;
  }

  focus(cluster, byHand) {
    this.map.setFocus(cluster);
    this.list.setFocus(cluster);
    if (!byHand) return;
    this.context.setParams({ cluster }, { replace: true });
    if (cluster !== null) this.map.zoomToCluster(cluster);
  }

  /** Takes rows into the selection, and a lasso into the address. */
  select(rows, corners, how) {
    this.pick(rows, how);
    this.context.setParams({ lasso: how === "replace" ? corners?.flat().join(",") : null }, { replace: true });
  }

  pick(rows, how) {
    const ids = rows.map((row) => idOf(this.now.map, row));
    if (how === "replace") this.context.selection.replace(ids);
    else this.context.selection.toggle(ids, how === "add");
  }

  markChosen() {
    if (this.context.selection.size > 0) this.rows ??= rowsById(this.now.map);
    const rows = [...this.context.selection.ids].map((id) => this.rows.get(id));
    this.map.setChosen(new Set(rows.filter((row) => row !== undefined)));
  }

  rowsOf(wanted) {
    return Array.from(this.now.map.clusters.keys()).filter(wanted);
  }

  describe(row) {
    const { camera, x, y, clusters } = this.map;
    const [left, top] = camera.toScreen(x[row], y[row]);
    const cluster = clusters[row] < 0 ? "in no cluster" : (this.names.get(clusters[row]) ?? "");
    return {
      id: idOf(this.now.map, row),
      cluster,
      clusterId: clusters[row],
      left,
      top,
      width: camera.width,
      height: camera.height,
    };
  }

  watch() {
    const { signal, selection } = this.context;
    onThemeChange(() => (this.map.recolour(), this.list.show()), signal);
    selection.addEventListener("change", () => this.markChosen(), { signal });
    this.frame.addEventListener("keydown", (event) => event.key === "Escape" && this.card.close(), { signal });
  }
}

function nothingClustered({ link, mayChange }) {
  return emptyState({
    title: "Nothing is clustered yet",
    text: "The map appears with the first clustering: photos that are alike come to lie near one another.",
    actions: mayChange && [
      h("a", { class: "button primary", href: link({ view: "runs" }) }, "Cluster them"),
      h("a", { class: "button", href: link({ view: "add" }) }, "Add photos"),
    ],
    command: mayChange && "shoal cluster",
  });
}
