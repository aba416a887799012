/** Choosing one of many clusters: type a part of its name, then take one. */

import { clusterName } from "./cards.js";
import { h, fill } from "./dom.js";
import { count, number } from "./format.js";

/** Clusters shown at once. */
const SHOWN = 30;

let pickers = 0;

/**
 * A field to choose a cluster with. It sends `change` when another is chosen.
 *
 * @param {object} options
 * @param {string} options.label
 * @param {Array<object>} options.clusters to choose from, the likeliest first
 * @param {import("./thumbnails.js").Thumbnails} options.thumbnails
 * @param {Array<{value: string, label: string, detail?: string}>} [options.others] to choose besides, before the clusters
 * @returns {{element: HTMLElement, value: () => string}} the id of the chosen cluster or the value of another choice; ""
 *   while none is
 */
export function clusterPicker({ label, clusters, thumbnails, others = [] }) {
  const name = `cluster-picker-${++pickers}`;
  const list = h("div", { class: "picker-list" });
  const more = h("p", { class: "field-hint", role: "status" });
  const search = h(
    "input",
    { type: "search", id: `${name}-search`, autocomplete: "off", placeholder: "Part of a name, or an id" },
  );
  let chosen = "";

  const choice = (value, text, detail, picture) =>
    h(
      "label",
      { class: "picker-choice" },
      h("input", { type: "radio", name, value, checked: value === chosen, on: { change: () => (chosen = value) } }),
      picture,
      h("span", { class: "picker-text" }, h("span", {}, text), detail && h("span", { class: "muted" }, detail)),
    );
  const show = () => {
    const wanted = search.value.trim().toLocaleLowerCase();
    const found = clusters.filter((each) =>
      !wanted || String(each.id) === wanted || clusterName(each).toLocaleLowerCase().includes(wanted),
    );
    fill(
      list,
      !wanted && others.map(({ value, label: text, detail }) =>
        choice(value, text, detail, h("span", { class: "picker-blank", "aria-hidden": "true" })),
      ),
      found.slice(0, SHOWN).map((each) =>
        choice(String(each.id), clusterName(each), `${count(each.size, "image")} · id ${each.id}`, picture(each)),
      ),
    );
    more.textContent =
      found.length === 0
        ? "No cluster has that in its name."
        : found.length > SHOWN
          ? `${number(SHOWN)} of ${number(found.length)} are shown; type more of the name.`
          : "";
  };
  const picture = (cluster) => (
    cluster.exemplars?.length ? thumbnails.element(cluster.exemplars[0]) : h("span", { class: "picker-blank" })
  );
  search.addEventListener("input", (event) => {
    // What is typed here chooses nothing yet.
    event.stopPropagation();
    show();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    const first = list.querySelector("input");
    first?.focus();
    if (event.key === "Enter") first?.click();
  });
  show();
  const element = h(
    "fieldset",
    { class: "field picker" },
    h("legend", {}, label),
    clusters.length > 8 && [h("label", { class: "visually-hidden", for: `${name}-search` }, "Find a cluster"), search],
    list,
    more,
  );
  return { element, value: () => chosen };
}
