/** All runs: start one, watch it, compare two, put one in force. */

import { fill, h } from "../../dom.js";
import { dateTime, duration, number } from "../../format.js";
import { announce, fail } from "../../live.js";
import { emptyState } from "../../states.js";
import { putInForce } from "./put-in-force.js";
import { startForm } from "./run-start.js";
import { watchRun } from "./run-watch.js";
import { hasResult, secondsOf, stateOf, triggerOf } from "./run-words.js";

/** Runs of a stretch. */
const STRETCH = 50;

/** @param {import("../../main.js").ViewContext} context */
export async function openRuns(context) {
  const { root, api, signal } = context;
  const live = h("div", {});
  const list = h("div", { class: "stack" });
  const corrections = context.route.params.get("corrections") === "on";
  let runs = [];

  async function load() {
    runs = await api.all("runs", corrections ? {} : { kind: "clustering" }, { limit: STRETCH, signal });
    show();
  }
  function show() {
    const running = runs.find((run) => run.state === "running");
    if (running) {
      if (live.dataset.run !== running.id) {
        live.dataset.run = running.id;
        fill(live, watchRun(context, running, ended));
      }
    } else {
      delete live.dataset.run;
      fill(live, context.mayChange && startForm(context, collection, started));
    }
    const shown = runs.filter((run) => corrections || run.kind === "clustering");
    fill(
      list,
      shown.length ? tableOf(context, shown) : emptyState({
        title: "Not clustered yet",
        text: context.mayChange && "Start the first run above; it takes a minute for a few thousand images.",
        command: context.mayChange && "shoal cluster",
      }),
    );
  }
  async function started(run) {
    runs = [run, ...runs.filter(({ id }) => id !== run.id)];
    show();
  }
  async function ended(run) {
    announce(`The run has ended: ${run.state.replace("_", " ")}`);
    await load().catch(fail);
  }
  context.changed = load;

  const collection = await api.get([], {}, { signal });
  await load();
  const toggle = h(
    "input",
    {
      type: "checkbox",
      checked: corrections,
      on: { change: () => context.setParams({ corrections: toggle.checked ? "on" : "" }) },
    },
  );
  fill(
    root,
    h(
      "div",
      { class: "view-head" },
      h(
        "div",
        {},
        h("h1", {}, "Runs"),
        h(
          "p",
          {},
          "Each run looks for clusters anew. Ids stay, corrections are respected, and every run can be put in force again.",
        ),
      ),
    ),
    h(
      "div",
      { class: "stack" },
      live,
      h(
        "section",
        { class: "stack", "aria-label": "Runs" },
        h("label", { class: "check" }, toggle, "Show corrections too"),
        list,
      ),
    ),
  );
}

function tableOf(context, runs) {
  const boxes = runs.map((run) =>
    h(
      "input",
      {
        type: "checkbox",
        "aria-label": `Compare the run of ${dateTime(run.create_time)}`,
        disabled: !hasResult(run),
        value: run.id,
      },
    ),
  );
  const compare = h("button", { type: "button", disabled: true }, "Compare two");
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  const look = () => (compare.disabled = chosen().length !== 2);
  for (const box of boxes) box.addEventListener("change", look);
  compare.addEventListener("click", () => {
    // The newest stands first.
    const [to, from] = chosen();
    location.hash = context.link({ view: "runs", path: ["compare"], params: { from, to } });
  });
  const heads = [
    ["", ""],
    ["Started", ""],
    ["", ""],
    ["Clusters", "numeric"],
    ["In none", "numeric"],
    ["Ids kept, new, gone", "numeric"],
    ["Took", "numeric"],
    ["", ""],
  ];
  return [
    h("div", { class: "row" }, compare, h("p", { class: "muted" }, "Tick two runs to see what moved between them.")),
    h(
      "div",
      { class: "table-frame panel" },
      h(
        "table",
        { class: "runs" },
        h("caption", { class: "visually-hidden" }, "Runs, newest first"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            heads.map(([name, style], at) =>
              h(
                "th",
                { scope: "col", class: style || null },
                name || h("span", { class: "visually-hidden" }, ["Compare", "", "State", "", "", "", "", "What to do"][at]),
              ),
            ),
          ),
        ),
        h("tbody", {}, runs.map((run, at) => rowOf(context, run, boxes[at]))),
      ),
    ),
  ];
}

function rowOf(context, run, box) {
  const { summary } = run;
  const activate = () => putInForce(context, run).catch(fail);
  return h(
    "tr",
    { dataset: { run: run.id } },
    h("td", {}, box),
    h(
      "td",
      {},
      h("a", { href: context.link({ view: "runs", path: [run.id] }) }, dateTime(run.create_time)),
      h("p", { class: "muted" }, triggerOf(run)),
    ),
    h("td", {}, h("div", { class: "row" }, stateOf(run))),
    h("td", { class: "numeric" }, summary ? number(summary.cluster_count) : "—"),
    h("td", { class: "numeric" }, summary ? number(summary.noise_count) : "—"),
    h(
      "td",
      { class: "numeric" },
      summary ? `${number(summary.kept_count)}, ${number(summary.born_count)}, ${number(summary.dissolved_count)}` : "—",
    ),
    h("td", { class: "numeric" }, duration(secondsOf(run))),
    h(
      "td",
      {},
      hasResult(run) && !run.active && context.mayChange && h(
        "button",
        { type: "button", class: "small", on: { click: activate } },
        "Put in force…",
      ),
    ),
  );
}
