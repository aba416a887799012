/**
 * Colours of clusters.
 *
 * Eight for each ground, found by a search: any two are at least 0.11 apart in OKLab, for people with all cones and for
 * those without one of the three (simulated after Machado et al. 2009); Okabe and Ito's eight come to 0.08. More than
 * eight cannot be told apart reliably by anybody: what tells clusters apart beyond that are their names on the map, and
 * that neighbours get different colours.
 */

export const LIGHT = ["#0078e1", "#ff960f", "#5a0f96", "#0fc3a5", "#c33c87", "#697800", "#c396ff", "#781e00"];
export const DARK = ["#69c3ff", "#ffe13c", "#a569f0", "#00ffc3", "#c35a00", "#f096a5", "#87b42d", "#1e87a5"];

/** Of images in no cluster, and the ground that what matters less is faded into. */
export const UNCLUSTERED = { light: "#99958c", dark: "#6f767a" };
export const GROUND = { light: "#f6f5f2", dark: "#131516" };

/** Chosen images. */
export const CHOSEN = { light: "#1c1b19", dark: "#ffffff" };

/**
 * A colour for each cluster, such that those near one another differ.
 *
 * @param {Map<number, {x: number, y: number}>} places of the clusters
 * @returns {Map<number, number>} 0 to 7 by cluster; the same places give the same colours
 */
export function allocate(places) {
  const given = new Map();
  const taken = LIGHT.map(() => []);
  for (const id of [...places.keys()].sort((a, b) => a - b)) {
    const { x, y } = places.get(id);
    let best = 0;
    let farthest = -1;
    for (let colour = 0; colour < taken.length; colour += 1) {
      // From its own number on, so that colours are used alike where everything is far apart.
      const candidate = (id + colour) % taken.length;
      let nearest = Infinity;
      for (const other of taken[candidate]) nearest = Math.min(nearest, (other.x - x) ** 2 + (other.y - y) ** 2);
      if (nearest > farthest) [best, farthest] = [candidate, nearest];
    }
    taken[best].push({ x, y });
    given.set(id, best);
  }
  return given;
}

/** `#rrggbb` as a canvas's pixel, in the order of a little-endian machine: alpha, blue, green, red. */
export function pixel(colour) {
  const value = Number.parseInt(colour.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** A pixel that is `share` of the way from one to another. */
export function blend(from, to, share) {
  let mixed = 0xff000000;
  for (let shift = 0; shift < 24; shift += 8) {
    const a = (from >>> shift) & 255;
    const b = (to >>> shift) & 255;
    mixed |= Math.round(a + (b - a) * share) << shift;
  }
  return mixed >>> 0;
}
