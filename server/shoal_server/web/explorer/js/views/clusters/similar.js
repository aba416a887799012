/** Clusters that are like one. */

import { clusterCard, clusterName } from "../../cards.js";
import { mergeTwo } from "../../dialogs/merge.js";
import { h } from "../../dom.js";
import { decimal } from "../../format.js";
import { fail } from "../../live.js";

/** How many are shown. */
const SHOWN = 6;

/** @param {object} cluster as the API gives it */
export async function similarTo(context, cluster) {
  const { clusters } = await context.api.get(
    ["clusters", cluster.id, "similar"],
    { limit: SHOWN },
    { signal: context.signal },
  );
  if (clusters.length === 0) return h("p", { class: "muted" }, "It is the only cluster.");
  return h(
    "div",
    { class: "card-grid" },
    clusters.map((each) => {
      const card = clusterCard(
        each.cluster,
        { thumbnails: context.thumbnails, detail: `similarity ${decimal(each.similarity)}` },
      );
      const merge = () => mergeTwo(context, each.cluster, cluster).catch(fail);
      if (context.mayChange) card.append(
        h(
          "div",
          { class: "card-foot" },
          h(
            "button",
            {
              type: "button",
              class: "small",
              "aria-label": `Merge ${clusterName(each.cluster)} into this cluster`,
              on: { click: merge },
            },
            "Merge…",
          ),
        ),
      );
      return card;
    }),
  );
}
