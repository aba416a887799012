/** Which run the map shows, and what moved since another. */

import { fill, h } from "../../dom.js";
import { count, dateTime, number } from "../../format.js";

/** Flows listed; what is below them is a handful of images each. */
const AT_MOST = 40;

/** What a run is called in a list. */
function runLabel(run) {
  const clusters = run.summary ? count(run.summary.cluster_count, "cluster") : "";
  const what = run.kind === "correction" ? "correction" : clusters;
  return [run.active ? "In force" : "", dateTime(run.create_time), what].filter(Boolean).join(" · ");
}

/** Runs that can be drawn: they came to a result, and their files are still there. */
export const drawable = (run) => run.retained && (run.state === "succeeded" || run.state === "held_back");

/**
 * Pickers of the run and of the one to compare it with.
 *
 * @param {object[]} runs drawable ones, the newest first
 * @param {{run: string, other: string}} shown ids; "" for no other
 * @param {(changes: {run?: string, with?: string|null}) => void} choose
 */
export function runPickers(runs, { run, other }, choose) {
  const picker = (id, label, options, value, changed) => {
    const select = h("select", { id, on: { change: () => changed(select.value) } }, options);
    select.value = value;
    return h("div", { class: "field" }, h("label", { for: id }, label), select);
  };
  const option = (each) => h("option", { value: each.id }, runLabel(each));
  const others = runs.filter((each) => each.id !== run);
  return h(
    "div",
    { class: "stack tight" },
    picker("map-run", "Run", runs.map(option), run, (value) => choose({ run: value, with: null, side: null })),
    others.length > 0 &&
      picker(
        "map-other",
        "What moved since",
        [h("option", { value: "" }, "(no comparison)"), others.map(option)],
        other,
        (value) => choose({ with: value, side: null }),
      ),
  );
}

/**
 * What moved between two runs.
 *
 * @param {object} options
 * @param {ReturnType<import("./run-comparison.js").compare>} options.comparison
 * @param {(cluster: number) => string} options.nameBefore
 * @param {(cluster: number) => string} options.nameNow
 * @param {"before"|"now"} options.side
 * @param {(side: "before"|"now") => void} options.turn to the other side
 * @param {(flow: import("./run-comparison.js").Flow|null) => void} options.focus
 * @param {(flow: import("./run-comparison.js").Flow) => void} options.select
 */
export function comparisonPanel({ comparison, nameBefore, nameNow, side, turn, focus, select }) {
  const { flows, added, removed } = comparison;
  const moved = flows.reduce((sum, flow) => sum + flow.rows.length, 0);
  const sides = [
    ["before", "Before"],
    ["now", "After"],
  ].map(([value, label]) => {
    const pressed = String(value === side);
    const on = { click: () => show(value) };
    const dataset = { side: value };
    return h("button", { type: "button", class: "small", "aria-pressed": pressed, dataset, on }, label);
  });
  const show = (value) => {
    for (const button of sides) button.setAttribute("aria-pressed", String(button.dataset.side === value));
    turn(value);
  };
  const lines = flows.slice(0, AT_MOST).map((flow) => {
    const said = `${nameBefore(flow.from)} → ${nameNow(flow.to)}`;
    const line = h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "quiet map-cluster", "aria-pressed": "false", on: { click: () => press(line, flow) } },
        h("span", { class: "map-cluster-name" }, said),
        h("span", { class: "map-cluster-size" }, number(flow.rows.length)),
      ),
      h(
        "button",
        {
          type: "button",
          class: "quiet small",
          "aria-label": `Select the images that went from ${said}`,
          title: "Select these images",
          on: { click: () => select(flow) },
        },
        "Select",
      ),
    );
    return line;
  });
  const press = (line, flow) => {
    const wasPressed = line.classList.contains("current");
    for (const each of lines) {
      const pressed = each === line && !wasPressed;
      each.classList.toggle("current", pressed);
      each.querySelector("button").setAttribute("aria-pressed", String(pressed));
    }
    focus(wasPressed ? null : flow);
  };
  const rest = flows.length - AT_MOST;
  return fill(
    h("section", { class: "map-comparison", "aria-label": "What moved" }),
    h("div", { class: "button-group" }, sides),
    h(
      "p",
      {},
      moved ? `${count(moved, "image")} changed cluster.` : "No image changed its cluster.",
      added ? ` ${count(added, "image")} came.` : "",
      removed ? ` ${count(removed, "image")} left.` : "",
    ),
    h("ul", { class: "map-clusters" }, lines),
    rest > 0 && h("p", { class: "muted" }, `And ${count(rest, "smaller movement")}.`),
  );
}
