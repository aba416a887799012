/** Pinning a cluster, letting go of it, and dissolving it. */

import { clusterName } from "../cards.js";
import { correct } from "./correction.js";

/** Pins a cluster, or lets go of a pinned one. */
export function pin(context, cluster) {
  const pinned = !cluster.pinned;
  return correct(context, {
    title: `${pinned ? "Pin" : "Unpin"} “${clusterName(cluster)}”`,
    request: () => ({ parts: ["clusters", `${cluster.id}:pin`], body: { pinned } }),
    confirm: pinned ? "Pin" : "Unpin",
    said: `${pinned ? "Pinned" : "Unpinned"} “${clusterName(cluster)}”`,
    remark: pinned ? "It keeps its id and its images in every later run." : "Later runs may change it again.",
  });
}

/** Takes all images out of a cluster. */
export function dissolve(context, cluster) {
  return correct(context, {
    title: `Dissolve “${clusterName(cluster)}”`,
    request: () => ({ parts: ["clusters", `${cluster.id}:dissolve`] }),
    confirm: "Dissolve",
    danger: true,
    said: `Dissolved “${clusterName(cluster)}”`,
    remark: "Its images stay in the collection, in no cluster. Later runs do not find this group again.",
  });
}
