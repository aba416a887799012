/** The same picture in different files: which to keep. */

import { openDialog } from "../../dialog.js";
import { fill, h } from "../../dom.js";
import { bytes, count, number } from "../../format.js";
import { announce, fail, toast } from "../../live.js";
import { busyState, emptyState } from "../../states.js";
import { Group } from "./group.js";

/** Groups of a stretch. */
const STRETCH = 30;
const NOT_COUNTED = "Photographs of a burst, and a raw file beside its JPEG, are not counted unless you ask above.";
/** Images that are removed at once. */
const AT_ONCE = 4;

/** @param {import("../../main.js").ViewContext} context */
export async function open(context) {
  const { root, api, signal, route } = context;
  fill(root, busyState("Comparing the images…"));
  const bursts = route.params.get("bursts") === "on";
  const pairs = route.params.get("pairs") === "on";
  const list = h("div", { class: "stack" });
  const more = h("button", { type: "button", class: "more", on: { click: () => add().catch(fail) } }, "Show more");
  const summary = h("p", {});
  const all = h(
    "button",
    { type: "button", hidden: true, on: { click: () => remove(groups.flatMap((group) => group.others())).catch(fail) } },
  );
  let groups = [];
  let total = 0;
  let page_token = "";

  async function add() {
    more.disabled = true;
    const page = await api
      .get("duplicates", { include_bursts: bursts, include_pairs: pairs, page_size: STRETCH, page_token }, { signal })
      .finally(() => (more.disabled = false));
    total = page.total;
    page_token = page.next_page_token;
    const fresh = page.groups.map((each) =>
      new Group(context, each, { changed: tell, remove: (images) => remove(images).catch(fail) }),
    );
    groups.push(...fresh);
    list.append(...fresh.map(({ element }) => element));
    more.hidden = !page_token;
    tell();
  }
  function tell() {
    const others = groups.flatMap((group) => group.others());
    summary.textContent = `${count(total, "group")} of images that show the same picture`;
    all.hidden = !context.mayChange || groups.length < 2 || others.length === 0;
    all.textContent = `Remove the others of ${groups.length === total ? "all" : `these ${number(groups.length)}`} groups…`;
  }
  async function load() {
    [groups, page_token] = [[], ""];
    fill(list);
    await add();
    if (groups.length === 0) fill(list, nothing(bursts || pairs));
  }
  async function remove(images) {
    const removed = await confirmRemoval(context, images);
    if (!removed) return;
    toast(`Removed ${count(removed, "image")}`);
    announce(`Removed ${count(removed, "image")}`);
    await load();
  }

  const option = (name, on, text) => {
    const box = h(
      "input",
      { type: "checkbox", checked: on, on: { change: () => context.setParams({ [name]: box.checked ? "on" : "" }) } },
    );
    return h("label", { class: "check" }, box, text);
  };
  await load();
  fill(
    root,
    h("div", { class: "view-head" }, h("div", {}, h("h1", {}, "Duplicates"), summary), all),
    h(
      "div",
      { class: "toolbar" },
      option("bursts", bursts, "Photographs of a burst too"),
      option("pairs", pairs, "Raw files and HEIC beside their JPEG too"),
    ),
    list,
    more,
  );
}

/** Asks, says what will be gone, and removes; how many were, null if nobody wanted it. */
function confirmRemoval(context, images) {
  const size = images.reduce((sum, image) => sum + (image.metadata.byte_size ?? 0), 0);
  return openDialog({
    title: `Remove ${count(images.length, "image")} from the collection?`,
    body: [
      h(
        "div",
        { class: "strip" },
        images.slice(0, 12).map((image) => context.thumbnails.element(image.id)),
        images.length > 12 && h("span", { class: "muted numeric" }, `+${number(images.length - 12)}`),
      ),
      h(
        "p",
        {},
        `They are files of ${bytes(size)} together. `,
        "Shoal forgets what it knows of them, their tags and their places in clusters too; this cannot be undone. ",
        "The files themselves stay where they are on your disk, but an original that the server has kept is removed.",
      ),
      h("progress", { max: images.length, value: 0, hidden: true, "aria-label": "Removed" }),
    ],
    confirm: `Remove ${count(images.length, "image")}`,
    danger: true,
    async submit(form) {
      const bar = form.querySelector("progress");
      bar.hidden = false;
      const queue = [...images];
      const worker = async () => {
        for (let image = queue.shift(); image; image = queue.shift()) {
          await context.api.delete(["images", image.id]).catch((error) => {
            // Gone already, by somebody else.
            if (error.status !== 404) throw error;
          });
          bar.value += 1;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      context.selection.toggle(images.map(({ id }) => id), false);
      return images.length;
    },
  });
}

function nothing(everything) {
  return emptyState({
    title: "No duplicates",
    text: `No two images show the same picture. ${everything ? "" : NOT_COUNTED}`,
    command: "shoal duplicates",
  });
}
