/** Taking a list of images away, with their clusters. */

import { ApiError } from "../api-error.js";
import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { toast } from "../live.js";

const FORMATS = [
  { value: "csv", label: "CSV", detail: "for spreadsheets" },
  { value: "parquet", label: "Parquet", detail: "for pandas, DuckDB and other tools for data" },
  { value: "json", label: "JSON", detail: "for programs" },
];

/** Exports some images. @param {string[]} ids */
export function open(context, ids) {
  return exportImages(context, { ids }, `Export ${count(ids.length, "image")}`, "selection");
}

/** Exports the images that a filter lets through; without one, all. */
export function exportWhere(context, where = null, what = "all images", name = "images") {
  return exportImages(context, where ? { where } : {}, `Export ${what}`, name);
}

async function exportImages(context, which, title, name) {
  const formats = FORMATS.map(({ value, label, detail }, at) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "radio", name: "format", value, checked: at === 0 }),
      h("span", {}, label, h("span", { class: "muted" }, ` · ${detail}`)),
    ),
  );
  const done = await openDialog({
    title,
    body: [
      h("fieldset", { class: "field" }, h("legend", {}, "Format"), formats),
      h(
        "p",
        { class: "field-hint" },
        "One row for each image: its file, cluster, place on the map and what the camera wrote. The pictures themselves are not in it.",
      ),
    ],
    confirm: "Export",
    async submit(form) {
      const format = new FormData(form).get("format");
      const response = await context.api.send("POST", "export", { body: { format, ...which } });
      save(await whole(response), `${context.api.id}-${name}.${format}`);
      return true;
    },
  });
  if (done) toast("Exported. Your browser has put the file with its downloads.");
}

/** A table, unless the server broke it off: its answer had begun by then, so that it cannot say why. */
async function whole(response) {
  try {
    return await response.blob();
  } catch {
    throw new ApiError(
      0,
      "BROKEN_OFF",
      "The table broke off before its end: the clusters changed meanwhile, or the connection was lost. Export again.",
    );
  }
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // Later, when the browser has begun to read it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
