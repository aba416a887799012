/** Watching a run that is under way, and cancelling it. */

import { openDialog } from "../../dialog.js";
import { h } from "../../dom.js";
import { duration, percent } from "../../format.js";
import { fail } from "../../live.js";
import { stageOf } from "./run-words.js";

/** Milliseconds until a stream that broke is asked for again, at first. */
const AGAIN = 1000;
const AGAIN_AT_MOST = 15_000;

/**
 * Shows a run's progress until it ends.
 *
 * @param {object} run as the API gives it
 * @param {(run: object) => void} ended
 */
export function watchRun(context, run, ended) {
  const bar = h("progress", { max: 1, value: run.progress, "aria-label": "Progress of the run" });
  const stage = h("p", { role: "status" });
  const rest = h("p", { class: "muted numeric" });
  const cancel = h("button", { type: "button", on: { click: () => askToCancel(context, run).catch(fail) } }, "Cancel…");
  const show = (now) => {
    bar.value = now.progress;
    // Only what changed is said to screen readers.
    if (stage.textContent !== stageOf(now)) stage.textContent = stageOf(now);
    rest.textContent = [
      percent(now.progress),
      now.remaining_s ? `about ${duration(now.remaining_s)} left` : "",
    ].filter(Boolean).join(" · ");
  };
  show(run);
  follow(context, run.id, show).then(ended, fail);
  return h(
    "section",
    { class: "panel stack watch-run", "aria-label": "The run under way" },
    h("div", { class: "row" }, h("h2", {}, "Clustering…"), context.mayChange && cancel),
    bar,
    h("div", { class: "row spread" }, stage, rest),
  );
}

/** Follows a run to its end, over connections that break; the run as it ended. */
async function follow(context, id, show) {
  for (let wait = AGAIN; ; wait = Math.min(2 * wait, AGAIN_AT_MOST)) {
    try {
      for await (const { event, data } of context.api.events(["runs", id, "events"], { signal: context.signal })) {
        if (event !== "run") continue;
        show(data);
        wait = AGAIN;
        if (data.state !== "running") return data;
      }
    } catch (error) {
      if (context.signal.aborted || (error.status && error.status < 500)) throw error;
    }
    const run = await context.api.get(["runs", id], {}, { signal: context.signal }).catch((error) => {
      if (context.signal.aborted) throw error;
      return null;
    });
    if (run && run.state !== "running") return run;
    await new Promise((resolve) => setTimeout(resolve, wait));
    context.signal.throwIfAborted();
  }
}

function askToCancel(context, run) {
  return openDialog({
    title: "Cancel this run?",
    body: [h("p", {}, "The clusters stay as they were before it. What it has found so far is lost.")],
    confirm: "Cancel the run",
    danger: true,
    submit: () => context.api.post(["runs", `${run.id}:cancel`]),
  });
}
