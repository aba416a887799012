/** When images were taken, as columns. */

import { h, svg } from "../../dom.js";
import { count, month, number, date } from "../../format.js";

const WIDTH = 360;
const HEIGHT = 130;
/** Room for the labels below the columns. */
const BELOW = 20;
/** Columns that are drawn at most; beyond, neighbours share one. */
const COLUMNS = 120;

/** @param {object} where the filter that lets the images through */
export async function timelineOf(context, where) {
  const { unit, buckets, without } = await context.api.post("images:timeline", { where }, { signal: context.signal });
  if (buckets.length === 0) return h("p", { class: "muted" }, "None of its files says when it was taken.");
  const columns = together(unbroken(buckets, unit));
  const images = buckets.reduce((sum, each) => sum + each.count, 0);
  const [first, last] = [buckets[0], buckets.at(-1)].map(({ start }) => nameOf(start, unit));
  const span = first === last ? first : `${first} – ${last}`;
  const link = (earliest, before) => context.link({
    view: "search",
    params: { where: JSON.stringify({ ...where, captured: { earliest, before } }) },
  });
  return [
    h(
      "figure",
      { class: "timeline" },
      drawing(columns, unit, `${count(images, "image")}, ${span}`, link),
      h(
        "figcaption",
        {},
        h("span", {}, span),
        without > 0 && h("span", { class: "muted" }, `${number(without)} without a time`),
      ),
    ),
    h("details", {}, h("summary", {}, "As a table"), table(buckets, unit, link)),
  ];
}

function drawing(columns, unit, label, link) {
  const highest = Math.max(...columns.map((each) => each.count));
  const width = WIDTH / columns.length;
  const bars = columns.map((each, at) => {
    if (each.count === 0) return null;
    const height = Math.max(2, ((HEIGHT - BELOW - 14) * each.count) / highest);
    const gap = Math.min(2, width / 4);
    const name = `${nameOf(each.start, unit)}: ${count(each.count, "image")}`;
    return svg(
      "a",
      // Too many to be stepped through: the table has the same links for the keyboard.
      { href: link(each.start, after(columns, at, unit)), "aria-label": name, tabindex: "-1" },
      svg(
        "rect",
        {
          x: at * width + (width - Math.min(width - gap, 40)) / 2,
          y: HEIGHT - BELOW - height,
          width: Math.min(width - gap, 40),
          height,
          rx: Math.min(2, width / 4),
        },
        svg("title", {}, name),
      ),
    );
  });
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": label },
    svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - BELOW, y2: HEIGHT - BELOW }),
    bars,
    svg("text", { x: 0, y: 10 }, number(highest)),
    columns.length > 1 ? svg("text", { x: 0, y: HEIGHT - 5 }, nameOf(columns[0].start, unit)) : svg(
      "text",
      { x: WIDTH / 2, y: HEIGHT - 5, "text-anchor": "middle" },
      nameOf(columns[0].start, unit),
    ),
    columns.length > 1 && svg("text", { x: WIDTH, y: HEIGHT - 5, "text-anchor": "end" }, nameOf(columns.at(-1).start, unit)),
  );
}

function table(buckets, unit, link) {
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Taken"), h("th", { scope: "col", class: "numeric" }, "Images"))),
    h(
      "tbody",
      {},
      buckets.map((each) =>
        h(
          "tr",
          {},
          h(
            "th",
            { scope: "row" },
            h("a", { href: link(each.start, startOf(indexOf(each.start, unit) + 1, unit)) }, nameOf(each.start, unit)),
          ),
          h("td", { class: "numeric" }, number(each.count)),
        ),
      ),
    ),
  );
}

/** The same buckets with empty ones between them where there were no images. */
function unbroken(buckets, unit) {
  const counts = new Map(buckets.map(({ start, count: images }) => [indexOf(start, unit), { start, count: images }]));
  const [first, last] = [indexOf(buckets[0].start, unit), indexOf(buckets.at(-1).start, unit)];
  // A clock that was set wrong by centuries shall not make a million columns.
  if (last - first > 5000) return buckets;
  return Array.from(
    { length: last - first + 1 },
    (_, at) => counts.get(first + at) ?? { start: startOf(first + at, unit), count: 0 },
  );
}

/** As many columns as there is room for. */
function together(buckets) {
  const size = Math.ceil(buckets.length / COLUMNS);
  if (size === 1) return buckets;
  const columns = [];
  for (let at = 0; at < buckets.length; at += size) {
    const some = buckets.slice(at, at + size);
    columns.push({ start: some[0].start, count: some.reduce((sum, each) => sum + each.count, 0) });
  }
  return columns;
}

const DAY_MS = 86_400_000;

function indexOf(start, unit) {
  const [year, months = 1] = start.split("-").map(Number);
  if (unit === "year") return year;
  if (unit === "month") return year * 12 + months - 1;
  return Math.round(Date.parse(`${start}T00:00:00Z`) / DAY_MS);
}

function startOf(index, unit) {
  if (unit === "year") return String(index).padStart(4, "0");
  if (unit === "month") return `${String(Math.floor(index / 12)).padStart(4, "0")}-${String((index % 12) + 1).padStart(2, "0")}`;
  return new Date(index * DAY_MS).toISOString().slice(0, 10);
}

/** Where a column ends, which is where the next one begins. */
function after(columns, at, unit) {
  return columns[at + 1]?.start ?? startOf(
    indexOf(columns[at].start, unit) + (
      at > 0 ? indexOf(columns[at].start, unit) - indexOf(columns[at - 1].start, unit) : 1
    ),
    unit,
  );
}

function nameOf(start, unit) {
  if (unit === "year") return start.replace(/^0+/, "");
  return (unit === "month" ? month : date)(`${start}${unit === "month" ? "-01" : ""}T00:00:00`);
}
