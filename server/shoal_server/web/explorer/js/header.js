/** The header: which collection, which view, and the few things that are the same everywhere. */

import { h, fill } from "./dom.js";
import { askForKey } from "./key-dialog.js";
import { href } from "./router.js";
import { isDark, toggleTheme } from "./theme.js";
import { VIEWS } from "./views.js";

/**
 * @param {HTMLElement} header
 * @param {import("./api.js").Api} api
 * @param {Array<{id: string}>} collections
 * @param {import("./router.js").Route} route
 * @param {boolean} mayChange whether the person may change anything
 * @param {(collection: string) => void} choose another collection
 */
export function showHeader(header, { api, collections, route, mayChange, choose, reload }) {
  const picker = h(
    "select",
    { "aria-label": "Collection", on: { change: () => choose(picker.value) } },
    collections.map(({ id }) => h("option", { value: id, selected: id === route.collection }, id)),
  );
  const link = (view) =>
    h(
      "li",
      {},
      h(
        "a",
        {
          href: href({ collection: route.collection, view: view.name }),
          "aria-current": view.name === route.view ? "page" : null,
        },
        view.label,
      ),
    );
  fill(
    header,
    h(
      "a",
      { class: "shell-brand", href: href({ collection: route.collection }) },
      h("img", { src: "explorer/icon.svg", alt: "" }),
      "Shoal",
    ),
    collections.length > 0 && h("div", { class: "shell-collection" }, picker),
    h(
      "nav",
      { class: "shell-nav", "aria-label": "Views" },
      route.collection && h("ul", {}, VIEWS.filter((view) => view.label && (mayChange || !view.changes)).map(link)),
    ),
    h("div", { class: "shell-tools" }, !mayChange && readsOnly(), api.key && keyButton(api, reload), themeButton()),
  );
  header.querySelector('[aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function readsOnly() {
  const title = "Your key has the role “read”. Whoever runs the server makes others with shoal keys create --role write.";
  return h("span", { class: "badge", title }, "Read only");
}

function themeButton() {
  const label = () => (isDark() ? "Light colours" : "Dark colours");
  const show = () => {
    button.setAttribute("aria-label", label());
    button.title = label();
    button.textContent = isDark() ? "☀" : "☾";
  };
  const button = h("button", { type: "button", class: "quiet", on: { click: () => (toggleTheme(), show()) } });
  show();
  return button;
}

function keyButton(api, reload) {
  const change = async () => {
    const key = await askForKey(false);
    if (!key) return;
    api.key = key;
    reload();
  };
  return h(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-label": "Use another key",
      title: "Use another key",
      on: { click: change },
    },
    "⚿",
  );
}
