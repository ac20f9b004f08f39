/**
 * The faces of a picture, of any roll: the twin of `face68/detect.py`.
 *
 * @typedef {{x: number, y: number, side: number, roll: number, score: number}} Detection  a face, in px and degrees
 * @typedef {{box: number[], score: number, degrees: number}} FaceBox  degrees: the turn that levels the face
 */
import constants from "./constants.js";
import { halved, planes, rounded, warpAffine } from "./image.js";

const { SEARCHES, LEAST, SURE, SEEN_WELL, MULTIPLE } = constants.detect;

/** The faces' boxes, from a search of pictures of growing size. @returns {Promise<FaceBox[]>} */
export async function detect(detector, picture) {
  const side = Math.max(picture.width, picture.height);
  let faces = [];
  for (const longest of SEARCHES) {
    const factor = Math.min(1, longest / side);
    const seen = await search(detector, reduce(picture, factor));
    const scaled = seen.map((face) => ({
      ...face,
      x: (face.x + 0.5) / factor - 0.5,
      y: (face.y + 0.5) / factor - 0.5,
      side: face.side / factor,
    }));
    faces = apart([...faces, ...scaled].sort((one, other) => other.score - one.score));
    if (side <= longest || !mayBeMore(seen, longest === SEARCHES[0])) break;
  }
  return faces.map(({ x, y, side, roll, score }) => {
    const half = side / 2;
    return { box: [x - half, y - half, x + half, y + half], score, degrees: -roll };
  });
}

/** The picture, made smaller, and filled up with black to sides that the network takes. */
function reduce(picture, factor) {
  const [height, width] = [picture.height, picture.width].map((side) => {
    return Math.ceil(Math.max(1, rounded(factor * side)) / MULTIPLE) * MULTIPLE;
  });
  let shrink = factor;
  for (; shrink <= 0.5; shrink *= 2) picture = halved(picture);
  const shift = (shrink - 1) / 2; // pixel centres are at integers
  return warpAffine(picture, [shrink, 0, shift, 0, shrink, shift], height, width);
}

/** @returns {Promise<Detection[]>} surest first */
async function search(detector, picture) {
  const maps = await detector.search(planes(picture), picture.height, picture.width);
  return apart(peaks(maps).sort((one, other) => other.score - one.score));
}

/** A face in each cell whose score is the highest around it; its values are means, weighted by the nine scores. */
function peaks({ scores, faces, rows, columns }) {
  const found = [];
  const clip = (value, count) => Math.min(Math.max(value, 0), count - 1);
  for (let cell = 0; cell < scores.length; cell++) {
    const score = scores[cell];
    if (score < LEAST) continue;
    const near = [];
    for (const i of [-1, 0, 1]) {
      for (const j of [-1, 0, 1]) {
        near.push(clip(Math.floor(cell / columns) + i, rows) * columns + clip((cell % columns) + j, columns));
      }
    }
    if (near.some((other) => scores[other] > score)) continue;
    const total = near.reduce((sum, other) => sum + scores[other], 0);
    const mean = (map) => near.reduce((sum, o) => sum + (faces[map * scores.length + o] * scores[o]) / total, 0);
    const roll = (Math.atan2(mean(4), mean(3)) * 180) / Math.PI;
    found.push({ x: mean(0), y: mean(1), side: mean(2), roll, score: Math.min(score, 1) });
  }
  return found;
}

/** Whether a larger picture may show more faces, or show these better. */
function mayBeMore(seen, isFirst) {
  const sure = seen.filter((face) => face.score >= SURE);
  return !sure.length || sure.some((face) => face.side < SEEN_WELL) || (isFirst && sure.length < seen.length);
}

/** The faces but for those whose centre is closer to an earlier one's than half the larger side of the two. */
function apart(faces) {
  const kept = [];
  for (const face of faces) {
    const isOther = (one) => Math.hypot(one.x - face.x, one.y - face.y) > 0.5 * Math.max(one.side, face.side);
    if (kept.every(isOther)) kept.push(face);
  }
  return kept;
}
