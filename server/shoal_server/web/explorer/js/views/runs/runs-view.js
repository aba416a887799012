/** Clustering runs: all of them, one, or two compared. */

import { fill } from "../../dom.js";
import { busyState } from "../../states.js";
import { openComparison } from "./comparison-page.js";
import { openRun } from "./run-page.js";
import { openRuns } from "./run-list.js";

/** @param {import("../../main.js").ViewContext} context */
export function open(context) {
  fill(context.root, busyState());
  const [which] = context.route.path;
  if (which === undefined) return openRuns(context);
  return which === "compare" ? openComparison(context) : openRun(context, which);
}
