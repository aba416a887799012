/** Adding photos: drop a folder or choose files, and watch them go in. */

import { ApiError } from "../../api-error.js";
import { fill, h } from "../../dom.js";
import { count, number } from "../../format.js";
import { announce, fail, toast } from "../../live.js";
import { chosenFiles, droppedFiles } from "./dropped-files.js";
import { Upload } from "./upload.js";
import { uploadPanel } from "./upload-panel.js";

const READ = "Shoal reads JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF and HEIC.";
const UNDER_WAY = "Files are on their way already. Wait until they are in, or stop them.";

/** Goes on while other views are open: by collection. @type {Map<string, Upload>} */
const uploads = new Map();

/** @param {import("../../main.js").ViewContext} context */
export async function open(context) {
  const { root, api } = context;
  const panel = h("div", {});
  const tags = h("input", { id: "add-tags", autocomplete: "off", placeholder: "summer, scans" });
  const drop_location = h("input", { type: "checkbox" });

  function show() {
    const upload = uploads.get(api.id);
    fill(panel, upload ? uploadPanel(context, upload) : null);
  }

  async function add(found) {
    const { pictures, others } = await found;
    const left = others > 0 ? `Left out, as no pictures: ${count(others, "file")}.` : "";
    if (pictures.length === 0) throw new ApiError(0, "NO_PICTURES", `There is no picture among what you chose. ${left} ${READ}`);
    if (uploads.get(api.id)?.under_way) throw new ApiError(0, "UNDER_WAY", UNDER_WAY);
    await ensureCollection(context);
    const options = { tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) };
    if (drop_location.checked) options.drop_location = true;
    const upload = new Upload(api, pictures, options);
    uploads.set(api.id, upload);
    show();
    if (left) toast(left);
    announce(`${count(pictures.length, "picture")} ${pictures.length === 1 ? "goes" : "go"} in`);
    await upload.run();
    announce(
      `${number(upload.count("stored"))} stored, ${number(upload.count("known"))} there already, ${number(upload.count("failed"))} failed`,
    );
  }
  const begin = (found) => add(found).catch(fail);

  fill(
    root,
    h(
      "div",
      { class: "view-head" },
      h(
        "div",
        {},
        h("h1", {}, "Add photos"),
        h(
          "p",
          {},
          `They go into the collection “${api.id}”. The files stay where they are; what is stored is what they show and what the camera wrote.`,
        ),
      ),
    ),
    h(
      "div",
      { class: "stack" },
      dropZone(begin, context.signal),
      h(
        "details",
        { class: "panel" },
        h("summary", {}, "How they go in"),
        h(
          "div",
          { class: "settings" },
          h(
            "div",
            { class: "field" },
            h("label", { for: "add-tags" }, "Tags for all of them"),
            tags,
            h("p", { class: "field-hint" }, "Separated by commas."),
          ),
          h("label", { class: "check" }, drop_location, h("span", {}, "Do not store where they were taken")),
        ),
      ),
      panel,
    ),
  );
  show();
}

function dropZone(begin, signal) {
  const input = (id, attributes) =>
    h(
      "input",
      {
        type: "file",
        id,
        hidden: true,
        multiple: true,
        ...attributes,
        on: { change: (event) => (begin(chosenFiles(event.target.files)), (event.target.value = "")) },
      },
    );
  const files = input("add-files", { accept: "image/*,.heic,.heif,.avif,.tif,.tiff" });
  const folder = input("add-folder", { webkitdirectory: true });
  const choose = (style, text, field) => h(
    "button",
    { type: "button", class: style || null, on: { click: () => field.click() } },
    text,
  );
  const zone = h(
    "section",
    { class: "drop-zone", "aria-label": "Drop photos here" },
    h("p", { class: "drop-title" }, "Drop a folder or files here"),
    h(
      "p",
      { class: "muted" },
      "JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF and HEIC; whatever is there already is not sent again",
    ),
    h(
      "div",
      { class: "row" },
      files,
      choose("primary", "Choose files", files),
      folder,
      choose("", "Choose a folder", folder),
    ),
  );
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  // The whole page takes them: one who misses the frame would have the browser open the file instead.
  document.addEventListener(
    "dragover",
    (event) => carries(event) && (event.preventDefault(), zone.classList.add("over")),
    { signal },
  );
  document.addEventListener(
    "dragleave",
    (event) => event.relatedTarget === null && zone.classList.remove("over"),
    { signal },
  );
  document.addEventListener(
    "drop",
    (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      zone.classList.remove("over");
      begin(droppedFiles(event.dataTransfer));
    },
    { signal },
  );
  return zone;
}

/** The first photos make their collection. */
async function ensureCollection({ api, collectionsChanged }) {
  try {
    await api.get([]);
  } catch (error) {
    if (error.status !== 404) throw error;
    await api.api.post("collections", { collection_id: api.id });
    await collectionsChanged?.();
  }
}
