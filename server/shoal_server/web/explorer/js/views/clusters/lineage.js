/** What became of a cluster in each run. */

import { h } from "../../dom.js";
import { count, dateTime, percent } from "../../format.js";

const KINDS = {
  continued: "Kept its id",
  merged: "Took in another cluster",
  split: "Split off",
  born: "Found for the first time",
  returned: "Found again",
  dissolved: "Not found",
};

/** @param {object} cluster as the API gives it */
export async function lineageOf(context, cluster) {
  const { steps } = await context.api.get(["clusters", cluster.id, "lineage"], {}, { signal: context.signal });
  if (steps.length === 0) return h("p", { class: "muted" }, "Nothing is known: the runs that touched it are no longer kept.");
  return h("ol", { class: "lineage" }, steps.map((step) => stepOf(context, step, cluster)));
}

function stepOf(context, step, cluster) {
  return h(
    "li",
    {},
    h(
      "p",
      {},
      h("strong", {}, KINDS[step.kind] ?? step.kind),
      h("span", { class: "muted" }, step.run_kind === "correction" ? " by a correction" : " by clustering"),
    ),
    h(
      "p",
      { class: "muted" },
      dateTime(step.time),
      " · ",
      h("a", { href: context.link({ view: "runs", path: [step.run] }) }, `run ${step.run}`),
    ),
    step.shares.length > 0 && h(
      "ul",
      { class: "muted" },
      step.shares.slice(0, 5).map((share) => h("li", {}, shareOf(context, step, share, cluster))),
    ),
  );
}

function shareOf(context, step, share, cluster) {
  const images = count(share.image_count, "image");
  const gone = step.kind === "dissolved";
  if (share.cluster === null) return gone ? `${images} in no cluster now` : `${images} were in no cluster`;
  const name = share.display_name ? `“${share.display_name}”` : `cluster ${share.cluster}`;
  const other = share.cluster === cluster.id ? "itself" : h(
    "a",
    { href: context.link({ view: "clusters", path: [share.cluster] }) },
    name,
  );
  return gone ? [`${images} to `, other] : [`${images} from `, other, ` (${percent(share.of_before)} of it)`];
}
