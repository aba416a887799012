/** Making clusters one. */

import { clusterName } from "../cards.js";
import { clusterPicker } from "../cluster-picker.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { correct } from "./correction.js";

/**
 * Puts a cluster into another that a person chooses.
 *
 * @param {object} cluster as the API gives it
 * @param {object[]} others to choose from, the likeliest first
 */
export function mergeIntoAnother(context, cluster, others) {
  const picker = clusterPicker({
    label: `Merge “${clusterName(cluster)}” into`,
    clusters: others.filter(({ id }) => id !== cluster.id),
    thumbnails: context.thumbnails,
  });
  return correct(context, {
    title: "Merge clusters",
    fields: [picker.element],
    request: () => (
      picker.value() ? { parts: "clusters:merge", body: { clusters: [Number(picker.value()), cluster.id] } } : null
    ),
    incomplete: "Choose a cluster to see what will change.",
    confirm: "Merge",
    said: `Merged “${clusterName(cluster)}”`,
    remark: LATER,
    wide: true,
  });
}

/** Makes two clusters one, after a person dropped the one on the other. */
export function mergeTwo(context, dropped, onto) {
  const keeper = (cluster, checked) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "radio", name: "keeper", value: cluster.id, checked }),
      h(
        "span",
        {},
        clusterName(cluster),
        h("span", { class: "muted" }, ` · ${count(cluster.size, "image")} · id ${cluster.id}`),
      ),
    );
  const fields = h(
    "fieldset",
    { class: "field" },
    h("legend", {}, "The merged cluster keeps the id and name of"),
    keeper(onto, true),
    keeper(dropped, false),
  );
  const request = () => {
    const kept = Number(fields.querySelector("input:checked").value);
    return { parts: "clusters:merge", body: { clusters: [kept, kept === onto.id ? dropped.id : onto.id] } };
  };
  return correct(context, {
    title: `Merge “${clusterName(dropped)}” and “${clusterName(onto)}”`,
    fields: [fields],
    request,
    confirm: "Merge",
    said: `Merged “${clusterName(dropped)}” and “${clusterName(onto)}”`,
    remark: LATER,
  });
}

const LATER = "Later runs keep them together. A name that a person gave is not lost.";
