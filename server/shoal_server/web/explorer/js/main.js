/** Starts the page: finds out what there is, and opens the view that the address names. */

import { Api } from "./api.js";
import { askForKey } from "./key-dialog.js";
import { fill, h } from "./dom.js";
import { showHeader } from "./header.js";
import { announce, fail, toast } from "./live.js";
import { href, navigate, parse, withParams } from "./router.js";
import { Selection } from "./selection.js";
import { showSelection } from "./selection-bar.js";
import { busyState, emptyState, errorState } from "./states.js";
import { applyTheme } from "./theme.js";
import { Thumbnails } from "./thumbnails.js";
import { VIEWS } from "./views.js";

/**
 * What a view is given.
 *
 * @typedef {object} ViewContext
 * @property {HTMLElement} root empty; the view puts what it shows there. Give it the class `full` for the whole width
 * @property {import("./router.js").Route} route the address as it is now
 * @property {import("./api.js").CollectionApi} api
 * @property {Thumbnails} thumbnails
 * @property {Selection} selection
 * @property {boolean} mayChange whether the person may change anything; otherwise do not offer it
 * @property {AbortSignal} signal says when the view is left: for requests and listeners
 * @property {(title: string) => void} title names the view, for the tab and for screen readers
 * @property {(changes: object, options?: {replace?: boolean}) => void} setParams changes parameters of the address;
 *   with `replace` the view is not told, and Back passes it over
 * @property {(route: {view: string, path?: string[], params?: object}) => string} link an address in this collection
 * @property {() => void} reload opens the view anew
 * @property {() => Promise<void>} collectionsChanged reads again which collections there are
 * @property {() => Promise<void>} [changed] a view may set it: called instead of `reload` after a correction
 */

/** What the first collection is called, here as on the command line. */
const FIRST_COLLECTION = "default";
/** The role that looks only. */
const READS = "read";

const api = new Api(askForKey);
const main = document.getElementById("main");
const page = { collections: [], mayChange: true, open: null, context: null, selection: new Selection(), thumbnails: null };

async function start() {
  applyTheme();
  document.getElementById("skip-link").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  showSelection(document.getElementById("selection-bar"), page.selection, () => page.context);
  window.addEventListener("hashchange", show);
  await begin();
}

async function begin() {
  fill(main, busyState());
  try {
    const [collections, { caller }] = await Promise.all([api.all("collections"), api.get("status")]);
    page.collections = collections;
    page.mayChange = caller.role !== READS;
  } catch (error) {
    page.collections = [];
    drawHeader(parse());
    fill(main, errorState(error, begin));
    return;
  }
  await show();
}

async function show() {
  const route = parse();
  if (!route.collection && page.collections.length > 0) {
    navigate({ ...route, collection: page.collections[0].id, view: VIEWS[0].name }, { replace: true });
    return show();
  }
  if (route.collection && !route.view) {
    navigate({ ...route, view: VIEWS[0].name }, { replace: true });
    return show();
  }
  drawHeader(route);
  const now = page.open;
  const sameView = now && now.view === route.view && now.collection === route.collection;
  if (sameView && now.update) {
    page.context.route = route;
    return now.update(route);
  }
  return openView(route);
}

function drawHeader(route) {
  const choose = (collection) => navigate({ collection, view: route.view });
  const { collections, mayChange } = page;
  showHeader(document.getElementById("header"), { api, collections, route, mayChange, choose, reload: begin });
}

async function openView(route) {
  page.open?.leave();
  const view = VIEWS.find((each) => each.name === route.view && (page.mayChange || !each.changes));
  const root = h("div", { class: "view" });
  const leaving = new AbortController();
  const open = { view: route.view, collection: route.collection, update: null, leave: () => leaving.abort() };
  page.open = open;
  if (!view || !(view.before || page.collections.some(({ id }) => id === route.collection))) {
    fill(main, nothingThere(route));
    return;
  }
  const context = contextOf(route, root, leaving.signal);
  page.context = context;
  fill(main, busyState());
  try {
    const [module] = await Promise.all([view.load(), ...view.css.map(addStyle)]);
    if (leaving.signal.aborted) return;
    context.title(view.label || view.name);
    fill(main, root);
    const opened = await module.open(context);
    open.update = opened?.update ?? null;
    if (!leaving.signal.aborted) main.focus({ preventScroll: true });
  } catch (error) {
    if (leaving.signal.aborted || error.name === "AbortError") return;
    fill(main, errorState(error, context.reload));
  }
}

/** @returns {ViewContext} */
function contextOf(route, root, signal) {
  if (page.thumbnails?.api.id !== route.collection) {
    page.thumbnails?.close();
    page.thumbnails = new Thumbnails(api.collection(route.collection));
    page.selection.clear();
  }
  const context = {
    root,
    route,
    signal,
    api: page.thumbnails.api,
    thumbnails: page.thumbnails,
    selection: page.selection,
    mayChange: page.mayChange,
    title: (title) => {
      document.title = `${title} · ${route.collection} · Shoal`;
      announce(title);
    },
    setParams: (changes, options) => {
      // What a view does by itself must not undo that a person has gone elsewhere meanwhile.
      if (options?.replace && (signal.aborted || href(parse()) !== href(context.route))) return;
      const changed = withParams(context.route, changes);
      if (options?.replace) context.route = changed;
      navigate(changed, options);
    },
    link: (to) => href({ collection: route.collection, ...to }),
    reload: () => openView(context.route),
    collectionsChanged: async () => {
      page.collections = await api.all("collections");
      drawHeader(context.route);
    },
  };
  return context;
}

/** Adds a view's style sheet once, and waits for it, so that nothing is drawn without. */
function addStyle(name) {
  const id = `style-${name}`;
  if (document.getElementById(id)) return null;
  return new Promise((resolve) => {
    const style = h(
      "link",
      { id, rel: "stylesheet", href: `explorer/css/${name}.css`, on: { load: resolve, error: resolve } },
    );
    document.head.append(style);
  });
}

function nothingThere(route) {
  if (page.collections.length === 0) {
    return emptyState({
      title: "No photos yet",
      text: "A collection is made by the first photos that go into it.",
      actions: page.mayChange && [h(
        "a",
        { class: "button primary", href: href({ collection: FIRST_COLLECTION, view: "add" }) },
        "Add photos",
      )],
      command: page.mayChange && "shoal ingest ~/Photos",
    });
  }
  const actions = page.collections.slice(0, 5).map(({ id }) => h(
    "a",
    { class: "button", href: href({ collection: id }) },
    id,
  ));
  const known = page.collections.some(({ id }) => id === route.collection);
  return emptyState({
    title: known ? `There is no page “${route.view}”` : `There is no collection “${route.collection}”`,
    text: "The address may be mistyped, or what it names is gone. These are there:",
    actions,
  });
}

window.addEventListener("unhandledrejection", (event) => fail(event.reason));
start().catch((error) => toast(String(error), { kind: "error" }));
