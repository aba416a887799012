/** Which part of the plane is seen: places in the plane are as the run gave them, those on the screen in CSS pixels. */

/** As far out and as far in as one may go; 1 shows everything. */
const LEAST_ZOOM = 0.5;
const MOST_ZOOM = 4000;
/** Share of the screen left free around everything. */
const MARGIN = 0.06;

export class Camera {
  constructor() {
    this.width = 1;
    this.height = 1;
    this.bounds = { left: 0, right: 1, bottom: 0, top: 1 };
    this.x = 0.5;
    this.y = 0.5;
    this.zoom = 1;
  }

  /** CSS pixels for a unit of the plane. */
  get scale() {
    return this.fitScale * this.zoom;
  }

  get fitScale() {
    const { left, right, bottom, top } = this.bounds;
    const room = 1 - 2 * MARGIN;
    return Math.min((this.width * room) / (right - left || 1), (this.height * room) / (top - bottom || 1));
  }

  /** Shows everything. */
  fit() {
    this.x = (this.bounds.left + this.bounds.right) / 2;
    this.y = (this.bounds.bottom + this.bounds.top) / 2;
    this.zoom = 1;
  }

  /** Shows a rectangle of the plane, with room around it. */
  frame({ left, right, bottom, top }) {
    const width = (right - left) * this.fitScale || 1;
    const height = (top - bottom) * this.fitScale || 1;
    const zoom = 0.7 * Math.min(this.width / width, this.height / height);
    this.moveTo((left + right) / 2, (bottom + top) / 2, Math.min(zoom, 60));
  }

  moveTo(x, y, zoom) {
    this.x = x;
    this.y = y;
    this.zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, zoom));
  }

  /** Moves what is seen by CSS pixels, as a hand would. */
  panBy(right, down) {
    this.x -= right / this.scale;
    this.y += down / this.scale;
  }

  /** Magnifies by a factor; what is below the point stays there. */
  zoomAt(left, top, factor) {
    const [x, y] = this.toPlane(left, top);
    this.moveTo(this.x, this.y, this.zoom * factor);
    const [nowX, nowY] = this.toPlane(left, top);
    this.x += x - nowX;
    this.y += y - nowY;
  }

  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, this.height / 2 - (y - this.y) * this.scale];
  }

  toPlane(left, top) {
    return [(left - this.width / 2) / this.scale + this.x, this.y - (top - this.height / 2) / this.scale];
  }

  /** The rectangle of the plane that is seen. */
  get seen() {
    const [left, top] = this.toPlane(0, 0);
    const [right, bottom] = this.toPlane(this.width, this.height);
    return { left, right, bottom, top };
  }
}
