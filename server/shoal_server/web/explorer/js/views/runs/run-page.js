/** One run: what it found, how, and how long it took. */

import { fill, h } from "../../dom.js";
import { count, dateTime, decimal, duration, number, percent } from "../../format.js";
import { fail } from "../../live.js";
import { tableFrame } from "../../table-frame.js";
import { putInForce } from "./put-in-force.js";
import { watchRun } from "./run-watch.js";
import { hasResult, parametersOf, secondsOf, stateOf, triggerOf } from "./run-words.js";

/**
 * @param {import("../../main.js").ViewContext} context
 * @param {string} id of the run
 */
export async function openRun(context, id) {
  const { root, api, signal } = context;
  const run = await api.get(["runs", id], {}, { signal });
  context.title(`Run of ${dateTime(run.create_time)}`);
  const activate = () => putInForce(context, run).catch(fail);
  const compare = run.parent && hasResult(run) && h(
    "a",
    { class: "button", href: context.link({ view: "runs", path: ["compare"], params: { from: run.parent, to: run.id } }) },
    "Compare with the run before",
  );
  fill(
    root,
    h("p", { class: "trail" }, h("a", { href: context.link({ view: "runs" }) }, "Runs")),
    h(
      "div",
      { class: "view-head" },
      h(
        "div",
        {},
        h("h1", {}, `Run of ${dateTime(run.create_time)}`),
        h("p", { class: "row badges" }, stateOf(run), h("span", {}, triggerOf(run)), h("code", {}, run.id)),
      ),
      h(
        "div",
        { class: "row" },
        compare,
        hasResult(run) && !run.active && context.mayChange && h(
          "button",
          { type: "button", on: { click: activate } },
          "Put in force…",
        ),
      ),
    ),
    h(
      "div",
      { class: "stack" },
      run.state === "running" && watchRun(context, run, context.reload),
      run.error && h("div", { class: "notice danger", role: "alert" }, h("p", {}, run.error.message)),
      run.held_because.length > 0 && h(
        "div",
        { class: "notice" },
        h("p", {}, "It is not in force, for beside the clusters that are it is implausible:"),
        h("ul", {}, run.held_because.map((each) => h("li", {}, each))),
      ),
      run.summary && outcome(run),
      h(
        "div",
        { class: "columns" },
        facts("How", parametersOf(run)),
        facts(
          "Seconds by stage",
          Object.entries(run.timings ?? {}).map(([stage, seconds]) => [stage, duration(seconds)]),
          [["All in all", duration(secondsOf(run))]],
        ),
      ),
      run.trials?.length > 0 && trialsOf(run.trials),
      lineageOf(context, run.lineage ?? []),
    ),
  );
}

function outcome({ summary, quality, sampled_count: sampled }) {
  const figure = (value, text) => h("div", { class: "figure" }, h("dt", {}, text), h("dd", { class: "numeric" }, value));
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "What it found"),
    h(
      "dl",
      { class: "figures" },
      figure(number(summary.cluster_count), "clusters"),
      figure(number(summary.clustered_count), "images in a cluster"),
      figure(number(summary.noise_count), "in none"),
      figure(number(summary.kept_count), "ids kept"),
      figure(number(summary.born_count), "new ids"),
      figure(number(summary.dissolved_count), "ids gone"),
      figure(number(summary.payload_write_count), "images written"),
      sampled > 0 && figure(number(sampled), "in the sample"),
      Object.entries(quality ?? {}).map(([name, value]) => figure(decimal(value), name.replaceAll("_", " "))),
    ),
  );
}

function facts(title, entries, more = []) {
  const all = [...entries, ...more];
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, title),
    all.length > 0 ? h(
      "dl",
      { class: "facts plain" },
      all.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "numeric" }, value))),
    ) : h("p", { class: "muted" }, "Nothing was recorded."),
  );
}

function trialsOf(trials) {
  const heads = ["Smallest cluster", "Conservatism", "Clusters", "In none", "Score"];
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "What the search for settings tried"),
    tableFrame(
      "What the search for settings tried",
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            heads.map((name) => h("th", { scope: "col", class: "numeric" }, name)),
            h("th", { scope: "col" }, "Verdict"),
          ),
        ),
        h(
          "tbody",
          {},
          trials.map((each) =>
            h(
              "tr",
              {},
              [
                number(each.min_cluster_size),
                number(each.min_samples),
                number(each.cluster_count),
                percent(each.noise_share),
                each.score === null ? "—" : decimal(each.score),
              ].map((value) => h("td", { class: "numeric" }, value)),
              h("td", {}, each.verdict),
            ),
          ),
        ),
      ),
    ),
  );
}

const KINDS = {
  continued: "kept its id",
  merged: "took in another",
  split: "split off",
  born: "new",
  returned: "found again",
  dissolved: "gone",
};

function lineageOf(context, lineage) {
  const told = lineage.filter((each) => each.kind !== "continued");
  if (lineage.length === 0) return null;
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "What became of the clusters"),
    h(
      "p",
      { class: "muted" },
      `${count(lineage.length - told.length, "cluster")} kept ${lineage.length - told.length === 1 ? "its id" : "their ids"}.`,
    ),
    h(
      "ul",
      { class: "lineage" },
      told.map((each) =>
        h(
          "li",
          {},
          each.kind === "dissolved" ? `Cluster ${each.cluster}` : h(
            "a",
            { href: context.link({ view: "clusters", path: [each.cluster] }) },
            `Cluster ${each.cluster}`,
          ),
          h("span", { class: "muted" }, ` ${KINDS[each.kind] ?? each.kind}`),
        ),
      ),
    ),
  );
}
