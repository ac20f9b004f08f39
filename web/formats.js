/** The files that hold faces: those of `face68/formats.py` and `datasets/labels.py`. */
import constants from "./constants.js";

const { MARK, LABEL_HEAD } = constants.formats;
const HIDDEN = -1;

const round = (value, digits) => Number(value.toFixed(digits));
const pairs = (keypoints) =>
  Array.from({ length: keypoints.length / 2 }, (_, i) => [keypoints[2 * i], keypoints[2 * i + 1]]);

/** A photo's faces as predict.py writes them. */
export function toJson(image, width, height, faces) {
  const entries = faces.map((face) => ({
    box: face.box.map((value) => round(value, 2)),
    score: face.score === null ? null : round(face.score, 4),
    face_score: face.faceScore === null ? null : round(face.faceScore, 4),
    keypoints: pairs(face.keypoints).map((point) => point.map((value) => round(value, 2))),
    errors: face.errors && Array.from(face.errors, (value) => round(value, 2)),
    ...(face.visible && { visible: Array.from(face.visible, (value) => round(value, 2)) }),
    measures: Object.fromEntries(
      Object.entries(face.measures).map(([name, value]) => [name, Number.isFinite(value) ? round(value, 3) : null]),
    ),
  }));
  return `{"images": [\n${JSON.stringify({ image, width, height, faces: entries })}\n]}\n`;
}

/** iBUG's file, which counts from 1; "-1 -1" is a hidden point. marks: see `Label`; null: as the network placed them. */
export function toPts(keypoints, marks = null) {
  const lines = pairs(keypoints).map(([x, y], i) => {
    return marks?.[i] === HIDDEN ? "-1 -1" : `${(x + 1).toFixed(4)} ${(y + 1).toFixed(4)}`;
  });
  const head = marks ? LABEL_HEAD : `version: 1 ${MARK}\n`;
  return `${head}n_points: ${lines.length}\n{\n${lines.join("\n")}\n}\n`;
}

/** Whether a .pts file is a label that this page wrote. */
export const isOwnLabel = (text) => text.startsWith(LABEL_HEAD);

/** The points of a .pts file, or null. */
export function fromPts(text) {
  const body = text.slice(text.indexOf("{") + 1).replace("}", "");
  const values = body.trim().split(/\s+/).map(Number);
  return values.length === 136 && values.every(Number.isFinite)
    ? Float32Array.from(values, (value) => value - 1)
    : null;
}

/** The public layout: a header, then name, x0, y0, …, x67, y67 and, if any point is marked, v0, …, v67. */
export function toCsv(labels) {
  const isMarked = labels.some(({ marks }) => marks.some((mark) => mark !== 1));
  const rows = labels.map(({ name, keypoints, marks }) => {
    const quoted = /[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
    return [quoted, ...Array.from(keypoints, (value) => value.toFixed(2)), ...(isMarked ? marks : [])];
  });
  const header = ["", ...Array(136).keys(), ...(isMarked ? Array.from({ length: 68 }, (_, i) => `v${i}`) : [])];
  return [header, ...rows].map((row) => `${row.join(",")}\n`).join("");
}
