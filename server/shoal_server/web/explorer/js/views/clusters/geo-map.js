/** A small map of positions, in Web Mercator: land in outline from afar, a net of degrees, a scale, and the images. */

import { fill, h, svg } from "../../dom.js";
import { count } from "../../format.js";
import { degrees, metres } from "./geo-format.js";
import { LAND } from "./land.js";

const WIDTH = 360;
const HEIGHT = 220;
/** Positions so near each other on the screen share a dot, in the drawing's units. */
const NEAR = 10;
/** Beyond this many units for the world's width the outline of the land is too coarse to be shown. */
const COARSE = 9000;
/** Units for the world's width: all of it fits at the one, about 30 metres at the other. */
const FARTHEST = 300;
const NEAREST = 400_000_000;
/** Mercator's map ends here. */
const LAST_LATITUDE = 85;
const EARTH_M = 40_075_016;
/** Steps of the net, in degrees. */
const STEPS = [60, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001];

const xOf = (longitude) => longitude / 360 + 0.5;
const yOf = (latitude) => {
  const bounded = Math.max(-LAST_LATITUDE, Math.min(LAST_LATITUDE, latitude));
  return 0.5 - Math.log(Math.tan(Math.PI / 4 + (bounded * Math.PI) / 360)) / (2 * Math.PI);
};
const latitudeOf = (y) => (Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) * 360) / Math.PI - 90;

