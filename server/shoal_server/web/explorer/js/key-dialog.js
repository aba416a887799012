/** Asks for the key of a server that wants one. */

import { h } from "./dom.js";
import { openDialog } from "./dialog.js";

/**
 * @param {boolean} refused a key was given, and refused
 * @returns {Promise<string|null>} null: the person does not say
 */
export async function askForKey(refused) {
  const field = h("input", {
    type: "password",
    name: "key",
    id: "api-key",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
    "aria-describedby": "api-key-hint",
  });
  return openDialog({
    title: refused ? "The server refused this key" : "This server wants a key",
    body: [
      h(
        "div",
        { class: "field" },
        h("label", { for: "api-key" }, "API key"),
        field,
        h(
          "p",
          { class: "field-hint", id: "api-key-hint" },
          "Whoever runs the server makes one with ",
          h("code", {}, "shoal keys create"),
          ". It is kept in this tab only, until you close it.",
        ),
      ),
    ],
    confirm: "Use this key",
    submit: () => field.value.trim(),
  });
}
