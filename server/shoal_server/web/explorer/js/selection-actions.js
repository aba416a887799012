/**
 * What can be done with selected images. Each module has `open(context, ids)`, which shows a dialog and does it;
 * `changes` says that it is only for those who may change something.
 */

export const SELECTION_ACTIONS = [
  { label: "Move to cluster…", load: () => import("./dialogs/move.js"), changes: true },
  { label: "New cluster…", load: () => import("./dialogs/split-off.js"), changes: true },
  { label: "Export…", load: () => import("./dialogs/export.js") },
];
