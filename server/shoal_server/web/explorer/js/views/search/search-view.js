/** Search: one box that is answered with clusters and images together, and filters. */

import { clusterCard, imageCard, imageName } from "../../cards.js";
import { fill, h } from "../../dom.js";
import { count, decimal } from "../../format.js";
import { announce, fail } from "../../live.js";
import { busyState, emptyState, errorState } from "../../states.js";
import { FilterPanel } from "./filter-panel.js";
import { SearchBox } from "./search-box.js";
import { base64, clusterSearch, imageSearch, isEmpty, isSought, queryOf, whereParam } from "./search-query.js";

const PAGE = 48;
const CLUSTERS = 4;
/** Share of the best cluster's score that the others need. */
const BESIDE_BEST = 0.4;

/** @param {import("../../main.js").ViewContext} context */
export async function open(context) {
  const view = new SearchView(context);
  view.box.input.focus();
  view.run();
  return { update: () => view.run() };
}

class SearchView {
  constructor(context) {
    this.context = context;
    this.photo = null;
    const { root, signal } = context;
    this.box = new SearchBox({
      search: (text) => context.setParams({ text }),
      searchPhoto: (file) => this.searchPhoto(file).catch(fail),
      dropOn: root,
      signal,
    });
    this.filters = new FilterPanel(context, (where) => context.setParams({ where: whereParam(where) }));
    this.chips = h("div", { class: "row search-chips" });
    this.results = h("div", { class: "search-results", "aria-busy": "false" });
    fill(
      root,
      h(
        "div",
        { class: "search-head" },
        h("h1", {}, "Search"),
        this.box.element,
        h("p", { class: "muted" }, "Or drop a photo anywhere here: its cluster is found, and what is like it."),
        this.box.picture,
        this.chips,
      ),
      h("div", { class: "search-page" }, this.filters.element, this.results),
      h("div", { class: "search-drop", "aria-hidden": "true" }, h("p", {}, "Drop the photo to find what is like it")),
    );
  }

  async searchPhoto(file) {
    this.photo = file && { file, base64: await base64(file) };
    this.box.showPhoto(file, () => this.searchPhoto(null).catch(fail));
    await this.run();
  }

