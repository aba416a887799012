/** A cluster's page: what it shows, when and where it was taken, what became of it, and what can be done with it. */

import { clusterName } from "../../cards.js";
import { fill, h } from "../../dom.js";
import { count, date, decimal } from "../../format.js";
import { busyState, errorState } from "../../states.js";
import { camerasOf } from "./cameras.js";
import { imagesOf, namedImages } from "./cluster-images.js";
import { lineageOf } from "./lineage.js";
import { placesOf } from "./places.js";
import { similarTo } from "./similar.js";
import { timelineOf } from "./timeline.js";
import { actionsOf, badgesOf } from "./wall-card.js";

/**
 * @param {import("../../main.js").ViewContext} context
 * @param {string} id of the cluster
 */
export async function openCluster(context, id) {
  const { root, api, signal } = context;
  const head = h("div", {});
  const cluster = await load();

  async function load() {
    const [found, { themes }] = await Promise.all(
      [api.get(["clusters", id], {}, { signal }), api.get("themes", {}, { signal })],
    );
    fill(head, headOf(context, found, themes));
    context.title(clusterName(found));
    return found;
  }

  const where = { clusters: [cluster.id] };
  const show = () =>
    fill(
      root,
      head,
      h(
        "div",
        { class: "stack cluster-page" },
        h(
          "div",
          { class: "columns" },
          part(
            "Typical images",
            "Nearest to the middle of the cluster",
            () => namedImages(context, cluster.exemplars, "None: it has no images now."),
          ),
          part(
            "Borderline images",
            "Nearly as close to another cluster; look here for mistakes",
            () => namedImages(context, cluster.borderline_images, "None: there is no other cluster to be close to."),
          ),
        ),
        h(
          "div",
          { class: "columns three" },
          part("When", "", () => timelineOf(context, where)),
          part("Where", "", () => placesOf(context, where)),
          part("Cameras", "", () => camerasOf(context, where)),
        ),
        part("Similar clusters", "Those whose middle is nearest", () => similarTo(context, cluster)),
        part("All images", "", () => imagesOf(context, { cluster_id: cluster.id })),
        part("What became of it", "In every run that is kept, newest first", () => lineageOf(context, cluster)),
      ),
    );

  // A rename or a pin changes the head alone; what moves images makes the page anew where it is.
  context.changed = async () => {
    try {
      Object.assign(cluster, await load());
    } catch (error) {
      if (error.status !== 404) throw error;
      location.hash = context.link({ view: "clusters" });
      return;
    }
    const at = scrollY;
    show();
    scrollTo(0, at);
  };
  show();
}

/** A part of the page, which loads by itself and fails alone. */
export function part(title, hint, load) {
  const body = h("div", { class: "part-body" }, busyState());
  const attempt = async () => {
    try {
      fill(body, await load());
    } catch (error) {
      if (error.name !== "AbortError") fill(body, errorState(error, () => (fill(body, busyState()), attempt())));
    }
  };
  attempt();
  return h(
    "section",
    { class: "panel part", "aria-label": title },
    h("div", { class: "part-head" }, h("h2", {}, title), hint && h("p", { class: "muted" }, hint)),
    body,
  );
}

function headOf(context, cluster, themes) {
  const actions = actionsOf(
    context,
    cluster,
    () => context.api.all("clusters", {}, { signal: context.signal }).then((all) => nearestFirst(context, cluster, all)),
  );
  const theme = themes.find(({ id }) => id === cluster.theme);
  const fact = (name, value, hint = "") => h(
    "div",
    { title: hint || null },
    h("dt", {}, name),
    h("dd", { class: "numeric" }, value),
  );
  return [
    h(
      "p",
      { class: "trail" },
      h("a", { href: context.link({ view: "clusters" }) }, "Clusters"),
      theme && h("span", { class: "muted" }, ` › ${theme.display_name}`),
    ),
    h(
      "div",
      { class: "view-head" },
      h("div", {}, h("h1", {}, clusterName(cluster)), h("p", { class: "row badges" }, badgesOf(cluster))),
      h(
        "div",
        { class: "row" },
        h("a", { class: "button", href: context.link({ view: "map", params: { cluster: cluster.id } }) }, "On the map"),
        actions.map(({ label, danger, run }) =>
          h("button", { type: "button", class: danger ? "danger-text" : null, on: { click: run } }, label),
        ),
      ),
    ),
    h(
      "dl",
      { class: "facts" },
      fact("Images", count(cluster.size, "image")),
      fact(
        "Cohesion",
        decimal(cluster.cohesion),
        "Mean cosine similarity of its images to their middle, -1 to 1; higher: more alike",
      ),
      fact(
        "Separation",
        decimal(cluster.separation),
        "How much nearer its images are to their own middle than to the next one, -1 to 1; low: not to be trusted blindly",
      ),
      fact("Since", date(cluster.create_time)),
      fact("Id", cluster.id, "Stays with the cluster for good; in Qdrant it is the field cluster_id"),
    ),
  ];
}

async function nearestFirst(context, cluster, all) {
  const { clusters } = await context.api.get(["clusters", cluster.id, "similar"], { limit: 20 }, { signal: context.signal });
  const near = new Set(clusters.map((each) => each.cluster.id));
  return [...clusters.map((each) => each.cluster), ...all.filter(({ id }) => !near.has(id))];
}
