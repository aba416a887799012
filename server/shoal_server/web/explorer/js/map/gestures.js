/** What hands do on the map: drag, wheel, pinch, keys, and a line around what is meant. */

/** CSS pixels that a press may move and still be a click. */
const STILL = 4;
/** CSS pixels between corners of a lasso. */
const STEP = 5;
const KEY_STEP = 80;

/**
 * @typedef {object} Hands what the gestures do; places are in CSS pixels from the upper left corner
 * @property {(right: number, down: number) => void} pan
 * @property {(left: number, top: number, factor: number) => void} zoom
 * @property {() => void} fit
 * @property {(left: number, top: number) => void} hover
 * @property {() => void} leave
 * @property {(left: number, top: number) => void} pick
 * @property {(line: number[][], done: boolean, event: PointerEvent) => void} lasso
 * @property {() => void} selectInView
 * @property {() => [number, number]} middle
 */

export class Gestures {
  /**
   * @param {HTMLElement} surface
   * @param {Hands} hands
   */
  constructor(surface, hands) {
    this.surface = surface;
    this.hands = hands;
    this.tool = "pan";
    this.pointers = new Map();
    this.line = null;
    const listeners = {
      pointerdown: this.down,
      pointermove: this.move,
      pointerup: this.up,
      pointercancel: this.cancel,
      pointerleave: () => this.pointers.size === 0 && hands.leave(),
      wheel: this.wheel,
      dblclick: (event) => hands.zoom(...this.placeOf(event), 2),
      keydown: this.key,
    };
    for (const [event, listener] of Object.entries(listeners)) {
      surface.addEventListener(event, listener.bind(this), { passive: false });
    }
  }

  placeOf(event) {
    const box = this.surface.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button > 0) return;
    this.surface.setPointerCapture(event.pointerId);
    const place = this.placeOf(event);
    this.pointers.set(event.pointerId, { place, began: place, moved: false });
    if (this.pointers.size > 1) this.dropLine();
    else if (this.tool === "lasso" || event.shiftKey) this.line = [place];
    this.hands.leave();
  }

  move(event) {
    const place = this.placeOf(event);
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) {
      if (event.pointerType !== "touch") this.hands.hover(...place);
      return;
    }
    const before = pointer.place;
    pointer.moved ||= Math.hypot(place[0] - pointer.began[0], place[1] - pointer.began[1]) > STILL;
    if (!pointer.moved) return;
    if (this.pointers.size === 2) this.pinch(event.pointerId, place);
    else if (this.line) this.draw(place, event);
    else this.hands.pan(place[0] - before[0], place[1] - before[1]);
    pointer.place = place;
  }

  up(event) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (!pointer) return;
    if (!pointer.moved) {
      this.dropLine();
      this.hands.pick(...pointer.place);
    } else if (this.line) {
      const line = this.line;
      this.dropLine();
      if (line.length > 2) this.hands.lasso(line, true, event);
    }
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.dropLine();
  }

  draw(place, event) {
    const last = this.line.at(-1);
    if (Math.hypot(place[0] - last[0], place[1] - last[1]) < STEP) return;
    this.line.push(place);
    this.hands.lasso(this.line, false, event);
  }

  dropLine() {
    if (!this.line) return;
    this.line = null;
    this.hands.lasso([], false, null);
  }

  pinch(moving, place) {
    const [other] = [...this.pointers].filter(([id]) => id !== moving).map(([, pointer]) => pointer.place);
    const before = this.pointers.get(moving).place;
    const span = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
    this.hands.pan((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
    this.hands.zoom((place[0] + other[0]) / 2, (place[1] + other[1]) / 2, span(place) / (span(before) || 1));
  }

  wheel(event) {
    event.preventDefault();
    // Lines and pages as pixels; a pinch on a touchpad comes as a wheel with Ctrl, and in small steps.
    const step = [1, 30, 400][event.deltaMode] ?? 1;
    const speed = event.ctrlKey ? 0.01 : 0.0016;
    this.hands.zoom(...this.placeOf(event), Math.exp(-event.deltaY * step * speed));
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { hands } = this;
    const keys = {
      ArrowLeft: () => hands.pan(KEY_STEP, 0),
      ArrowRight: () => hands.pan(-KEY_STEP, 0),
      ArrowUp: () => hands.pan(0, KEY_STEP),
      ArrowDown: () => hands.pan(0, -KEY_STEP),
      "+": () => hands.zoom(...hands.middle(), 1.5),
      "=": () => hands.zoom(...hands.middle(), 1.5),
      "-": () => hands.zoom(...hands.middle(), 1 / 1.5),
      0: () => hands.fit(),
      Enter: () => hands.pick(...hands.middle()),
      s: () => hands.selectInView(),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
