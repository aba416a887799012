/** The wall: every cluster as a card, by theme or all together, sorted. */

import { clusterName } from "../../cards.js";
import { exportWhere } from "../../dialogs/export.js";
import { mergeTwo } from "../../dialogs/merge.js";
import { fill, h } from "../../dom.js";
import { count, number } from "../../format.js";
import { announce, fail } from "../../live.js";
import { emptyState } from "../../states.js";
import { themesOf } from "./themes.js";
import { wallCard } from "./wall-card.js";

/** Cards that are made at once; more come as one scrolls. */
const STRETCH = 120;

const ORDERS = [
  ["size", "Largest first"],
  ["size asc", "Smallest first"],
  ["display_name", "Name"],
  ["cohesion desc", "Most alike first"],
  ["cohesion", "Least alike first"],
  ["separation", "Least certain first"],
  ["create_time desc", "Newest first"],
];

/** @param {import("../../main.js").ViewContext} context */
export async function openWall(context) {
  const { root, route, api, signal } = context;
  const order = route.params.get("order") ?? ORDERS[0][0];
  const state = {
    clusters: [],
    themes: [],
    run: "",
    find: route.params.get("find") ?? "",
    byTheme: route.params.get("themes") !== "off",
  };
  const wall = h("div", { class: "wall" });

  async function load() {
    const pages = [];
    let page_token = "";
    do {
      const page = await api.get("clusters", { order_by: order, page_size: 1000, page_token }, { signal });
      if (!pages.length) Object.assign(state, { themes: page.themes ?? [], run: page.run });
      pages.push(page.clusters);
      page_token = page.next_page_token;
    } while (page_token);
    state.clusters = pages.flat();
  }

  const [collection] = await Promise.all([api.get([], {}, { signal }), load()]);
  if (state.clusters.length === 0) {
    fill(root, h("div", { class: "view-head" }, h("h1", {}, "Clusters")), nothing(context, collection));
    return;
  }

  const summary = h("p", {});
  const tell = (counted) =>
    fill(
      summary,
      count(state.clusters.length, "cluster"),
      " of ",
      count(counted.image_count, "image"),
      counted.unclustered_count > 0 && [
        " · ",
        h(
          "a",
          { href: context.link({ view: "clusters", path: ["none"] }) },
          `${number(counted.unclustered_count)} in no cluster`,
        ),
      ],
    );
  const show = () => showCards(context, wall, state, drop);

  // After a correction the wall is made anew where it is: nobody loses their place.
  context.changed = async () => {
    const focused = document.activeElement?.closest("[data-cluster]")?.dataset.cluster;
    const [counted] = await Promise.all([api.get([], {}, { signal }), load()]);
    tell(counted);
    inPlace(wall, show);
    wall.querySelector(`[data-cluster="${CSS.escape(focused ?? "")}"] a`)?.focus({ preventScroll: true });
  };
  function drop(droppedId, onto) {
    const dropped = state.clusters.find(({ id }) => id === droppedId);
    if (dropped && dropped.id !== onto.id) mergeTwo(context, dropped, onto).catch(fail);
  }

  tell(collection);
  fill(
    root,
    h(
      "div",
      { class: "view-head" },
      h("div", {}, h("h1", {}, "Clusters"), summary),
      h("button", { type: "button", on: { click: () => exportWhere(context).catch(fail) } }, "Export all…"),
    ),
    toolbar(context, state, order, show),
    wall,
  );
  show();
}

/** Shows the cards anew, so that the first one in sight, if it is still there, stays where it is. */
function inPlace(wall, show) {
  const first = [...wall.querySelectorAll("[data-cluster]")].find((card) => card.getBoundingClientRect().bottom > 0);
  const top = first?.getBoundingClientRect().top;
  show();
  const again = first && wall.querySelector(`[data-cluster="${CSS.escape(first.dataset.cluster)}"]`);
  if (again) scrollBy(0, again.getBoundingClientRect().top - top);
}

