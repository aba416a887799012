/** Two runs, compared. */

import { fill, h } from "../../dom.js";
import { dateTime } from "../../format.js";
import { busyState, emptyState, errorState } from "../../states.js";
import { comparisonOf } from "./comparison.js";
import { hasResult, triggerOf } from "./run-words.js";

/** @param {import("../../main.js").ViewContext} context */
export async function openComparison(context) {
  const { root, api, signal, route } = context;
  const runs = (await api.all("runs", {}, { limit: 200, signal })).filter(hasResult);
  context.title("Two runs compared");
  const head = [
    h("p", { class: "trail" }, h("a", { href: context.link({ view: "runs" }) }, "Runs")),
    h("div", { class: "view-head" }, h("div", {}, h("h1", {}, "Two runs compared"))),
  ];
  if (runs.length < 2) {
    fill(
      root,
      head,
      emptyState({
        title: "There are no two runs to compare",
        text: "Cluster again, or correct something: then there are.",
        actions: [h("a", { class: "button", href: context.link({ view: "runs" }) }, "See the runs")],
      }),
    );
    return;
  }
  const body = h("section", { class: "panel", "aria-live": "polite" });
  const label = (run) => `${dateTime(run.create_time)} · ${triggerOf(run)}${run.active ? " · in force" : ""}`;
  const picker = (id, text, chosen) => h(
    "div",
    { class: "field grow" },
    h("label", { for: id }, text),
    h("select", { id }, runs.map((run) => h("option", { value: run.id, selected: run.id === chosen }, label(run)))),
  );
  const [newest, before] = runs;
  const from = picker("compare-from", "The run before", route.params.get("from") ?? before.id);
  const to = picker("compare-to", "The run after", route.params.get("to") ?? newest.id);
  const chosen = (field) => field.querySelector("select").value;
  const onMap = h("a", { class: "button" }, "On the map");
  async function show() {
    onMap.href = context.link({ view: "map", params: { run: chosen(to), with: chosen(from) } });
    context.setParams({ from: chosen(from), to: chosen(to) }, { replace: true });
    fill(body, busyState());
    try {
      fill(body, comparisonOf(context, await api.get("runs:compare", { from: chosen(from), to: chosen(to) }, { signal })));
    } catch (error) {
      if (error.name !== "AbortError") fill(body, errorState(error, show));
    }
  }
  for (const field of [from, to]) field.addEventListener("change", show);
  fill(root, head, h("div", { class: "toolbar" }, from, to, onMap), body);
  await show();
}
