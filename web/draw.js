/**
 * Faces on a canvas, as `face68/draw.py` draws them.
 *
 * @typedef {{scale: number, x: number, y: number}} View  a photo's corner is at x, y px of the canvas
 */
import constants from "./constants.js";
import { boxOf } from "./image.js";

const { COLORS } = constants.draw;
const { SKELETON } = constants.landmarks;
const LINES_ALONE_BELOW = 80; // CSS px of a face: the points of a smaller one would run into each other

/** The canvas' place of a point of the photo, whose pixel centres are at integers. @param {View} view */
export function onCanvas(view, x, y) {
  return [(x + 0.5) * view.scale + view.x, (y + 0.5) * view.scale + view.y];
}

/** The photo's point at a place of the canvas. @param {View} view */
export function onPhoto(view, x, y) {
  return [(x - view.x) / view.scale - 0.5, (y - view.y) / view.scale - 0.5];
}

/** The view of a whole photo in the middle of a canvas; small ones are enlarged by up to `most`. @returns {View} */
export function fitted(canvas, width, height, most = 4) {
  const scale = Math.min(canvas.width / width, canvas.height / height, most);
  return { scale, x: (canvas.width - width * scale) / 2, y: (canvas.height - height * scale) / 2 };
}

/** The view of a box [x0, y0, x1, y1] px of the photo, with room around it. @returns {View} */
export function closeUp(canvas, [x0, y0, x1, y1]) {
  const scale = Math.min(canvas.width, canvas.height) / (1.5 * Math.max(x1 - x0, y1 - y0));
  return { scale, x: canvas.width / 2 - ((x0 + x1) / 2) * scale, y: canvas.height / 2 - ((y0 + y1) / 2) * scale };
}

/**
 * A face's lines, expected errors and points. options: rings, whether expected errors are drawn; selected, a Set of
 * points; marks, of each point 1: seen, 0: covered, -1: hidden, in place of what the network says.
 */
export function drawFace(context, face, view, { rings = false, selected = null, marks = null, unit = 1 } = {}) {
  const place = (i) => onCanvas(view, face.keypoints[2 * i], face.keypoints[2 * i + 1]);
  const [x0, y0, x1, y1] = boxOf(face.keypoints);
  const side = Math.max(x1 - x0, y1 - y0) * view.scale;
  const isSmall = side < LINES_ALONE_BELOW * unit && !selected;
  const radius = isSmall ? 0 : Math.max((selected ? 3 : 1.8) * unit, side / 150);
  drawLines(context, place, isSmall ? 0.9 : 0.6, Math.max(unit, 0.7 * radius));
  if (isSmall) return;
  if (rings && face.errors) drawRings(context, face, place, view.scale, radius);
  for (const [region, points] of SKELETON) {
    for (const i of points) {
      const isHollow = marks ? marks[i] < 1 : face.visible?.[i] < 0.5;
      drawPoint(context, place(i), radius, colorOf(region), isHollow, selected?.has(i));
      if (marks?.[i] === 0) drawDisc(context, place(i), 0.4 * radius, colorOf(region)); // covered: a dot in the ring
    }
  }
}

const colorOf = (region) => `rgb(${COLORS[region].join(" ")})`;

function drawLines(context, place, alpha, width) {
  context.save();
  Object.assign(context, { globalAlpha: alpha, lineWidth: width, lineJoin: "round", lineCap: "round" });
  for (const [region, points, isClosed] of SKELETON) {
    context.beginPath();
    for (const i of points) context.lineTo(...place(i));
    if (isClosed) context.closePath();
    context.strokeStyle = colorOf(region);
    context.stroke();
  }
  context.restore();
}

function drawRings(context, face, place, scale, radius) {
  for (const [width, color] of [
    [radius, "rgb(0 0 0 / 40%)"],
    [0.4 * radius, "white"],
  ]) {
    Object.assign(context, { lineWidth: Math.max(1, width), strokeStyle: color });
    for (let i = 0; i < face.errors.length; i++) {
      context.beginPath();
      context.arc(...place(i), Math.max(face.errors[i] * scale, radius), 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

function drawPoint(context, place, radius, color, isHollow, isSelected) {
  if (isSelected) drawDisc(context, place, 2.4 * radius, "white");
  drawDisc(context, place, 1.4 * radius, "black");
  drawDisc(context, place, radius, color);
  if (isHollow) drawDisc(context, place, 0.6 * radius, "black");
}

function drawDisc(context, [x, y], radius, color) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
}