function toolbar(context, state, order, show) {
  const find = h("input", { type: "search", id: "wall-find", value: state.find, placeholder: "Part of a name" });
  const sort = h(
    "select",
    { id: "wall-order" },
    ORDERS.map(([value, label]) => h("option", { value, selected: value === order }, label)),
  );
  const themes = h(
    "button",
    { type: "button", "aria-pressed": String(state.byTheme), disabled: state.themes.length === 0 },
    "By theme",
  );
  find.addEventListener("input", () => {
    state.find = find.value;
    context.setParams({ find: find.value }, { replace: true });
    announce(count(show(), "cluster"));
  });
  // The server sorts: the address says how, and the view is opened anew.
  sort.addEventListener("change", () => context.setParams({ order: sort.value === ORDERS[0][0] ? "" : sort.value }));
  themes.addEventListener("click", () => {
    state.byTheme = !state.byTheme;
    themes.setAttribute("aria-pressed", String(state.byTheme));
    context.setParams({ themes: state.byTheme ? "" : "off" }, { replace: true });
    show();
  });
  return h(
    "div",
    { class: "toolbar" },
    h("div", { class: "field grow" }, h("label", { for: "wall-find" }, "Find"), find),
    h("div", { class: "field" }, h("label", { for: "wall-order" }, "Order"), sort),
    themes,
    context.mayChange && h("p", { class: "muted hint" }, "Drag a card onto another to merge them, or use its menu."),
  );
}

/** Shows the cards that are wanted, and says how many. */
function showCards(context, wall, state, drop) {
  const wanted = state.find.trim().toLocaleLowerCase();
  const clusters = state.clusters.filter((each) =>
    !wanted || String(each.id) === wanted || clusterName(each).toLocaleLowerCase().includes(wanted),
  );
  if (clusters.length === 0) {
    fill(
      wall,
      emptyState({
        title: "No cluster has that in its name",
        text: "Search looks at what the images show, not at names.",
        actions: [
          h(
            "a",
            { class: "button", href: context.link({ view: "search", params: { text: state.find } }) },
            `Search for “${state.find}”`,
          ),
        ],
      }),
    );
    return 0;
  }
  const sections = state.byTheme && state.themes.length > 0 ? themesOf(clusters, state.themes) : [{ title: "", above: [], clusters }];
  // As many as there were: somebody may have scrolled far.
  const room = Math.max(STRETCH, wall.querySelectorAll("[data-cluster]").length);
  fill(wall);
  const card = (cluster) => wallCard(context, cluster, { clusters: state.clusters, drop });
  addStretch(wall, sections, card, context.signal, room);
  return clusters.length;
}

/** Adds cards until there are enough for now, and a button for more, which presses itself when it comes into view. */
function addStretch(wall, sections, card, signal, room) {
  const rest = [];
  for (const section of sections) {
    const now = section.clusters.slice(0, room);
    room -= now.length;
    if (now.length > 0) {
      const grid = h("div", { class: "card-grid wide" }, now.map(card));
      if (section.continued) section.continued.append(...grid.children);
      else {
        wall.append(
          h(
            "section",
            { class: "wall-theme" },
            section.title && h(
              "h2",
              {},
              section.above.map((name) => h("span", { class: "muted" }, `${name} › `)),
              section.title,
              h("span", { class: "muted numeric" }, ` ${number(section.clusters.length)}`),
            ),
            grid,
          ),
        );
        section.continued = grid;
      }
    }
    if (now.length < section.clusters.length) rest.push({ ...section, clusters: section.clusters.slice(now.length) });
  }
  if (rest.length === 0) return;
  const left = rest.reduce((sum, section) => sum + section.clusters.length, 0);
  const more = h("button", { type: "button", class: "more" }, `Show more (${number(left)} left)`);
  const go = () => {
    observer.disconnect();
    more.remove();
    addStretch(wall, rest, card, signal, STRETCH);
  };
  const observer = new IntersectionObserver(
    (entries) => entries.some((each) => each.isIntersecting) && go(),
    { rootMargin: "600px" },
  );
  more.addEventListener("click", go);
  wall.append(more);
  observer.observe(more);
  signal.addEventListener("abort", () => observer.disconnect());
}

function nothing(context, collection) {
  if (collection.image_count === 0) {
    return emptyState({
      title: "No photos yet",
      text: "Add photos first; then Shoal finds the clusters among them.",
      actions: context.mayChange && [
        h("a", { class: "button primary", href: context.link({ view: "add" }) }, "Add photos"),
      ],
      command: context.mayChange && "shoal ingest ~/Photos",
    });
  }
  return emptyState({
    title: "Not clustered yet",
    text: `There are ${count(collection.image_count, "image")}, but nobody has looked for clusters among them.`,
    actions: context.mayChange && [
      h("a", { class: "button primary", href: context.link({ view: "runs" }) }, "Cluster them"),
    ],
    command: context.mayChange && "shoal cluster",
  });
}
