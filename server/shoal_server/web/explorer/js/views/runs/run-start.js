/** Starting a run: as it is usually done, or otherwise. */

import { h } from "../../dom.js";
import { count } from "../../format.js";
import { fail } from "../../live.js";

const GRANULARITIES = [
  ["fine", "Fine", "small differences count"],
  ["balanced", "Balanced", "as people would sort pictures"],
  ["coarse", "Coarse", "only large differences count"],
];
const METHODS = [
  ["", "HDBSCAN (usual)"],
  ["kmeans", "k-means"],
  ["spherical_kmeans", "Spherical k-means"],
  ["agglomerative", "Agglomerative"],
  ["evoc", "EVoC"],
];
const REDUCERS = [["", "UMAP (usual)"], ["pca", "PCA"], ["none", "None"]];

/**
 * @param {object} collection as the API gives it
 * @param {(run: object) => void} started
 */
export function startForm(context, collection, started) {
  const choice = ([value, name, detail]) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "radio", name: "granularity", value, checked: value === "balanced" }),
      h("span", {}, name, h("span", { class: "muted" }, ` · ${detail}`)),
    );
  const select = (id, label, options) => h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h("select", { id, name: id }, options.map(([value, name]) => h("option", { value }, name))),
  );
  const whole = (id, label, min, max, hint) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: id }, label),
      h(
        "input",
        {
          type: "number",
          id,
          name: id,
          min,
          max,
          step: 1,
          inputmode: "numeric",
          placeholder: "by itself",
          "aria-describedby": `${id}-hint`,
        },
      ),
      h("p", { class: "field-hint", id: `${id}-hint` }, hint),
    );
  const button = h(
    "button",
    { type: "submit", class: "primary" },
    collection.cluster_count ? "Cluster again" : "Cluster now",
  );
  const form = h(
    "form",
    { class: "panel stack start-run", "aria-labelledby": "start-run" },
    h("h2", { id: "start-run" }, "Start a run"),
    h("fieldset", { class: "row" }, h("legend", {}, "How finely to tell groups apart"), GRANULARITIES.map(choice)),
    h(
      "details",
      {},
      h("summary", {}, "More settings"),
      h(
        "div",
        { class: "settings" },
        whole(
          "cluster_count",
          "Clusters",
          2,
          100_000,
          "As many as there are, if empty. Takes the place of the granularity.",
        ),
        whole("min_cluster_size", "Smallest cluster", 2, 1_000_000, "Fewer images than this are no cluster."),
        whole("seed", "Seed", 0, 4_294_967_295, "The same seed makes the same choices by chance."),
        select("method", "Groups are found by", METHODS),
        select("reducer", "Dimensions are reduced by", REDUCERS),
      ),
    ),
    h(
      "p",
      { class: "muted" },
      `It reads ${count(collection.image_count, "image")}. What you named, merged, split, pinned or moved stays. `,
      collection.cluster_count > 0 && "A result that is implausible beside the clusters in force is kept, but waits for you to put it in force.",
    ),
    h("div", { class: "row" }, button),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      started(await context.api.post("runs", { parameters: parametersOf(form), request_id: requestId() }));
    } catch (error) {
      fail(error);
    } finally {
      button.disabled = false;
    }
  });
  return form;
}

function parametersOf(form) {
  const parameters = {};
  for (const name of ["cluster_count", "min_cluster_size", "seed"]) {
    const value = form.elements[name].valueAsNumber;
    if (!Number.isNaN(value)) parameters[name] = value;
  }
  for (const name of ["method", "reducer"]) if (form.elements[name].value) parameters[name] = form.elements[name].value;
  const granularity = form.elements.granularity.value;
  if (granularity !== "balanced" && !parameters.cluster_count) parameters.granularity = granularity;
  return parameters;
}

/** So that a request that is sent twice starts one run. */
const requestId = () => Array.from(
  crypto.getRandomValues(new Uint8Array(16)),
  (each) => each.toString(16).padStart(2, "0"),
).join("");
