/** A run's map as the API sends it: bytes, for it may have a hundred thousand rows. */

/** Bytes of an image's id. */
const ID = 16;

/**
 * @typedef {object} RunMap rows of a run; places are NaN where an image has none, clusters -1 where it is in none
 * @property {string} run its id
 * @property {number} count
 * @property {Uint8Array} ids 16 bytes a row
 * @property {Float32Array} x
 * @property {Float32Array} y
 * @property {Int32Array} clusters
 */

/** @returns {Promise<RunMap>} of a run; `active`: the one in force */
export async function loadMap(api, run, signal) {
  const response = await api.send("GET", ["runs", run, "map"], { signal });
  return { run: response.headers.get("X-Shoal-Run") ?? run, ...read(await response.arrayBuffer()) };
}

/** Reads the bytes: a count, then ids, places and clusters, little-endian. */
export function read(buffer) {
  const view = new DataView(buffer);
  const count = view.getUint32(0, true);
  const places = 4 + count * ID;
  const x = new Float32Array(count);
  const y = new Float32Array(count);
  const clusters = new Int32Array(count);
  for (let row = 0; row < count; row += 1) {
    x[row] = view.getFloat32(places + row * 8, true);
    y[row] = view.getFloat32(places + row * 8 + 4, true);
    clusters[row] = view.getInt32(places + count * 8 + row * 4, true);
  }
  return { count, ids: new Uint8Array(buffer, 4, count * ID), x, y, clusters };
}

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, "0"));

/** A row's image id as the API writes it. */
export function idOf(map, row) {
  const at = row * ID;
  let text = "";
  for (let byte = 0; byte < ID; byte += 1) {
    if (byte === 4 || byte === 6 || byte === 8 || byte === 10) text += "-";
    text += HEX[map.ids[at + byte]];
  }
  return text;
}

/** Rows by image id. */
export function rowsById(map) {
  return new Map(Array.from({ length: map.count }, (_, row) => [idOf(map, row), row]));
}
