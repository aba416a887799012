/** The images that a person has picked, in one collection, whatever view they were picked in. */

/** Says `change` whenever it changes. */
export class Selection extends EventTarget {
  constructor() {
    super();
    /** @type {Set<string>} */
    this.ids = new Set();
  }

  get size() {
    return this.ids.size;
  }

  has(id) {
    return this.ids.has(id);
  }

  /** Takes these in the place of what was picked. */
  replace(ids) {
    this.ids = new Set(ids);
    this.changed();
  }

  /** Picks these, or lets them go. */
  toggle(ids, picked) {
    for (const id of ids) {
      if (picked) this.ids.add(id);
      else this.ids.delete(id);
    }
    this.changed();
  }

  clear() {
    if (this.size > 0) this.replace([]);
  }

  /** Calls back at every change for as long as an element is on the page. */
  watch(element, changed) {
    let seen = false;
    const listener = () => {
      seen ||= element.isConnected;
      if (seen && !element.isConnected) this.removeEventListener("change", listener);
      else changed();
    };
    this.addEventListener("change", listener);
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}
