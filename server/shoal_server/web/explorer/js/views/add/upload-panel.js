/** How far an upload is, what failed and why. */

import { fill, h } from "../../dom.js";
import { count, duration, number } from "../../format.js";
import { fail } from "../../live.js";

/** Failures that are listed. */
const LISTED = 200;

/** @param {import("./upload.js").Upload} upload */
export function uploadPanel(context, upload) {
  const bar = h("progress", { max: upload.files.length, "aria-label": "Files that are in" });
  const title = h("h2", {});
  const said = h("p", { class: "numeric" });
  const rest = h("p", { class: "muted numeric" });
  const strip = h("div", { class: "strip" });
  const failures = h("div", {});
  const stop = h("button", { type: "button", on: { click: () => upload.stop() } }, "Stop");
  const next = h("div", { class: "row" });
  const state = { newest: null, failed: -1 };

  const show = () => {
    const [stored, known, failed, waiting] = ["stored", "known", "failed", "waiting"].map((each) => upload.count(each));
    bar.value = upload.files.length - waiting;
    title.textContent = upload.under_way ? `${count(upload.files.length, "picture")} on the way` : upload.stopped ? "Stopped" : "Done";
    const done = `${number(stored)} stored · ${number(known)} there already · ${number(failed)} failed`;
    said.textContent = waiting ? `${done} · ${number(waiting)} to go` : done;
    rest.textContent = upload.under_way && upload.remaining !== null ? `about ${duration(upload.remaining)} left` : "";
    stop.hidden = !upload.under_way;
    if (state.newest !== upload.newest) {
      state.newest = upload.newest;
      fill(strip, upload.newest.map((image) => context.thumbnails.element(image.id)));
    }
    if (state.failed !== failed) {
      state.failed = failed;
      fill(failures, failed > 0 && failuresOf(upload));
    }
    bar.hidden = !upload.under_way;
    fill(next, !upload.under_way && whatNext(context, upload, failed, stored + known));
  };
  // As often as a person can follow.
  let timer = 0;
  const soon = () => {
    if (!upload.under_way) return show();
    timer ||= setTimeout(() => ((timer = 0), show()), 100);
  };
  upload.addEventListener("change", soon);
  context.signal.addEventListener("abort", () => upload.removeEventListener("change", soon));
  show();
  return h(
    "section",
    { class: "panel stack", "aria-label": "Files on their way" },
    h("div", { class: "row spread" }, title, stop),
    bar,
    h("div", { class: "row spread" }, said, rest),
    strip,
    next,
    failures,
  );
}

function whatNext(context, upload, failed, there) {
  return [
    there > 0 && h("a", { class: "button primary", href: context.link({ view: "runs" }) }, "Cluster them"),
    there > 0 && h("a", { class: "button", href: context.link({ view: "search" }) }, "Look at them"),
    failed > 0 && !upload.stopped && h(
      "button",
      { type: "button", on: { click: () => upload.again().catch(fail) } },
      "Try those again that failed",
    ),
  ];
}

function failuresOf(upload) {
  const failed = upload.files.filter((each) => each.state === "failed");
  return h(
    "details",
    { open: failed.length <= 20 },
    h("summary", {}, `${count(failed.length, "file")} failed; the others are not affected`),
    h(
      "ul",
      { class: "failures" },
      failed.slice(0, LISTED).map(({ name, error }) =>
        h("li", {}, h("strong", {}, name), h("p", { class: "muted" }, error.message, " ", error.advice ?? "")),
      ),
    ),
    failed.length > LISTED && h("p", { class: "muted" }, `and ${count(failed.length - LISTED, "other")}`),
  );
}