  /** Asks what the address says. */
  async run() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    this.context.signal.addEventListener("abort", () => this.asking.abort(), { signal });
    const query = { ...queryOf(this.context.route), photo: this.photo?.base64 ?? null };
    this.box.input.value = query.text;
    this.context.title(query.text ? `${query.text} – search` : "Search");
    fill(this.results, busyState(isSought(query) ? "Searching…" : "Loading…"));
    this.results.setAttribute("aria-busy", "true");
    this.showChips(query);
    this.filters.show(query.where).then(() => this.showChips(query), fail);
    try {
      const parts = isSought(query) ? await this.answers(query, signal) : await this.browsed(query, signal);
      if (!signal.aborted) fill(this.results, parts);
    } catch (error) {
      if (error.name !== "AbortError") fill(this.results, errorState(error, () => this.run()));
    } finally {
      if (!signal.aborted) this.results.setAttribute("aria-busy", "false");
    }
  }

  async answers(query, signal) {
    const { api } = this.context;
    const search = (page_token) => api.post(
      "images:search",
      { ...imageSearch(query), ...this.where(query), page_size: PAGE, page_token },
      { signal },
    );
    const positive = query.text || query.photo || query.like.length > 0;
    const [clusters, images, assigned] = await Promise.all([
      positive ? api.post(
        "clusters:search",
        { ...clusterSearch(query), ...this.where(query), page_size: CLUSTERS },
        { signal },
      ).catch(noneYet) : { results: [] },
      search(""),
      query.photo ? api.post("images:assign", { image_base64: query.photo }, { signal }).catch(noneYet) : null,
    ]);
    // The API ranks all clusters; one that is hardly like it is no answer.
    const best = clusters.results[0]?.score ?? 0;
    clusters.results = clusters.results.filter(({ score }) => score > 0 && score >= BESIDE_BEST * best);
    const [clustersFound, imagesFound] = [clusters.results.length, images.results.length];
    const found = `${count(clustersFound, "cluster")} and ${count(imagesFound, "image")} found`;
    announce(imagesFound > 0 ? found : "Nothing was found");
    if (imagesFound + clustersFound === 0) return nothingFound(query);
    return [
      assigned && this.assignment(assigned),
      clusters.results.length > 0 && this.clusterSection(clusters.results),
      this.imageSection("Images", images, search, query),
    ];
  }

  async browsed(query, signal) {
    const { api } = this.context;
    const where = whereParam(query.where);
    const list = async (page_token) => {
      const page = await api.get("images", { where, order_by: query.order, page_size: PAGE, page_token }, { signal });
      return { results: page.images.map((image) => ({ image, score: null })), next_page_token: page.next_page_token };
    };
    const first = await list("");
    if (first.results.length === 0) return isEmpty(query.where) ? noImages(this.context) : nothingFound(query);
    return this.imageSection(isEmpty(query.where) ? "Latest photos" : "Photos", first, list, query);
  }

  where({ where }) {
    return isEmpty(where) ? {} : { where };
  }

  clusterSection(results) {
    const cards = results.map(({ cluster, score }) => clusterCard(
      cluster,
      { thumbnails: this.context.thumbnails, detail: `match ${decimal(score)}` },
    ));
    return h(
      "section",
      { class: "stack" },
      h("h2", {}, "Clusters"),
      h("div", { class: "card-grid wide search-clusters" }, cards),
    );
  }

  imageSection(title, first, next, query) {
    const grid = h("div", { class: "card-grid search-images" });
    const more = h("button", { type: "button" }, "Show more");
    let token = "";
    const add = ({ results, next_page_token }) => {
      grid.append(...results.map((each) => this.imageResult(each, query)));
      token = next_page_token;
      more.hidden = !token;
    };
    more.addEventListener("click", async () => {
      more.disabled = true;
      try {
        const shown = grid.childElementCount;
        add(await next(token));
        grid.children[shown]?.querySelector("a")?.focus();
      } catch (error) {
        fail(error);
      }
      more.disabled = false;
    });
    add(first);
    return h("section", { class: "stack" }, h("h2", {}, title), grid, h("div", { class: "row search-more" }, more));
  }

  imageResult({ image, score }, query) {
    const { thumbnails, selection } = this.context;
    const card = imageCard(image, { thumbnails, selection, score });
    const like = () => this.context.setParams({ like: [...query.like.filter((id) => id !== image.id), image.id] });
    const unlike = () => this.context.setParams({ unlike: [
      ...query.unlike.filter((id) => id !== image.id),
      image.id,
    ] });
    const name = imageName(image);
    card.append(
      h(
        "div",
        { class: "card-actions" },
        h(
          "button",
          {
            type: "button",
            class: "small",
            "aria-label": `More like ${name}`,
            title: "More like this",
            on: { click: like },
          },
          "Like this",
        ),
        isSought(query) && h(
          "button",
          {
            type: "button",
            class: "small",
            "aria-label": `Less like ${name}`,
            title: "Less like this",
            on: { click: unlike },
          },
          "Not",
        ),
      ),
    );
    return card;
  }

  assignment({ cluster, display_name, similarity, outlier, alternatives }) {
    const link = (id, name) => h(
      "a",
      { href: this.context.link({ view: "clusters", path: [id] }) },
      name || `Cluster ${id}`,
    );
    const others = alternatives.filter((each) => each.cluster !== cluster).slice(0, 3);
    return h(
      "section",
      { class: "panel search-assignment" },
      outlier || cluster === null
        ? h("p", {}, h("strong", {}, "It belongs to no cluster: "), "nothing in this collection is like it.")
        : h(
          "p",
          {},
          "It belongs to ",
          h("strong", {}, link(cluster, display_name)),
          ` (similarity ${decimal(similarity)}).`,
        ),
      others.length > 0 && h(
        "p",
        { class: "muted" },
        "Next to it: ",
        others.map((each, at) => [at ? ", " : "", link(each.cluster, each.display_name)]),
      ),
    );
  }

  showChips(query) {
    const terms = (name, label) =>
      query[name].map((id) =>
        h(
          "button",
          {
            type: "button",
            class: "chip",
            "aria-label": `Remove: ${label}`,
            on: { click: () => this.context.setParams({ [name]: query[name].filter((each) => each !== id) }) },
          },
          h("span", { class: "chip-photo" }, this.context.thumbnails.element(id)),
          label,
          " ×",
        ),
      );
    fill(this.chips, terms("like", "like this"), terms("unlike", "not like this"), this.filters.chips(query.where));
  }
}

/** Where nothing is clustered yet, images answer alone. */
function noneYet(error) {
  if (error.status === 409 || error.status === 404) return {
    results: [],
    outlier: true,
    cluster: null,
    alternatives: [],
  };
  throw error;
}

function nothingFound({ where }) {
  const text = `${isEmpty(where) ? "Leave some words out" : "Take away a filter"}, or say it in other words.`;
  return emptyState({ title: "Nothing was found", text });
}

function noImages({ link, mayChange }) {
  return emptyState({
    title: "No photos here yet",
    text: "When there are some, this is where to find them again.",
    actions: mayChange && [h("a", { class: "button primary", href: link({ view: "add" }) }, "Add photos")],
    command: mayChange && "shoal ingest ~/Photos",
  });
}
