/** Sending files: a few at a time, those that are stored already not at all, and each for itself. */

/** Files that are sent at once. */
const AT_ONCE = 4;
/** Files whose digests are asked for at once. */
const CHECKED = 32;
/** Larger files are sent without a look whether they are stored: they would have to be read into memory for it. */
const LARGEST_DIGESTED = 64_000_000;
/** Milliseconds to wait before a file is sent again that the server had no time for; the last is the longest. */
const PATIENCE = [1000, 2000, 4000, 8000, 15_000, 15_000];

/**
 * Files on their way into a collection. It goes on while other views are open. Says `change` as it goes.
 *
 * A file is `waiting`, `stored`, `known` (it was stored before) or `failed`.
 */
export class Upload extends EventTarget {
  /**
   * @param {import("../../api.js").CollectionApi} api
   * @param {Array<{file: File, name: string}>} files
   * @param {{tags?: string[], drop_location?: boolean}} options
   */
  constructor(api, files, options) {
    super();
    this.api = api;
    this.options = options;
    this.stopping = new AbortController();
    this.files = files.map(({ file, name }) => ({ file, name, state: "waiting", id: null, error: null }));
    this.started = performance.now();
    this.ended = null;
    this.newest = [];
  }

  get stopped() {
    return this.stopping.signal.aborted;
  }

  get under_way() {
    return this.ended === null;
  }

  /** How many files are in a state. */
  count(state) {
    return this.files.filter((each) => each.state === state).length;
  }

  /** Seconds that it takes still, as fast as it went; null while that cannot be said. */
  get remaining() {
    const done = this.files.length - this.count("waiting");
    const seconds = (performance.now() - this.started) / 1000;
    return done < 5 || seconds < 2 ? null : (seconds / done) * this.count("waiting");
  }

  /** Sends them all. */
  async run() {
    const leaving = (event) => event.preventDefault();
    window.addEventListener("beforeunload", leaving);
    try {
      const waiting = this.files.filter((each) => each.state === "waiting");
      for (let at = 0; at < waiting.length && !this.stopped; at += CHECKED) {
        const some = waiting.slice(at, at + CHECKED);
        await this.skipKnown(some);
        await this.sendAll(some.filter((each) => each.state === "waiting"));
      }
    } finally {
      window.removeEventListener("beforeunload", leaving);
      this.ended = performance.now();
      this.changed();
    }
  }

  /** Sends those again that failed. */
  async again() {
    for (const each of this.files) if (each.state === "failed") Object.assign(each, { state: "waiting", error: null });
    Object.assign(this, { started: performance.now(), ended: null });
    this.changed();
    await this.run();
  }

  /** Sends no more. */
  stop() {
    this.stopping.abort();
  }

  async skipKnown(some) {
    // Browsers digest on secure pages alone; without, the server finds out by itself.
    if (!crypto.subtle || this.options.tags?.length) return;
    const digests = new Map();
    for (const each of some) {
      if (each.file.size > LARGEST_DIGESTED || this.stopped) continue;
      try {
        digests.set(hexadecimal(await crypto.subtle.digest("SHA-256", await each.file.arrayBuffer())), each);
      } catch {
        // A file that cannot be read says so when it is sent.
      }
    }
    if (digests.size === 0) return;
    try {
      const { stored } = await this.api.post(
        "images:check",
        { sha256s: [...digests.keys()] },
        { signal: this.stopping.signal },
      );
      for (const digest of stored) digests.get(digest).state = "known";
    } catch {
      // Then all of them are sent, which comes to the same.
    }
    this.changed();
  }

  async sendAll(files) {
    const queue = [...files];
    const worker = async () => {
      for (let each = queue.shift(); each && !this.stopped; each = queue.shift()) await this.sendOne(each);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  async sendOne(each) {
    try {
      const { image, duplicate } = await this.patiently(each);
      each.state = duplicate ? "known" : "stored";
      each.id = image.id;
      if (!duplicate) this.newest = [image, ...this.newest].slice(0, 12);
    } catch (error) {
      if (this.stopped) return;
      each.state = "failed";
      each.error = error;
    }
    this.changed();
  }

  async patiently(each) {
    for (const wait of [...PATIENCE, null]) {
      try {
        const response = await this.api.send(
          "POST",
          "images",
          { body: each.file, params: { uri: each.name, ...this.options }, signal: this.stopping.signal },
        );
        return await response.json();
      } catch (error) {
        if (wait === null || this.stopped || ![0, 429, 503].includes(error.status)) throw unreadable(error);
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
    throw new Error("unreachable");
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function unreadable(error) {
  if (error.name !== "NotReadableError" && error.name !== "NotFoundError") return error;
  return Object.assign(
    new Error("The file cannot be read any more; it was moved, changed or removed."),
    { reason: "UNREADABLE_FILE" },
  );
}

const hexadecimal = (buffer) => Array.from(new Uint8Array(buffer), (each) => each.toString(16).padStart(2, "0")).join("");
