/** Taking a cluster apart. */

import { clusterName } from "../cards.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { correct } from "./correction.js";

/** Splits by a clustering inside the cluster. */
export function split(context, cluster) {
  const parts = h(
    "input",
    { type: "number", name: "parts", id: "split-parts", min: 2, max: 100, value: 2, inputmode: "numeric" },
  );
  const choice = (value, text, checked) => h(
    "label",
    { class: "check" },
    h("input", { type: "radio", name: "how", value, checked }),
    text,
  );
  const how = h(
    "fieldset",
    { class: "field" },
    h("legend", {}, "Into how many parts"),
    choice("natural", "As many as there are in it", false),
    choice("number", "As many as I say", true),
  );
  const number = h("div", { class: "field short" }, h("label", { for: "split-parts" }, "Parts"), parts);
  const chosen = () => how.querySelector("input:checked").value;
  how.addEventListener("change", () => (number.hidden = chosen() !== "number"));
  const request = () => {
    if (chosen() === "natural") return { parts: ["clusters", `${cluster.id}:split`], body: { part_count: 0 } };
    const wanted = parts.valueAsNumber;
    return Number.isInteger(wanted) && wanted >= 2 && wanted <= 100 ? {
      parts: ["clusters", `${cluster.id}:split`],
      body: { part_count: wanted },
    } : null;
  };
  return correct(context, {
    title: `Split “${clusterName(cluster)}”`,
    fields: [how, number],
    request,
    waiting: "Looking for parts in it; a large cluster takes some seconds…",
    incomplete: "Say into how many parts, 2 to 100.",
    confirm: "Split",
    said: `Split “${clusterName(cluster)}”`,
    remark: "The largest part keeps the id and the name. Later runs keep the parts apart.",
    wide: true,
  });
}

/** Makes images of a cluster a cluster of their own. */
export function splitOff(context, cluster, ids) {
  return correct(context, {
    title: `A cluster of their own: ${count(ids.length, "image")}`,
    request: () => ({ parts: ["clusters", `${cluster}:split`], body: { images: ids } }),
    confirm: "Make the cluster",
    said: `${count(ids.length, "image")} ${ids.length === 1 ? "is" : "are"} a cluster now`,
    remark: "Later runs keep them apart from the cluster that they were in.",
  });
}
