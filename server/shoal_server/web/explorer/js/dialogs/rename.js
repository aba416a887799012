/** Giving a cluster a name. */

import { clusterName } from "../cards.js";
import { openDialog } from "../dialog.js";
import { fill, h } from "../dom.js";
import { corrected, send } from "./correction.js";

/** The longest name that the server takes. */
const LONGEST = 200;
/** Milliseconds without another keystroke before the server is asked whether the name is free. */
const PAUSE = 300;

/** @param {object} cluster as the API gives it */
export async function rename(context, cluster) {
  const field = h(
    "input",
    {
      name: "name",
      id: "cluster-name",
      value: cluster.display_name,
      maxlength: LONGEST,
      autocomplete: "off",
      "aria-describedby": "cluster-name-change",
    },
  );
  const change = h("div", { class: "preview", id: "cluster-name-change", "aria-live": "polite" });
  const request = () => ({ method: "patch", parts: ["clusters", cluster.id], body: { display_name: field.value.trim() } });
  const closed = new AbortController();
  let timer = 0;

  const tell = (problem = "") => {
    const name = field.value.trim();
    if (problem) return fill(change, h("p", { class: "field-error" }, problem));
    if (name === cluster.display_name) return fill(change, h("p", { class: "muted" }, "This is its name now."));
    fill(
      change,
      h("p", {}, h("s", {}, clusterName(cluster)), " → ", h("strong", {}, name || "a name that Shoal chooses")),
      h(
        "p",
        { class: "muted" },
        name ? "No image goes elsewhere. The name stays when the collection is clustered again." : "Shoal names it again, now and in later runs.",
      ),
    );
  };
  const ask = async () => {
    const asked = field.value;
    try {
      await send(context, request(), true, closed.signal);
    } catch (error) {
      if (!closed.signal.aborted && field.value === asked) tell(error.message);
    }
  };
  field.addEventListener("input", () => {
    tell();
    clearTimeout(timer);
    if (field.value.trim() !== cluster.display_name) timer = setTimeout(ask, PAUSE);
  });
  const take = (name) => {
    field.value = name;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  };
  const suggested = [
    ...new Set(cluster.name_candidates.map((each) => each.display_name)),
  ].filter((name) => name !== cluster.display_name);
  tell();
  const answer = await openDialog({
    title: `Rename “${clusterName(cluster)}”`,
    body: [
      h("div", { class: "field" }, h("label", { for: "cluster-name" }, "Name"), field),
      suggested.length > 0 &&
        h(
          "div",
          { class: "field" },
          h("span", { class: "field-hint", id: "other-names" }, "Other names that fit"),
          h(
            "div",
            { class: "row", role: "group", "aria-labelledby": "other-names" },
            suggested.slice(0, 6).map((name) =>
              h("button", { type: "button", class: "small", on: { click: () => take(name) } }, name),
            ),
          ),
        ),
      change,
    ],
    confirm: "Rename",
    submit: () => (field.value.trim() === cluster.display_name ? { unchanged: true } : send(context, request(), false)),
  });
  clearTimeout(timer);
  closed.abort();
  if (!answer || answer.unchanged) return null;
  await corrected(
    context,
    field.value.trim() ? `Renamed to “${field.value.trim()}”` : "Shoal names it again",
    answer.correction,
  );
  return answer;
}
