/** The clusters beside the map: to find one, to look at it, and to select its images without a lasso. */

import { fill, h } from "../../dom.js";
import { count, number } from "../../format.js";

/** Lines shown at once; a filter finds the others. */
const AT_MOST = 150;

export class ClusterList {
  /**
   * @param {object} options
   * @param {Array<{id: number, name: string, size: number}>} options.clusters largest first
   * @param {(id: number) => string} options.colour
   * @param {(id: number|null) => void} options.focus
   * @param {(id: number) => void} [options.select] its images; without, there is nothing to select
   */
  constructor(options) {
    Object.assign(this, options);
    this.focused = null;
    this.query = "";
    const search = h(
      "input",
      { type: "search", placeholder: "Find a cluster", "aria-label": "Find a cluster by name" },
    );
    search.addEventListener("input", () => {
      this.query = search.value;
      this.show();
    });
    this.list = h("ul", { class: "map-clusters" });
    this.more = h("p", { class: "muted" });
    this.element = h("div", { class: "map-cluster-list" }, search, this.list, this.more);
    this.show();
  }

  show() {
    const wanted = this.query.trim().toLocaleLowerCase();
    const found = this.clusters.filter(({ name }) => !wanted || name.toLocaleLowerCase().includes(wanted));
    fill(this.list, found.slice(0, AT_MOST).map((cluster) => this.line(cluster)));
    const rest = found.length - AT_MOST;
    if (found.length === 0) fill(this.more, `No cluster's name has “${this.query}” in it.`);
    else fill(
      this.more,
      rest > 0 && `${count(rest, "smaller one", "smaller ones")}: type a part of the name to find them.`,
    );
  }

  line({ id, name, size }) {
    const current = id === this.focused;
    return h(
      "li",
      { class: current ? "current" : null },
      h(
        "button",
        {
          type: "button",
          class: "quiet map-cluster",
          "aria-pressed": String(current),
          dataset: { cluster: id },
          on: { click: () => this.focus(current ? null : id) },
        },
        h("span", { class: "swatch", style: { background: this.colour(id) } }),
        h("span", { class: "map-cluster-name" }, name),
        h("span", { class: "map-cluster-size" }, number(size)),
      ),
      this.select && h(
        "button",
        {
          type: "button",
          class: "quiet small",
          "aria-label": `Select all images of ${name}`,
          title: "Select its images",
          on: { click: () => this.select(id) },
        },
        "Select",
      ),
    );
  }

  /** Marks the cluster that the map brings out. */
  setFocus(id) {
    this.focused = id;
    this.show();
    this.list.querySelector(`[data-cluster="${id}"]`)?.scrollIntoView({ block: "nearest" });
  }
}
