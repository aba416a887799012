/** Putting a run's clusters in force, after showing what that moves. */

import { openDialog } from "../../dialog.js";
import { fill, h } from "../../dom.js";
import { dateTime } from "../../format.js";
import { toast } from "../../live.js";
import { comparisonOf } from "./comparison.js";

/** @param {object} run as the API gives it */
export async function putInForce(context, run) {
  const preview = h(
    "section",
    { class: "preview", "aria-label": "What will change", "aria-live": "polite" },
    h("p", { class: "muted waiting" }, "Looking at what would change…"),
  );
  const done = await openDialog({
    title: `Put the run of ${dateTime(run.create_time)} in force`,
    body: [
      run.held_because.length > 0 && h(
        "div",
        { class: "notice" },
        h("p", {}, "It was held back:"),
        h("ul", {}, run.held_because.map((each) => h("li", {}, each))),
      ),
      preview,
    ],
    confirm: "Put in force",
    wide: true,
    async opened(dialog, button) {
      button.disabled = true;
      try {
        fill(preview, await changes(context, run));
        button.disabled = false;
        if (!dialog.contains(document.activeElement) || document.activeElement === dialog) button.focus();
      } catch (error) {
        fill(preview, h("p", { class: "field-error" }, error.message));
      }
    },
    submit: () => context.api.post(["runs", `${run.id}:activate`]),
  });
  if (!done) return;
  toast("The run is in force");
  await (context.changed ?? context.reload)();
}

async function changes(context, run) {
  const { active_run: active } = await context.api.get([], {}, { signal: context.signal });
  if (!active) return h("p", {}, "No run is in force yet; this one's clusters will be.");
  const compared = await context.api.get("runs:compare", { from: active, to: run.id }, { signal: context.signal });
  return [
    comparisonOf(context, compared, { flows: 8 }),
    h(
      "p",
      { class: "muted" },
      "Only the images that move are written. Images that came since the run go where their neighbours are. ",
      "The run in force now can be put in force again.",
    ),
  ];
}
