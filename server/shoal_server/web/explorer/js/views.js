/**
 * The views of the page. Those with a label are in the navigation, in this order.
 *
 * `load` brings the module, whose `open(context)` shows the view; `css` names its style sheets in css/; `before` says
 * that it can be opened before there is a collection; `changes`, that it is only for those who may change something.
 */

export const VIEWS = [
  { name: "map", label: "Map", load: () => import("./views/map/map-view.js"), css: ["map"] },
  { name: "clusters", label: "Clusters", load: () => import("./views/clusters/clusters-view.js"), css: ["clusters"] },
  { name: "search", label: "Search", load: () => import("./views/search/search-view.js"), css: ["search"] },
  { name: "duplicates", label: "Duplicates", load: () => import("./views/duplicates/duplicates-view.js"), css: ["duplicates"] },
  { name: "history", label: "History", load: () => import("./views/history/history-view.js"), css: ["history"] },
  { name: "runs", label: "Runs", load: () => import("./views/runs/runs-view.js"), css: ["runs"] },
  { name: "add", label: "Add photos", load: () => import("./views/add/add-view.js"), css: ["add"], before: true, changes: true },
  { name: "image", label: "", load: () => import("./views/image/image-view.js"), css: ["image"] },
];
