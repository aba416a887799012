/** Filters: how many images there are of each camera, year, place, tag and cluster, and which of them are wanted. */

import { fill, h } from "../../dom.js";
import { date, number } from "../../format.js";
import { errorState } from "../../states.js";
import { isEmpty } from "./search-query.js";

/** Facets of the API, what people call them, and the field of the filter that holds their values. */
const FACETS = [
  { facet: "cluster", title: "Cluster", field: "clusters" },
  { facet: "year", title: "Year", field: "captured" },
  { facet: "place", title: "Place", field: "places" },
  { facet: "moment", title: "Moment", field: "moments" },
  { facet: "camera", title: "Camera", field: "camera_models" },
  { facet: "lens", title: "Lens", field: "lenses" },
  { facet: "tag", title: "Tag", field: "tags" },
  { facet: "format", title: "Format", field: "formats" },
];
const VALUES = 12;

const yearRange = (year) => ({ earliest: String(year), before: String(Number(year) + 1) });

/** Whether the filter lets a facet's value through by name. */
function isWanted(where, field, value) {
  if (field !== "captured") return (where[field] ?? []).includes(value);
  const { earliest, before } = yearRange(value);
  return where.captured?.earliest === earliest && where.captured.before === before;
}

/** The filter with a facet's value put in or taken out. */
function toggled(where, field, value) {
  const changed = { ...where };
  const wanted = isWanted(where, field, value);
  if (field === "captured") changed.captured = wanted ? null : yearRange(value);
  else changed[field] = wanted ? where[field].filter((each) => each !== value) : [...(where[field] ?? []), value];
  if (field === "clusters") delete changed.unclustered;
  return withoutEmpty(changed);
}

function withoutEmpty(where) {
  const kept = Object.entries(where).filter(([, value]) => value && (!Array.isArray(value) || value.length > 0));
  return Object.fromEntries(kept);
}

export class FilterPanel {
  /**
   * @param {import("../../main.js").ViewContext} context
   * @param {(where: object) => void} changed
   */
  constructor(context, changed) {
    this.context = context;
    this.changed = changed;
    this.names = new Map();
    this.groups = h("div", { class: "stack" });
    this.element = h(
      "details",
      { class: "search-filters", open: matchMedia("(min-width: 48rem)").matches },
      h("summary", {}, "Filters"),
      this.groups,
    );
  }

  /** Counts what there is, with the filter as it is. */
  async show(where) {
    this.where = where;
    try {
      const { signal } = this.context;
      // Of each field those values that the other filters leave; its own would hide what could be chosen beside them.
      const fields = FACETS.map(({ facet }) => facet);
      const chosen = FACETS.filter(({ field }) => where[field]);
      const [{ facets }, ...others] = await Promise.all([
        this.context.api.post("images:facet", { fields, where, limit: VALUES }, { signal }),
        ...chosen.map(({ facet, field }) => {
          const { [field]: _, ...rest } = where;
          return this.context.api.post("images:facet", { fields: [facet], where: rest, limit: VALUES }, { signal });
        }),
      ]);
      const counted = [...facets, ...others.flatMap((answer) => answer.facets)];
      const byField = new Map(counted.map((each) => [each.field, each]));
      if (where === this.where) this.draw(byField);
    } catch (error) {
      if (error.name !== "AbortError") fill(this.groups, errorState(error, () => this.show(where)));
    }
  }

  draw(facets) {
    const group = ({ facet, title, field }) => {
      const counts = facets.get(facet)?.counts ?? [];
      for (const { value, display_name } of counts) this.names.set(`${field}/${value}`, display_name || String(value));
      if (counts.length === 0) return null;
      return h(
        "fieldset",
        { class: "facet", dataset: { facet } },
        h("legend", {}, title),
        counts.map((each) => this.line(field, each)),
      );
    };
    const unclustered = h("input", { type: "checkbox", checked: Boolean(this.where.unclustered) });
    unclustered.addEventListener("change", () => {
      const { clusters: _, themes: __, ...rest } = this.where;
      this.changed(withoutEmpty({ ...rest, unclustered: unclustered.checked }));
    });
    fill(this.groups, this.times(), FACETS.map(group), h("label", { class: "check" }, unclustered, "In no cluster"));
  }

  line(field, { value, display_name, count }) {
    const box = h("input", { type: "checkbox", checked: isWanted(this.where, field, value) });
    box.addEventListener("change", () => this.changed(toggled(this.where, field, value)));
    return h(
      "label",
      { class: "check" },
      box,
      h("span", { class: "facet-name" }, display_name || String(value)),
      h("span", { class: "count" }, number(count)),
    );
  }

  /** From and to, by the browser's own picker: it shows dates in the person's way and gives them in the one of ISO. */
  times() {
    const bound = (text) => (/^\d{4}-\d{2}-\d{2}$/.test(text ?? "") ? text : "");
    const [from, to] = ["from", "to"].map((name) => h("input", { type: "date", id: `search-${name}` }));
    from.value = bound(this.where.captured?.earliest);
    to.value = bound(this.where.captured?.before);
    const read = () => {
      const captured = from.value || to.value ? { earliest: from.value, before: to.value } : null;
      this.changed(withoutEmpty({ ...this.where, captured }));
    };
    for (const input of [from, to]) input.addEventListener("change", read);
    return h(
      "div",
      { class: "search-times" },
      h("div", { class: "field" }, h("label", { for: "search-from" }, "Taken from"), from),
      h("div", { class: "field" }, h("label", { for: "search-to" }, "and before"), to),
    );
  }

  /** What is filtered by now, each with a button that takes it away. */
  chips(where) {
    const chips = [];
    const add = (text, rest) => {
      const on = { click: () => this.changed(withoutEmpty(rest)) };
      const label = `Remove filter ${text}`;
      chips.push(h("button", { type: "button", class: "chip", "aria-label": label, on }, text, " ×"));
    };
    for (const [field, value] of Object.entries(where)) {
      if (Array.isArray(value) && value.every((each) => typeof each !== "object")) {
        for (const each of value) {
          add(this.nameOf(field, each), { ...where, [field]: value.filter((other) => other !== each) });
        }
      } else {
        add(describe(field, value), { ...where, [field]: null });
      }
    }
    if (!isEmpty(where)) {
      const on = { click: () => this.changed({}) };
      chips.push(h("button", { type: "button", class: "chip", on }, "Clear filters"));
    }
    return chips;
  }

  nameOf(field, value) {
    const title = FACETS.find((each) => each.field === field)?.title ?? field;
    return `${title}: ${this.names.get(`${field}/${value}`) ?? value}`;
  }
}

function describe(field, value) {
  if (field === "unclustered") return "In no cluster";
  if (field === "area") return "Taken in an area";
  if (field !== "captured") return `Filter: ${field.replaceAll("_", " ")}`;
  const { earliest, before } = value;
  if (/^\d{4}$/.test(earliest ?? "") && before === String(Number(earliest) + 1)) return `Year: ${earliest}`;
  const shown = (text) => (text.length < 10 ? text : date(text.length === 10 ? `${text}T00:00:00` : text));
  return [
    "Taken",
    earliest && `from ${shown(earliest)}`,
    before && `before ${shown(before)}`,
  ].filter(Boolean).join(" ");
}
