/** A map of points: drawn, named, moved about in and picked from. It knows nothing of where its data comes from. */

import { h, svg } from "../dom.js";
import { Camera } from "./camera.js";
import { clusterPlaces } from "./cluster-places.js";
import { Gestures } from "./gestures.js";
import { LabelLayer } from "./label-layer.js";
import { allocate, blend, CHOSEN, DARK, GROUND, LIGHT, pixel, UNCLUSTERED } from "./palette.js";
import { PhotoLayer } from "./photo-layer.js";
import { coreOf, PointGrid } from "./point-grid.js";
import { PointRaster } from "./point-raster.js";

/** Milliseconds without a move after which the map counts as at rest. */
const REST = 140;
/** CSS pixels around the pointer in which the nearest point is meant. */
const REACH = 14;
const FADED = 0.84;
/** Corners of a lasso. */
const CORNERS = 60;
const MORPH = 900;
/** More device pixels for a CSS pixel are not seen in dots, and cost time. */
const SHARPEST = 2;

/**
 * @typedef {object} MapListeners
 * @property {(row: number) => void} [hover] -1: nothing is below the pointer
 * @property {(row: number) => void} [pick]
 * @property {(rows: number[], corners: number[][]|null, how: "replace"|"add"|"remove") => void} [select]
 * @property {() => void} [rest] the camera has come to rest
 */

