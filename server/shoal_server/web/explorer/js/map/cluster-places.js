/** Where clusters are on the map. */

/**
 * A place in the densest of each cluster, up to where most of it reaches, and the rectangle that nearly all of it lies in.
 *
 * @param {Float32Array} x by row
 * @param {Float32Array} y
 * @param {Int32Array} clusters by row, -1: none
 * @param {Uint32Array} rows those that have a place
 * @returns {Map<number, {x: number, y: number, rim: number, size: number, frame: object}>} by cluster, the largest first
 */
export function clusterPlaces(x, y, clusters, rows) {
  const members = new Map();
  for (const row of rows) {
    const cluster = clusters[row];
    if (cluster < 0) continue;
    if (!members.has(cluster)) members.set(cluster, []);
    members.get(cluster).push(row);
  }
  const largestFirst = [...members].sort((a, b) => b[1].length - a[1].length || a[0] - b[0]);
  return new Map(largestFirst.map(([cluster, its]) => [cluster, placeOf(x, y, its)]));
}

function placeOf(x, y, rows) {
  const xs = Float32Array.from(rows, (row) => x[row]).sort();
  const ys = Float32Array.from(rows, (row) => y[row]).sort();
  const quantile = (values, share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
  // A cluster in two heaps has its median between them: the nearest quarter of its images is in one of them.
  const [middleX, middleY] = [quantile(xs, 0.5), quantile(ys, 0.5)];
  const apart = (row) => (x[row] - middleX) ** 2 + (y[row] - middleY) ** 2;
  const distances = Float32Array.from(rows, apart).sort();
  const near = rows.filter((row) => apart(row) <= quantile(distances, 0.25));
  const mean = (values) => near.reduce((sum, row) => sum + values[row], 0) / near.length;
  const frame = {
    left: quantile(xs, 0.03),
    right: quantile(xs, 0.97),
    bottom: quantile(ys, 0.03),
    top: quantile(ys, 0.97),
  };
  return { x: mean(x), y: mean(y), rim: quantile(ys, 0.85), size: rows.length, frame };
}
