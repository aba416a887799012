/** What can be done with selected images. Each module has `open(context, ids)`, which shows a dialog and does it. */

export const SELECTION_ACTIONS = [
  { label: "Move to cluster…", load: () => import("./dialogs/move.js") },
  { label: "New cluster…", load: () => import("./dialogs/split-off.js") },
  { label: "Export…", load: () => import("./dialogs/export.js") },
];
