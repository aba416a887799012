/**
 * The address names the view and all that it shows: `#/photos/clusters/7?order=size`.
 *
 * It stands behind the `#`, which browsers keep to themselves: what was searched for is in no server's log.
 */

/**
 * @typedef {object} Route
 * @property {string} collection its id; "" where none was chosen
 * @property {string} view its name; "" for the first
 * @property {string[]} path what follows the view
 * @property {URLSearchParams} params all else
 */

/** @returns {Route} of an address, or of the one in force */
export function parse(hash = location.hash) {
  const [path, query = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const [collection = "", view = "", ...rest] = path.split("/").map(decode);
  return { collection, view, path: rest.filter(Boolean), params: new URLSearchParams(query) };
}

/** An address for links: whatever is left out is empty. Parameters that are "", null or undefined are left out. */
export function href({ collection, view = "", path = [], params = {} }) {
  const parts = [collection, view, ...path].map((part) => encodeURIComponent(part));
  while (parts.length > 1 && parts.at(-1) === "") parts.pop();
  const query = new URLSearchParams();
  const entries = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  for (const [name, value] of entries) {
    for (const each of [value].flat()) if (isGiven(each)) query.append(name, each);
  }
  const text = query.toString();
  return `#/${parts.join("/")}${text ? `?${text}` : ""}`;
}

/**
 * Goes there; `replace` keeps Back from stopping at where one was, and opens nothing anew: for what a view does itself.
 */
export function navigate(route, { replace = false } = {}) {
  const address = href(route);
  if (address === location.hash) return;
  if (replace) history.replaceState(null, "", address);
  else location.hash = address;
}

/** The same address with some parameters changed; "", null and undefined take one away. */
export function withParams(route, changes) {
  const params = new URLSearchParams(route.params);
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name);
    for (const each of [value].flat()) if (isGiven(each)) params.append(name, each);
  }
  return { ...route, params };
}

const isGiven = (value) => value !== null && value !== undefined && value !== "";

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
