/** Two runs on one map: who was where before, and is where now. */

import { idOf, rowsById } from "./map-file.js";

/**
 * @typedef {object} Flow images that went from one cluster to another; -1: none
 * @property {number} from
 * @property {number} to
 * @property {number[]} rows
 */

/**
 * Sets a run beside the one before it, row by row of the later.
 *
 * @param {import("./map-file.js").RunMap} before
 * @param {import("./map-file.js").RunMap} now
 * @returns {{x: Float32Array, y: Float32Array, clusters: Int32Array, moved: Uint8Array, flows: Flow[], added: number,
 *   removed: number}} places and clusters of before, at the rows of now; an image that was not there before is at its
 *   later place, in none. Largest flows first
 */
export function compare(before, now) {
  const rows = rowsById(before);
  const [x, y, clusters] = [now.x.slice(), now.y.slice(), new Int32Array(now.count).fill(-1)];
  const moved = new Uint8Array(now.count);
  const flows = new Map();
  let added = 0;
  for (let row = 0; row < now.count; row += 1) {
    const earlier = rows.get(idOf(now, row));
    if (earlier === undefined) {
      added += 1;
      continue;
    }
    clusters[row] = before.clusters[earlier];
    const isPlaced = !Number.isNaN(before.x[earlier]) && !Number.isNaN(x[row]);
    if (isPlaced) [x[row], y[row]] = [before.x[earlier], before.y[earlier]];
    if (clusters[row] === now.clusters[row]) continue;
    moved[row] = 1;
    const key = `${clusters[row]}>${now.clusters[row]}`;
    if (!flows.has(key)) flows.set(key, { from: clusters[row], to: now.clusters[row], rows: [] });
    flows.get(key).rows.push(row);
  }
  const largestFirst = [...flows.values()].sort((a, b) => b.rows.length - a.rows.length);
  return { x, y, clusters, moved, flows: largestFirst, added, removed: before.count - (now.count - added) };
}
