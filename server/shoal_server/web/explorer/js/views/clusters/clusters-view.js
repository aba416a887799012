/** Clusters: the wall of all, the page of one, and the images in none. */

import { fill } from "../../dom.js";
import { busyState } from "../../states.js";
import { openCluster } from "./cluster-page.js";
import { openUnclustered } from "./unclustered-page.js";
import { openWall } from "./wall.js";

/** @param {import("../../main.js").ViewContext} context */
export function open(context) {
  fill(context.root, busyState());
  const [which] = context.route.path;
  if (which === undefined) return openWall(context);
  return which === "none" ? openUnclustered(context) : openCluster(context, which);
}
