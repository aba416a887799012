/** Who corrected what, and taking it back. */

import { author, LONGEST, setAuthor } from "../../author.js";
import { KINDS } from "../../correction-words.js";
import { undoCorrection } from "../../dialogs/undo.js";
import { fill, h } from "../../dom.js";
import { count, dateTime } from "../../format.js";
import { fail, toast } from "../../live.js";
import { busyState, emptyState } from "../../states.js";

/** Corrections of a stretch. */
const STRETCH = 50;

/** @param {import("../../main.js").ViewContext} context */
export async function open(context) {
  const { root, api, signal } = context;
  fill(root, busyState());
  const rows = h("tbody", {});
  const more = h("button", { type: "button", class: "more", on: { click: () => add().catch(fail) } }, "Show more");
  let page_token = "";

  async function add() {
    const page = await api.get("corrections", { page_size: STRETCH, page_token }, { signal });
    rows.append(...page.corrections.map((each) => rowOf(context, each)));
    page_token = page.next_page_token;
    more.hidden = !page_token;
  }
  context.changed = async () => {
    page_token = "";
    fill(rows);
    await add();
  };
  await add();

  const head = h(
    "div",
    { class: "view-head" },
    h(
      "div",
      {},
      h("h1", {}, "History"),
      h("p", {}, "Every correction of the clusters. Later runs respect them; each can be taken back."),
    ),
    context.mayChange && nameField(),
  );
  if (rows.children.length === 0) {
    const clusters = h("a", { class: "button primary", href: context.link({ view: "clusters" }) }, "See the clusters");
    fill(
      root,
      head,
      emptyState({
        title: "Nothing was corrected yet",
        text: "Rename a cluster, merge two, split one or move images: all of it is listed here then.",
        actions: [clusters],
        command: "shoal corrections",
      }),
    );
    return;
  }
  fill(
    root,
    head,
    h(
      "div",
      { class: "table-frame panel" },
      h(
        "table",
        { class: "history" },
        h("caption", { class: "visually-hidden" }, "Corrections, newest first"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["When", "Who", "What", "Clusters"].map((name) => h("th", { scope: "col" }, name)),
            h("th", { scope: "col", class: "numeric" }, "Images"),
            h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Undo")),
          ),
        ),
        rows,
      ),
    ),
    more,
  );
}

function nameField() {
  const field = h(
    "input",
    { id: "author", value: author(), maxlength: LONGEST, autocomplete: "name", placeholder: "not said" },
  );
  field.addEventListener("change", () => {
    setAuthor(field.value);
    toast(author() ? `Your corrections are recorded as ${author()}'s` : "Your corrections are recorded without a name");
  });
  return h("div", { class: "field" }, h("label", { for: "author" }, "Record my corrections as"), field);
}

function rowOf(context, each) {
  const said = `${KINDS[each.kind] ?? each.kind} ${each.detail}`.trim();
  const undone = each.undo_time && `undone ${dateTime(each.undo_time)}${each.undo_author ? ` by ${each.undo_author}` : ""}`;
  const undo = () => undoCorrection(context, each).catch(fail);
  return h(
    "tr",
    { class: undone ? "undone" : null, dataset: { correction: each.id } },
    h("td", {}, dateTime(each.create_time)),
    h("td", {}, each.author || h("span", { class: "muted" }, "not said")),
    h("td", {}, h("span", { class: "said" }, said), undone && h("p", { class: "muted" }, undone)),
    h(
      "td",
      { class: "row" },
      each.clusters.map((id) =>
        h("a", { href: context.link({ view: "clusters", path: [id] }), "aria-label": `Cluster ${id}` }, id),
      ),
    ),
    h(
      "td",
      { class: "numeric" },
      each.image_count ? count(each.image_count, "image") : h("span", { class: "muted" }, "none"),
    ),
    h(
      "td",
      {},
      !undone && context.mayChange && h(
        "button",
        { type: "button", class: "small", "aria-label": `Undo: ${said}`, on: { click: undo } },
        "Undo…",
      ),
    ),
  );
}
