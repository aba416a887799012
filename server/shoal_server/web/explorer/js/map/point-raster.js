/**
 * Draws points into the pixels of a canvas, on the processor.
 *
 * A graphics card would do it faster; but a browser that has none, or must not use it, takes 100 ms for 100,000 points
 * of WebGL, and this takes 10 everywhere.
 */

/** Coverage from which a pixel of a disc is wholly its. */
const SOLID = 0.97;
/** Discs of this size or more, in device pixels, have a ring of the ground around them, so that they stay apart. */
const RINGED = 9;

/**
 * @typedef {object} Layer points of one size
 * @property {Float32Array} x in the plane, by row
 * @property {Float32Array} y
 * @property {Uint32Array} colours pixels by row
 * @property {Uint32Array} order rows to draw, the last on top; none without a place
 * @property {number} ground the pixel around large points
 * @property {number} size CSS pixels across a point, at most 20
 */

export class PointRaster {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.image = null;
  }

  /** Sets the size: CSS pixels, and device pixels for each. */
  resize(width, height, ratio) {
    this.ratio = ratio;
    this.width = Math.max(1, Math.round(width * ratio));
    this.height = Math.max(1, Math.round(height * ratio));
    this.canvas.width = this.width;
    this.canvas.height = this.height;
    // So much around it that a disc at the edge needs no clipping.
    this.margin = Math.ceil(20 * ratio);
    this.stride = this.width + 2 * this.margin;
    this.image = new ImageData(this.stride, this.height + 2 * this.margin);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /**
   * Draws.
   *
   * @param {import("./camera.js").Camera} camera
   * @param {Layer[]} layers the last on top
   * @param {number} ground a pixel
   */
  draw(camera, layers, ground) {
    this.pixels.fill(ground);
    for (const layer of layers) this.drawLayer(camera, layer);
    this.context.putImageData(this.image, -this.margin, -this.margin);
  }

  drawLayer(camera, { x, y, colours, order, ground, size }) {
    const { pixels, margin, stride, width, height, ratio } = this;
    const { solid, edges, shares, ring } = discOf(size * ratio, stride);
    const scale = camera.scale * ratio;
    // A whole number of pixels: so a pan moves all points alike, and they do not shimmer.
    const right = Math.round(width / 2 - camera.x * scale) + margin;
    const down = Math.round(height / 2 + camera.y * scale) + margin;
    const reach = margin >> 1;
    const [least, mostX, mostY] = [margin - reach, margin + width + reach, margin + height + reach];
    for (let index = 0; index < order.length; index += 1) {
      const row = order[index];
      const left = Math.round(x[row] * scale) + right;
      const top = Math.round(-y[row] * scale) + down;
      if (left < least || left >= mostX || top < least || top >= mostY) continue;
      const at = top * stride + left;
      const colour = colours[row];
      for (let each = 0; each < ring.length; each += 1) pixels[at + ring[each]] = ground;
      for (let each = 0; each < solid.length; each += 1) pixels[at + solid[each]] = colour;
      for (let each = 0; each < edges.length; each += 1) {
        const under = pixels[at + edges[each]];
        const share = shares[each];
        const even = (under & 0xff00ff) + ((((colour & 0xff00ff) - (under & 0xff00ff)) * share) >> 8);
        const odd = (under & 0x00ff00) + ((((colour & 0x00ff00) - (under & 0x00ff00)) * share) >> 8);
        pixels[at + edges[each]] = 0xff000000 | (even & 0xff00ff) | (odd & 0x00ff00);
      }
    }
  }
}

const discs = new Map();

/** Which pixels a disc covers, as distances in the buffer, and those of its rim by how much, 0 to 256. */
function discOf(diameter, stride) {
  const key = `${Math.round(diameter * 4)}/${stride}`;
  if (discs.has(key)) return discs.get(key);
  const radius = diameter / 2;
  const far = Math.ceil(radius) + 1;
  const disc = { solid: [], edges: [], shares: [], ring: [] };
  for (let y = -far; y <= far; y += 1) {
    for (let x = -far; x <= far; x += 1) {
      const cover = radius - Math.hypot(x, y) + 0.5;
      const at = y * stride + x;
      if (diameter >= RINGED && cover > -1 && cover < SOLID) disc.ring.push(at);
      if (cover >= SOLID) disc.solid.push(at);
      else if (cover > 0.05) (disc.edges.push(at), disc.shares.push(Math.round(cover * 256)));
    }
  }
  const made = Object.fromEntries(Object.entries(disc).map(([name, values]) => [name, Int32Array.from(values)]));
  if (discs.size > 200) discs.clear();
  discs.set(key, made);
  return made;
}
