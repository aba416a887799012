/** Runs in words. */

import { h } from "../../dom.js";
import { number } from "../../format.js";

const STATES = {
  running: ["Running", ""],
  succeeded: ["Done", "good"],
  held_back: ["Held back", "warning"],
  failed: ["Failed", "danger"],
  cancelled: ["Cancelled", ""],
};

const STAGES = {
  reading: "Reading the images",
  neighbors: "Finding every image's nearest neighbours",
  reducing: "Reducing the dimensions",
  grouping: "Finding groups",
  mapping: "Drawing the map",
  assigning: "Assigning the images that are not in the sample",
  matching: "Handing on the ids, and naming",
  writing: "Writing what changed",
};

const PARAMETERS = {
  granularity: "Granularity",
  cluster_count: "Clusters asked for",
  method: "Method",
  reducer: "Dimensions reduced by",
  n_neighbors: "Neighbours",
  n_components: "Dimensions",
  min_cluster_size: "Smallest cluster",
  min_samples: "Conservatism",
  seed: "Seed",
};

/** What a run is doing. */
export const stageOf = (run) => STAGES[run.stage] ?? run.stage ?? "";

/** Who asked for a run. */
export function triggerOf(run) {
  if (run.kind === "correction") return run.trigger.startsWith("undo") ? "Undo of a correction" : "Correction";
  if (run.trigger.startsWith("schedule")) return `By itself (${run.trigger.replace(/^schedule: ?/, "")})`;
  return "Asked for";
}

/** What became of a run, as a badge; and whether it is in force. */
export function stateOf(run) {
  const [text, style] = STATES[run.state] ?? [run.state, ""];
  return [
    h("span", { class: `badge ${style}` }, text),
    run.active && h("span", { class: "badge good" }, "In force"),
  ].filter(Boolean);
}

/** Its parameters by name, those that say something. */
export function parametersOf(run) {
  return Object.entries(PARAMETERS)
    .map(([key, name]) => [name, run.parameters?.[key]])
    .filter(([, value]) => value !== null && value !== undefined && value !== 0 && value !== "")
    .map(([name, value]) => [name, typeof value === "number" ? number(value) : String(value).replaceAll("_", " ")]);
}

/** Seconds from its start to its end, or to now. */
export const secondsOf = (run) => Math.max(
  0,
  ((run.end_time ? Date.parse(run.end_time) : Date.now()) - Date.parse(run.create_time)) / 1000,
);

/** Whether it has a result that can be compared and put in force. */
export const hasResult = (run) => run.retained && (run.state === "succeeded" || run.state === "held_back");
