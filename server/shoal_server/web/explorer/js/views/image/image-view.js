/** One image: large, with all that is known of it and what is like it. */

import { clusterName, imageCard, imageName } from "../../cards.js";
import { fill, h } from "../../dom.js";
import { bytes, date, dateTime, decimal, number } from "../../format.js";
import { fail } from "../../live.js";

const ALIKE = 12;

/** @param {import("../../main.js").ViewContext} context */
export async function open(context) {
  const { api, signal, route } = context;
  const image = await api.get(["images", route.path[0] ?? ""], {}, { signal });
  const cluster = image.cluster === null ? null : await api.get(["clusters", image.cluster], {}, { signal });
  context.title(imageName(image));
  const alike = h("div", { class: "card-grid" });
  fill(
    context.root,
    h(
      "div",
      { class: "view-head" },
      h("h1", {}, imageName(image)),
      h("div", { class: "row" }, actions(context, image)),
    ),
    h(
      "div",
      { class: "image-page" },
      picture(context, image),
      h("div", { class: "stack" }, membership(context, cluster), details(context, image)),
    ),
    h("section", { class: "stack image-alike" }, h("h2", {}, "Most alike"), alike),
  );
  showAlike(context, image, alike).catch(fail);
}

function actions({ link, selection }, image) {
  const select = h("button", { type: "button" });
  const show = () => {
    select.textContent = selection.has(image.id) ? "Selected" : "Select";
    select.setAttribute("aria-pressed", String(selection.has(image.id)));
  };
  select.addEventListener("click", () => selection.toggle([image.id], !selection.has(image.id)));
  selection.watch(select, show);
  show();
  return [
    h("a", { class: "button primary", href: link({ view: "search", params: { like: image.id } }) }, "More like this"),
    h("a", { class: "button", href: link({ view: "map", params: { image: image.id } }) }, "Show on the map"),
    select,
  ];
}

/** The thumbnail at once, and in its place the original where the server keeps it and the browser can show it. */
function picture({ api, thumbnails, signal }, image) {
  const frame = thumbnails.element(image.id, { alt: imageName(image), contain: true });
  frame.classList.add("image-large");
  const load = async () => {
    const response = await api.send("GET", ["images", image.id, "original"], { signal });
    const address = URL.createObjectURL(await response.blob());
    signal.addEventListener("abort", () => URL.revokeObjectURL(address));
    const large = new Image();
    large.alt = imageName(image);
    large.src = address;
    await large.decode();
    frame.classList.remove("missing");
    frame.replaceChildren(large);
  };
  // Most servers keep no originals, and a HEIC is not for every browser: then the thumbnail stays.
  load().catch(() => {});
  return frame;
}

function membership({ link }, cluster) {
  if (!cluster) return h("p", { class: "panel" }, "It is in no cluster: too little here is like it.");
  return h(
    "p",
    { class: "panel" },
    "In the cluster ",
    h("a", { href: link({ view: "clusters", path: [cluster.id] }) }, clusterName(cluster)),
    ".",
  );
}

function details({ link }, image) {
  const { metadata: its } = image;
  const address = (where) => link({ view: "search", params: { where: JSON.stringify(where) } });
  const filter = (where, text) => h("a", { href: address(where) }, text);
  const seconds = its.exposure_s;
  const exposure = seconds && `${seconds < 1 ? `1/${number(Math.round(1 / seconds))}` : decimal(seconds)} s`;
  const position = its.location && `${its.location.latitude.toFixed(5)}, ${its.location.longitude.toFixed(5)}`;
  const day = its.captured_at?.slice(0, 7);
  const lines = [
    ["Taken", its.captured_at && [dateTime(its.captured_at), its.local_time && " (the camera's clock)"]],
    ["Around then", day && filter({ captured: { earliest: day, before: nextMonth(day) } }, "photos of that month")],
    ["Camera", its.camera_model ? filter({ camera_models: [its.camera_model] }, its.camera_model) : its.camera_make],
    ["Lens", its.lens],
    [
      "Exposure",
      [
        exposure,
        its.f_number && `f/${its.f_number}`,
        its.iso && `ISO ${number(its.iso)}`,
        its.focal_length_mm && `${number(its.focal_length_mm)} mm`,
      ].filter(Boolean).join(" · "),
    ],
    [
      "Position",
      position && [
        position,
        " ",
        filter({ area: { circle: { center: its.location, radius_m: 1000 } } }, "photos within 1 km"),
      ],
    ],
    ["Size", `${number(its.width)} × ${number(its.height)} pixels, ${its.format}, ${bytes(its.byte_size)}`],
    ["Tags", image.tags.length > 0 && image.tags.map((tag, at) => [at ? ", " : "", filter({ tags: [tag] }, tag)])],
    ...Object.entries(image.attributes ?? {}).map(([key, value]) => [key, String(value)]),
    [
      "Where it came from",
      [image.uri, ...(image.also_at ?? [])].filter(Boolean).map((uri) => h("span", { class: "image-uri" }, uri)),
    ],
    ["Added", date(image.ingest_time)],
    ["Id", h("code", {}, image.id)],
  ];
  const shown = lines.filter(([, value]) => value && value.length !== 0);
  return h(
    "dl",
    { class: "image-details" },
    shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

function nextMonth(text) {
  const [year, month] = text.split("-").map(Number);
  return month === 12 ? `${year + 1}-01` : `${year}-${String(month + 1).padStart(2, "0")}`;
}

async function showAlike({ api, thumbnails, selection, signal }, image, grid) {
  const { results } = await api.post("images:search", { image: image.id, page_size: ALIKE }, { signal });
  fill(grid, results.map(({ image: other, score }) => imageCard(other, { thumbnails, selection, score })));
}
