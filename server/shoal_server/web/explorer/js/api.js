/** The HTTP API: requests with the key, answers as JSON, failures as ApiError. */

import { ApiError, errorOf } from "./api-error.js";

const KEY = "shoal.key";
/** A page of a list that is read to its end. */
const PAGE = 1000;

/** The server. One of these is made for the page; views get `collection(id)`. */
export class Api {
  /** @param {(refused: boolean) => Promise<string|null>} askForKey asked at 401; null: the person does not say */
  constructor(askForKey) {
    this.base = new URL("api/v1/", document.baseURI);
    this.askForKey = askForKey;
    this.asking = null;
  }

  /** The part of the API that is about one collection. */
  collection(id) {
    return new CollectionApi(this, id);
  }

  get key() {
    return sessionStorage.getItem(KEY);
  }

  set key(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  }

  get(path, params, options) {
    return this.json("GET", path, { ...options, params });
  }

  post(path, body, options) {
    return this.json("POST", path, { ...options, body: body ?? {} });
  }

  /** All items of a list, page by page, as an array: `all("collections")`; `limit` bounds how many. */
  async all(path, params = {}, { items = path, limit = Infinity, signal } = {}) {
    const found = [];
    let page_token = "";
    do {
      const page = await this.get(path, { page_size: Math.min(PAGE, limit), ...params, page_token }, { signal });
      found.push(...page[items]);
      page_token = page.next_page_token ?? "";
    } while (page_token && found.length < limit);
    return found.slice(0, limit);
  }

  /** Sends a request and reads the JSON that comes; null for an empty answer. */
  async json(method, path, options) {
    const response = await this.send(method, path, options);
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  }

  /**
   * Sends a request.
   *
   * @param {string} method
   * @param {string} path below `api/v1/`
   * @param {object} [options]
   * @param {object} [options.params] query; null, undefined and "" are left out, an array is several parameters
   * @param {*} [options.body] sent as JSON; a Blob or an ArrayBuffer as it is
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<Response>} an answer with a status of success
   * @throws {ApiError} there is none; DOMException AbortError if the signal said so
   */
  async send(method, path, options = {}) {
    for (let refused = false; ; refused = true) {
      const key = this.key;
      const response = await this.attempt(method, path, options, key);
      if (response.ok) return response;
      const error = await errorOf(response);
      if (response.status !== 401 || !(await this.obtainKey(key, refused || key !== null))) throw error;
    }
  }

  async attempt(method, path, { params, body, signal }, key) {
    const headers = { Accept: "application/json" };
    if (key) headers.Authorization = `Bearer ${key}`;
    const raw = body instanceof Blob || body instanceof ArrayBuffer;
    if (body !== undefined) headers["Content-Type"] = raw ? "application/octet-stream" : "application/json";
    try {
      return await fetch(this.url(path, params), {
        method,
        headers,
        body: body === undefined || raw ? body : JSON.stringify(body),
        signal,
        credentials: "omit",
      });
    } catch (error) {
      if (signal?.aborted || error.name === "AbortError") throw error;
      throw new ApiError(0, "UNREACHABLE", `The server at ${this.base.host} does not answer.`);
    }
  }

  url(path, params = {}) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(params ?? {})) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== null && each !== undefined && each !== "") url.searchParams.append(name, each);
      }
    }
    return url;
  }

  /** Whether there is now another key than the one that was refused; several requests wait for one answer. */
  async obtainKey(refusedKey, refused) {
    if (this.key !== refusedKey) return true;
    this.asking ??= this.askForKey(refused).finally(() => (this.asking = null));
    const given = await this.asking;
    if (given) this.key = given;
    return Boolean(given);
  }

  /**
   * Server-sent events. EventSource cannot send a key, so the stream is read by hand.
   *
   * @yields {{event: string, data: *}} data is what the JSON said
   */
  async *events(path, { params, signal } = {}) {
    const response = await this.send("GET", path, { params, signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const lines = block.split("\n");
          const field = (name) => {
            const its = lines.filter((line) => line.startsWith(`${name}:`));
            return its.map((line) => line.slice(name.length + 1).trim());
          };
          const data = field("data").join("\n");
          if (data) yield { event: field("event")[0] ?? "message", data: JSON.parse(data) };
        }
      }
    } finally {
      await reader.cancel().catch(() => {});
    }
  }
}

/** One collection of the server; paths are below `api/v1/collections/{id}/`. */
export class CollectionApi {
  constructor(api, id) {
    this.api = api;
    this.id = id;
    this.prefix = `collections/${encodeURIComponent(id)}`;
  }

  /** `path("clusters", 7)` is `collections/photos/clusters/7`; each part is encoded, a custom verb goes last. */
  path(...parts) {
    return [this.prefix, ...parts.map((part) => encodeURIComponent(part).replaceAll("%3A", ":"))].join("/");
  }

  get(parts, params, options) {
    return this.api.get(this.path(...[parts].flat()), params, options);
  }

  post(parts, body, options) {
    return this.api.post(this.path(...[parts].flat()), body, options);
  }

  patch(parts, body, options) {
    return this.api.json("PATCH", this.path(...[parts].flat()), { ...options, body });
  }

  delete(parts, options) {
    return this.api.json("DELETE", this.path(...[parts].flat()), options);
  }

  /** An answer that is not JSON: `send("GET", ["images", id, "thumbnail"])`. */
  send(method, parts, options) {
    return this.api.send(method, this.path(...[parts].flat()), options);
  }

  events(parts, options) {
    return this.api.events(this.path(...[parts].flat()), options);
  }

  /** As {@link Api#all}: `all("clusters")`. */
  all(parts, params, { items = [parts].flat().at(-1), ...options } = {}) {
    return this.api.all(this.path(...[parts].flat()), params, { items, ...options });
  }
}
