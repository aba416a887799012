/** Makes selected images a cluster of their own. */

import { ApiError } from "../api-error.js";
import { splitOff } from "./split.js";

/** Images that are asked for at once. */
const AT_ONCE = 1000;

/** @param {string[]} ids of images, all of one cluster */
export async function open(context, ids) {
  const clusters = new Set();
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const { images } = await context.api.post("images:get", { ids: ids.slice(at, at + AT_ONCE) });
    for (const image of images) clusters.add(image.cluster);
  }
  if (clusters.size !== 1 || clusters.has(null)) {
    throw new ApiError(
      0,
      "SEVERAL_CLUSTERS",
      "These images are not all in one cluster. Select images of one cluster, or move them into one first.",
    );
  }
  const [cluster] = clusters;
  if (await splitOff(context, cluster, ids)) context.selection.clear();
}
