/** Finds points by where they are: a grid of cells, each with its rows. */

/** Cells along each side; with 100,000 points a cell of a full map has some dozens. */
const SIDE = 128;

export class PointGrid {
  /**
   * @param {Float32Array} x by row
   * @param {Float32Array} y
   * @param {Uint32Array} rows those that have a place
   */
  constructor(x, y, rows) {
    this.x = x;
    this.y = y;
    this.bounds = boundsOf(x, y, rows);
    const { left, right, bottom, top } = this.bounds;
    this.cellWidth = (right - left) / SIDE || 1;
    this.cellHeight = (top - bottom) / SIDE || 1;
    // A counting sort: where the rows of each cell begin, then the rows, cell by cell.
    this.starts = new Uint32Array(SIDE * SIDE + 1);
    const cells = new Uint16Array(rows.length);
    rows.forEach((row, index) => {
      cells[index] = this.cellAt(x[row], y[row]);
      this.starts[cells[index] + 1] += 1;
    });
    for (let cell = 0; cell < SIDE * SIDE; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.rows = new Uint32Array(rows.length);
    rows.forEach((row, index) => (this.rows[next[cells[index]]++] = row));
  }

  column(x) {
    return Math.min(SIDE - 1, Math.max(0, Math.floor((x - this.bounds.left) / this.cellWidth)));
  }

  line(y) {
    return Math.min(SIDE - 1, Math.max(0, Math.floor((y - this.bounds.bottom) / this.cellHeight)));
  }

  cellAt(x, y) {
    return this.line(y) * SIDE + this.column(x);
  }

  /** Rows in the cells that a rectangle touches. */
  *near({ left, right, bottom, top }) {
    for (let line = this.line(bottom); line <= this.line(top); line += 1) {
      for (let column = this.column(left); column <= this.column(right); column += 1) {
        const cell = line * SIDE + column;
        for (let at = this.starts[cell]; at < this.starts[cell + 1]; at += 1) yield this.rows[at];
      }
    }
  }

  /** The row nearest to a place, at most so far away; -1: none. */
  nearest(x, y, distance) {
    let found = -1;
    let least = distance ** 2;
    for (const row of this.near({ left: x - distance, right: x + distance, bottom: y - distance, top: y + distance })) {
      const apart = (this.x[row] - x) ** 2 + (this.y[row] - y) ** 2;
      if (apart <= least) [found, least] = [row, apart];
    }
    return found;
  }

  /** Rows in a rectangle; no more than `limit` of them. */
  inRectangle(rectangle, limit = Infinity) {
    const found = [];
    for (const row of this.near(rectangle)) {
      const [x, y] = [this.x[row], this.y[row]];
      if (x < rectangle.left || x > rectangle.right || y < rectangle.bottom || y > rectangle.top) continue;
      found.push(row);
      if (found.length >= limit) break;
    }
    return found;
  }

  /** Rows within a polygon: its corners in their order, the last joined with the first. */
  inPolygon(corners) {
    const xs = corners.map(([x]) => x);
    const ys = corners.map(([, y]) => y);
    const around = { left: Math.min(...xs), right: Math.max(...xs), bottom: Math.min(...ys), top: Math.max(...ys) };
    return this.inRectangle(around).filter((row) => isInside(this.x[row], this.y[row], corners));
  }
}

/** The rectangle around all rows. */
export function boundsOf(x, y, rows) {
  const bounds = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  for (const row of rows) {
    bounds.left = Math.min(bounds.left, x[row]);
    bounds.right = Math.max(bounds.right, x[row]);
    bounds.bottom = Math.min(bounds.bottom, y[row]);
    bounds.top = Math.max(bounds.top, y[row]);
  }
  return rows.length > 0 ? bounds : { left: 0, right: 1, bottom: 0, top: 1 };
}

/** The rectangle around all but the few that lie farthest out, so that one stray point does not make the rest small. */
export function coreOf(x, y, rows) {
  const around = (values) => {
    const sorted = Float32Array.from(rows, (row) => values[row]).sort();
    const [low, high] = [0.002, 0.998].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
    const spare = (high - low) * 0.05;
    return [Math.max(sorted[0], low - spare), Math.min(sorted.at(-1), high + spare)];
  };
  if (rows.length === 0) return boundsOf(x, y, rows);
  const [[left, right], [bottom, top]] = [around(x), around(y)];
  return { left, right, bottom, top };
}

/** Whether a line from the place to the right crosses the rim an odd number of times. */
function isInside(x, y, corners) {
  let inside = false;
  for (let at = 0, before = corners.length - 1; at < corners.length; before = at, at += 1) {
    const [ax, ay] = corners[at];
    const [bx, by] = corners[before];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}