export class ScatterMap {
  /**
   * @param {HTMLElement} host
   * @param {object} options
   * @param {string} options.label for screen readers
   * @param {string} [options.describedBy] id of the element that tells the keys
   * @param {(row: number) => Promise<string|null>} options.thumbnail
   * @param {(row: number) => boolean} [options.hasThumbnail] all rows, if left out
   * @param {() => boolean} options.dark
   * @param {MapListeners} options.listeners
   */
  constructor(host, { label, describedBy = null, thumbnail, hasThumbnail = () => true, dark, listeners }) {
    this.host = host;
    this.dark = dark;
    this.listeners = listeners;
    this.camera = new Camera();
    this.canvas = h("canvas", { class: "map-canvas" });
    this.outline = svg("path", { class: "map-lasso" });
    this.surface = h(
      "div",
      {
        class: "map-surface",
        tabindex: "0",
        role: "application",
        "aria-roledescription": "map",
        "aria-label": label,
        "aria-describedby": describedBy,
      },
      this.canvas,
    );
    host.append(this.surface);
    this.photos = new PhotoLayer(this.surface, thumbnail, hasThumbnail);
    this.labels = new LabelLayer(this.surface);
    this.surface.append(
      svg("svg", { class: "map-overlay", "aria-hidden": "true" }, this.outline),
      h("div", { class: "map-crosshair" }),
    );
    this.raster = new PointRaster(this.canvas);
    this.gestures = new Gestures(this.surface, this.hands());
    this.focus = null;
    this.bright = null;
    this.chosen = new Set();
    this.withUnclustered = true;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.surface);
  }

  /**
   * Shows points.
   *
   * @param {object} data
   * @param {Float32Array} data.x by row; NaN: it has no place
   * @param {Float32Array} data.y
   * @param {Int32Array} data.clusters by row, -1: none
   * @param {Map<number, string>} data.names by cluster
   * @param {boolean} [keepCamera]
   */
  show({ x, y, clusters, names }, keepCamera = false) {
    Object.assign(this, { x, y, clusters, names });
    this.placed = Uint32Array.from(x.keys()).filter((row) => !Number.isNaN(x[row]) && !Number.isNaN(y[row]));
    this.camera.bounds = coreOf(x, y, this.placed);
    if (!keepCamera) this.camera.fit();
    this.bright = null;
    this.arrange();
  }

  /** Everything that follows from where the points are and which cluster each is in. */
  arrange() {
    this.grid = new PointGrid(this.x, this.y, this.placed);
    this.places = clusterPlaces(this.x, this.y, this.clusters, this.placed);
    this.allocation = allocate(this.places);
    this.labels.show([...this.places].map(([id, { x, y, rim }]) => ({
      reach: Math.max(0, rim - y),
      id,
      x,
      y,
      text: this.names.get(id) ?? `Cluster ${id}`,
    })));
    this.recolour();
  }

  /** Moves the points to other places and clusters, so that the eye can follow. */
  morph(x, y, clusters, bright) {
    cancelAnimationFrame(this.morphing);
    const [fromX, fromY] = [this.x.slice(), this.y.slice()];
    this.photos.clear();
    Object.assign(this, { clusters, bright });
    const arrived = () => {
      Object.assign(this, { x, y });
      this.arrange();
      this.atRest();
    };
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return arrived();
    [this.x, this.y] = [fromX.slice(), fromY.slice()];
    this.recolour();
    this.labels.show([]);
    this.labels.place(this.camera);
    const began = performance.now();
    const step = (now) => {
      const time = Math.min(1, (now - began) / MORPH);
      const share = time * time * (3 - 2 * time);
      for (const row of this.placed) {
        this.x[row] = fromX[row] + (x[row] - fromX[row]) * share;
        this.y[row] = fromY[row] + (y[row] - fromY[row]) * share;
      }
      this.draw();
      if (time < 1) this.morphing = requestAnimationFrame(step);
      else arrived();
    };
    this.morphing = requestAnimationFrame(step);
  }

  /** Brings out one cluster; null: all are alike. */
  setFocus(cluster) {
    this.focus = cluster;
    this.recolour();
    this.moved();
  }

  /** Brings out some rows (a flag for each); null: all are alike. */
  setBright(bright) {
    this.bright = bright;
    this.recolour();
  }

  /** @param {Set<number>} rows to mark as chosen */
  setChosen(rows) {
    this.chosen = rows;
    this.ring = Uint32Array.from([...rows].filter((row) => !Number.isNaN(this.x[row])));
    this.invalidate();
  }

  setUnclustered(shown) {
    this.withUnclustered = shown;
    this.recolour();
  }

  setTool(tool) {
    this.gestures.tool = tool;
    this.surface.dataset.tool = tool;
  }

  /** Colours and the order of drawing: what matters less lies below. */
  recolour() {
    if (!this.x) return;
    const theme = this.dark() ? "dark" : "light";
    const palette = (this.dark() ? DARK : LIGHT).map(pixel);
    const [ground, none] = [pixel(GROUND[theme]), pixel(UNCLUSTERED[theme])];
    const pale = palette.map((each) => blend(each, ground, FADED));
    const paleNone = blend(none, ground, FADED);
    this.colours = new Uint32Array(this.x.length);
    const layers = [[], [], [], []];
    for (const row of this.placed) {
      const cluster = this.clusters[row];
      if (cluster < 0 && !this.withUnclustered) continue;
      const out = (this.focus === null || cluster === this.focus) && (this.bright === null || this.bright[row] === 1);
      const index = this.allocation.get(cluster);
      if (index === undefined) this.colours[row] = out ? none : paleNone;
      else this.colours[row] = out ? palette[index] : pale[index];
      layers[(out ? 2 : 0) + (cluster < 0 ? 0 : 1)].push(row);
    }
    this.order = Uint32Array.from(layers.flat());
    this.scene = { ground, chosen: new Uint32Array(this.x.length).fill(pixel(CHOSEN[theme])) };
    this.invalidate();
  }

  /** A cluster's colour for what stands beside the map. */
  colour(cluster) {
    const index = this.allocation?.get(cluster);
    if (index === undefined) return UNCLUSTERED[this.dark() ? "dark" : "light"];
    return (this.dark() ? DARK : LIGHT)[index];
  }

  /** CSS pixels across a point. */
  get size() {
    const base = Math.min(9, Math.max(2.6, 260 / Math.sqrt(this.placed.length || 1)));
    return Math.min(16, base * Math.max(1, this.camera.zoom) ** 0.35);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.surface;
    if (!width || !height) return;
    this.camera.width = width;
    this.camera.height = height;
    this.raster.resize(width, height, Math.min(SHARPEST, devicePixelRatio || 1));
    if (this.x) (this.draw(), this.atRest());
  }

  /** Draws with the next frame. */
  invalidate() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    if (!this.order || !this.raster.image) return;
    const scene = { x: this.x, y: this.y, colours: this.colours, order: this.order, ground: this.scene.ground };
    const marked = { ...scene, order: this.ring };
    const rim = { ...marked, colours: this.scene.chosen, size: this.size + 4 };
    const marks = this.ring?.length ? [rim, { ...marked, size: this.size }] : [];
    this.raster.draw(this.camera, [{ ...scene, size: this.size }, ...marks], this.scene.ground);
    if (!this.labels.follow(this.camera)) this.labels.place(this.camera, this.focus);
    this.photos.place(this.camera, this);
  }

  /** The camera has moved. */
  moved() {
    this.invalidate();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.atRest(), REST);
  }

  atRest() {
    if (!this.grid) return;
    this.labels.place(this.camera, this.focus);
    const points = { x: this.x, y: this.y, colour: (row) => this.colour(this.clusters[row]) };
    this.photos.choose(this.camera, points, (limit) => this.inView(limit));
    this.listeners.rest?.();
  }

  /** Rows that are seen. */
  inView(limit = Infinity) {
    const rows = this.grid.inRectangle(this.camera.seen, limit);
    return this.withUnclustered ? rows : rows.filter((row) => this.clusters[row] >= 0);
  }

  fit() {
    this.camera.fit();
    this.moved();
  }

  /** Magnifies around the middle. */
  zoomBy(factor) {
    this.camera.zoomAt(this.camera.width / 2, this.camera.height / 2, factor);
    this.moved();
  }

  /** Shows a cluster as large as fits. */
  zoomToCluster(cluster) {
    const place = this.places.get(cluster);
    if (!place) return;
    this.camera.frame(place.frame);
    this.moved();
  }

  rowAt(left, top) {
    const [x, y] = this.camera.toPlane(left, top);
    const row = this.grid ? this.grid.nearest(x, y, (REACH + this.size / 2) / this.camera.scale) : -1;
    return row >= 0 && this.clusters[row] < 0 && !this.withUnclustered ? -1 : row;
  }

  /** @returns {import("./gestures.js").Hands} */
  hands() {
    const { camera, listeners } = this;
    return {
      pan: (right, down) => (camera.panBy(right, down), this.moved()),
      zoom: (left, top, factor) => (camera.zoomAt(left, top, factor), this.moved()),
      fit: () => this.fit(),
      hover: (left, top) => listeners.hover?.(this.rowAt(left, top)),
      leave: () => listeners.hover?.(-1),
      pick: (left, top) => listeners.pick?.(this.rowAt(left, top)),
      lasso: (line, done, event) => this.lasso(line, done, event),
      selectInView: () => listeners.select?.(this.inView(), null, "replace"),
      middle: () => [camera.width / 2, camera.height / 2],
    };
  }

  lasso(line, done, event) {
    this.outline.setAttribute("d", line.length > 1 ? `M${line.map((place) => place.join(",")).join("L")}Z` : "");
    if (!done) return;
    this.outline.setAttribute("d", "");
    // Few and short enough for an address, which is to select the same.
    const short = (value) => Number(value.toPrecision(6));
    const corners = thinned(line).map(([left, top]) => this.camera.toPlane(left, top).map(short));
    const how = event.altKey ? "remove" : event.ctrlKey || event.metaKey ? "add" : "replace";
    this.listeners.select?.(this.rowsWithin(corners), corners, how);
  }

  /** Rows within a polygon in the plane. */
  rowsWithin(corners) {
    const rows = this.grid.inPolygon(corners);
    return this.withUnclustered ? rows : rows.filter((row) => this.clusters[row] >= 0);
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.morphing);
    clearTimeout(this.resting);
  }
}

/** So many corners of a line, evenly spread. */
function thinned(line) {
  if (line.length <= CORNERS) return line;
  return Array.from({ length: CORNERS }, (_, at) => line[Math.floor((at * line.length) / CORNERS)]);
}
