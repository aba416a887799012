/** Putting images into a cluster, or out of any. */

import { clusterPicker } from "../cluster-picker.js";
import { count } from "../format.js";
import { correct } from "./correction.js";

const NONE = "none";

/** @param {string[]} ids of images */
export async function open(context, ids) {
  const clusters = await context.api.all("clusters", {}, { signal: context.signal });
  const picker = clusterPicker({
    label: `Move ${count(ids.length, "image")} to`,
    clusters,
    thumbnails: context.thumbnails,
    others: [{ value: NONE, label: "No cluster", detail: "they belong nowhere" }],
  });
  const wanted = () => (picker.value() === NONE ? null : Number(picker.value()));
  const done = await correct(context, {
    title: "Move images",
    fields: [picker.element],
    request: () => (picker.value() ? { parts: "images:move", body: { images: ids, cluster: wanted() } } : null),
    incomplete: "Choose where to, to see what will change.",
    confirm: "Move",
    said: `Moved ${count(ids.length, "image")}`,
    remark: "They stay where you put them in every later run.",
    wide: true,
  });
  if (done) context.selection.clear();
}
