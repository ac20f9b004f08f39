/**
 * The correction of a face's points with mouse, finger or keys.
 *
 * @typedef {{keypoints: Float32Array, marks: Int8Array}} Label  marks: 1 a point is seen, 0 it is covered by something,
 *   -1 the face itself hides it
 */
import constants from "./constants.js";
import { onCanvas, onPhoto } from "./draw.js";

const { NAMES, REGIONS } = constants.landmarks;
const COVERED = 0;
const HIDDEN = -1;
const REACH = 24; // CSS px from a point at which it is taken
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const GRIPS = { 1: "point", 2: "region", 3: "face" };

export class Editor {
  grip = "point"; // what is moved: that, or "region", or "face"
  /** @type {?Label} */ label = null;
  #point = 0;
  #order = []; // the points, the least sure first
  #undone = [];
  #drag = null; // {from: canvas px} with the keypoints, the view or the box as they were there
  /** @type {?number[]} the square that is drawn around a face without points, px */ box = null;

  /** page: {canvas, view: () => View, moveView(View), changed(), boxed(box)}, called after each change. */
  constructor(page) {
    Object.assign(this, page);
    const { canvas } = page;
    canvas.addEventListener("pointerdown", (event) => this.#take(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => this.#release());
    canvas.addEventListener("pointercancel", () => this.#release());
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Begin with a label; null: a square is to be drawn. errors: of its points; the least sure one is chosen first. */
  open(label, errors) {
    this.label = label;
    this.isOpen = true;
    this.#undone = [];
    this.#order = [...NAMES.keys()].sort((one, other) => (errors ? errors[other] - errors[one] : one - other));
    this.#point = this.#order[0];
    this.changed();
  }

  close() {
    this.label = null;
    this.isOpen = false;
    this.changed();
  }

  /** The points that are moved together. @returns {Set<number>} */
  get selected() {
    if (this.grip === "face") return new Set(NAMES.keys());
    return new Set(this.grip === "point" ? [this.#point] : this.#region());
  }

  get name() {
    return { point: NAMES[this.#point].replace("_", " "), region: NAMES[this.#point].split("_")[0], face: "face" }[
      this.grip
    ];
  }

  setGrip(grip) {
    this.grip = grip;
    this.changed();
  }

  undo() {
    if (!this.#undone.length) return;
    Object.assign(this.label, this.#undone.pop());
    this.changed();
  }

  /** Mark the selected points as COVERED or HIDDEN, or as seen if they are so. */
  mark(mark) {
    this.#remember();
    const points = [...this.selected];
    const after = points.every((i) => this.label.marks[i] === mark) ? 1 : mark;
    for (const i of points) this.label.marks[i] = after;
    this.changed();
  }

  #region() {
    return Object.values(REGIONS).find((points) => points.includes(this.#point));
  }

  #remember() {
    this.#undone.push({ keypoints: this.label.keypoints.slice(), marks: this.label.marks.slice() });
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio, ratio];
  }

  #take(event) {
    if (!this.isOpen) return;
    const [x, y, ratio] = this.#place(event);
    this.canvas.setPointerCapture(event.pointerId);
    if (!this.label) {
      this.#drag = { from: [x, y], isBox: true };
      return;
    }
    const { keypoints } = this.label;
    const distance = (i) => {
      const [px, py] = onCanvas(this.view(), keypoints[2 * i], keypoints[2 * i + 1]);
      return Math.hypot(px - x, py - y);
    };
    const nearest = [...NAMES.keys()].reduce((one, other) => (distance(other) < distance(one) ? other : one));
    if (distance(nearest) < REACH * ratio) {
      this.#point = nearest;
      this.#remember();
      this.#drag = { from: [x, y], keypoints: keypoints.slice() };
    } else {
      this.#drag = { from: [x, y], view: { ...this.view() } };
    }
    this.changed();
  }

  #move(event) {
    if (!this.#drag) return;
    const [x, y] = this.#place(event);
    const { from, keypoints, view, isBox } = this.#drag;
    const [toX, toY] = onPhoto(this.view(), x, y);
    const [fromX, fromY] = onPhoto(this.view(), ...from);
    if (isBox) {
      this.box = [Math.min(fromX, toX), Math.min(fromY, toY), Math.max(fromX, toX), Math.max(fromY, toY)];
      this.changed();
    } else if (view) {
      this.moveView({ ...view, x: view.x + x - from[0], y: view.y + y - from[1] });
    } else {
      this.#shift(keypoints, toX - fromX, toY - fromY);
    }
  }

  #release() {
    if (this.box) this.boxed(this.box);
    this.#drag = this.box = null;
  }

  #shift(keypoints, x, y) {
    for (const i of this.selected) {
      this.label.keypoints[2 * i] = keypoints[2 * i] + x;
      this.label.keypoints[2 * i + 1] = keypoints[2 * i + 1] + y;
    }
    this.changed();
  }

  #key(event) {
    if (!this.label || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (STEPS[key]) {
      const pixels = (event.shiftKey ? 10 : 1) / this.view().scale;
      this.#remember();
      this.#shift(this.label.keypoints, STEPS[key][0] * pixels, STEPS[key][1] * pixels);
    } else if (key === "z") this.undo();
    else if (event.ctrlKey || event.metaKey) return;
    else if (key === "h") this.mark(HIDDEN);
    else if (key === "c") this.mark(COVERED);
    else if (GRIPS[key]) this.setGrip(GRIPS[key]);
    else if (key === "." || key === ",") this.#step(key === "." ? 1 : -1);
    else return;
    event.preventDefault();
  }

  /** Choose the next less, or more, sure point. */
  #step(by) {
    const at = this.#order.indexOf(this.#point) + by;
    this.#point = this.#order[(at + this.#order.length) % this.#order.length];
    this.changed();
  }
}