/** The map with its buttons; it can be moved with the arrow keys, + and -, or by dragging. */
export class GeoMap {
  /**
   * @param {Array<{latitude: number, longitude: number}>} locations at least one
   * @param {AbortSignal} signal ends listening
   */
  constructor(locations, signal) {
    this.points = locations.map(({ latitude, longitude }) => ({ x: xOf(longitude), y: yOf(latitude) }));
    this.drawing = svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "application",
        tabindex: "0",
        "aria-roledescription": "map",
        "aria-label": labelOf(locations),
      },
    );
    const button = (text, label, run) => h(
      "button",
      { type: "button", class: "small", "aria-label": label, title: label, on: { click: run } },
      text,
    );
    this.element = h(
      "figure",
      { class: "geo-map" },
      this.drawing,
      h(
        "div",
        { class: "geo-tools" },
        button("+", "Nearer", () => this.zoom(2)),
        button("−", "Farther", () => this.zoom(1 / 2)),
        button("◎", "All positions", () => this.fit()),
      ),
    );
    this.listen(signal);
    this.fit();
  }

  /** Shows all positions. */
  fit() {
    const xs = this.points.map(({ x }) => x);
    const ys = this.points.map(({ y }) => y);
    const [left, right] = [min(xs), max(xs)];
    const [top, bottom] = [min(ys), max(ys)];
    this.x = (left + right) / 2;
    this.y = (top + bottom) / 2;
    const room = 0.8;
    this.scale = Math.min(
      (WIDTH * room) / Math.max(right - left, 1e-9),
      (HEIGHT * room) / Math.max(bottom - top, 1e-9),
      20_000_000,
    );
    this.draw();
  }

  /** Nearer by a factor, or farther. */
  zoom(factor) {
    this.scale *= factor;
    this.draw();
  }

  /** Moves by some units of the drawing. */
  pan(right, down) {
    this.x += right / this.scale;
    this.y += down / this.scale;
    this.draw();
  }

  listen(signal) {
    const moves = { ArrowLeft: [-40, 0], ArrowRight: [40, 0], ArrowUp: [0, -40], ArrowDown: [0, 40] };
    this.drawing.addEventListener(
      "keydown",
      (event) => {
        if (moves[event.key]) this.pan(...moves[event.key]);
        else if (event.key === "+" || event.key === "=") this.zoom(2);
        else if (event.key === "-") this.zoom(1 / 2);
        else if (event.key === "0") this.fit();
        else return;
        event.preventDefault();
      },
      { signal },
    );
    this.drawing.addEventListener("pointerdown", (event) => {
      const units = WIDTH / this.drawing.getBoundingClientRect().width;
      let [x, y] = [event.clientX, event.clientY];
      const move = (moved) => {
        this.pan((x - moved.clientX) * units, (y - moved.clientY) * units);
        [x, y] = [moved.clientX, moved.clientY];
      };
      const done = new AbortController();
      this.drawing.setPointerCapture(event.pointerId);
      this.drawing.addEventListener("pointermove", move, { signal: done.signal });
      for (const end of ["pointerup", "pointercancel"]) this.drawing.addEventListener(end, () => done.abort(), { signal: done.signal });
    });
  }

  draw() {
    this.scale = Math.max(FARTHEST, Math.min(NEAREST, this.scale));
    this.x = Math.max(0, Math.min(1, this.x));
    this.y = Math.max(0, Math.min(1, this.y));
    fill(
      this.drawing,
      svg("rect", { class: "sea", width: WIDTH, height: HEIGHT }),
      this.scale < COARSE && svg("path", { class: "land", d: LAND.map((line) => this.pathOf(line)).join("") }),
      this.net(),
      this.dots(),
      this.scaleBar(),
    );
  }

  left(x) {
    return (x - this.x) * this.scale + WIDTH / 2;
  }

  top(y) {
    return (y - this.y) * this.scale + HEIGHT / 2;
  }

  pathOf(line) {
    const corner = ([longitude, latitude]) => `${this.left(xOf(longitude)).toFixed(1)} ${this.top(yOf(latitude)).toFixed(1)}`;
    return `M${line.map(corner).join("L")}Z`;
  }

  net() {
    const [west, east] = [-1, 1].map((side) => (this.x + (side * WIDTH) / 2 / this.scale - 0.5) * 360);
    const [north, south] = [-1, 1].map((side) =>
      latitudeOf(Math.max(0, Math.min(1, this.y + (side * HEIGHT) / 2 / this.scale))),
    );
    const step = STEPS.findLast((each) => (each / 360) * this.scale >= 70) ?? STEPS[0];
    const lines = [];
    for (let at = Math.ceil(Math.max(west, -180) / step); at * step <= Math.min(east, 180); at++) {
      const x = this.left(xOf(at * step));
      lines.push(
        svg("line", { x1: x, x2: x, y1: 0, y2: HEIGHT }),
        svg("text", { x: x + 3, y: 10 }, degrees(at * step, step, "E", "W")),
      );
    }
    for (let at = Math.ceil(Math.max(south, -80) / step); at * step <= Math.min(north, 80); at++) {
      const y = this.top(yOf(at * step));
      lines.push(
        svg("line", { x1: 0, x2: WIDTH, y1: y, y2: y }),
        svg("text", { x: 3, y: y - 3 }, degrees(at * step, step, "N", "S")),
      );
    }
    return svg("g", { class: "net" }, lines);
  }

  dots() {
    const cells = new Map();
    for (const point of this.points) {
      const [x, y] = [this.left(point.x), this.top(point.y)];
      if (x < -NEAR || x > WIDTH + NEAR || y < -NEAR || y > HEIGHT + NEAR) continue;
      const key = `${Math.round(x / NEAR)} ${Math.round(y / NEAR)}`;
      const cell = cells.get(key) ?? { x: 0, y: 0, images: 0 };
      cells.set(key, { x: cell.x + x, y: cell.y + y, images: cell.images + 1 });
    }
    const largestFirst = [...cells.values()].sort((one, other) => other.images - one.images);
    return svg(
      "g",
      { class: "dots" },
      largestFirst.map(({ x, y, images }) =>
        svg(
          "circle",
          { cx: x / images, cy: y / images, r: Math.min(16, 3 + Math.sqrt(images)) },
          svg("title", {}, count(images, "image")),
        ),
      ),
    );
  }

  scaleBar() {
    const unit = (EARTH_M * Math.cos((latitudeOf(this.y) * Math.PI) / 180)) / this.scale;
    const length = roundBelow(unit * 90);
    const width = length / unit;
    const [right, y] = [WIDTH - 8, HEIGHT - 8];
    return svg(
      "g",
      { class: "scale" },
      svg("path", { d: `M${right - width} ${y - 4}V${y}H${right}V${y - 4}` }),
      svg("text", { x: right, y: y - 7, "text-anchor": "end" }, metres(length)),
    );
  }
}

function labelOf(locations) {
  const latitudes = locations.map(({ latitude }) => latitude);
  const longitudes = locations.map(({ longitude }) => longitude);
  const corner = (latitude, longitude) => `${degrees(latitude, 0.01, "N", "S")} ${degrees(longitude, 0.01, "E", "W")}`;
  const [southWest, northEast] = [corner(min(latitudes), min(longitudes)), corner(max(latitudes), max(longitudes))];
  const keys = "Arrow keys move the map, plus and minus change its scale.";
  return `${count(locations.length, "position")} between ${southWest} and ${northEast}. ${keys}`;
}

/** 1, 2 or 5 times a power of ten, at most a value. */
function roundBelow(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [5, 2, 1].find((each) => each * power <= value) * power;
}

// Spreading thousands of values into Math.min's arguments has a limit.
const min = (values) => values.reduce((one, other) => Math.min(one, other));
const max = (values) => values.reduce((one, other) => Math.max(one, other));
