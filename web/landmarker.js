/**
 * The 68 keypoints of every face of a picture: the twin of `face68/landmarker.py`.
 *
 * @typedef {import("./network.js").Prediction} Prediction
 * @typedef {Prediction & {box: number[], score: number}} Face
 */
import constants from "./constants.js";
import { detect } from "./detect.js";
import { boxOf, cropMatrix, gray, invert, overlap, scaleOf, transformPoints, warp } from "./image.js";

const { MIN_FACE_SCORE, MIN_CERTAINTY, SURELY_A_FACE, SAME_FACE, HARDLY, HOPELESS } = constants.landmarker;
const { FLIP, RIGHT_EYE, LEFT_EYE, OUTER_EYE_CORNERS, MOUTH_CORNERS, EYES_WEIGH } = constants.landmarks;

export class Landmarker {
  /** The first of a face's three passes, which frames it for the second, is the coarse network's. */
  constructor(detector, network, coarseNetwork) {
    Object.assign(this, { detector, network, coarseNetwork });
  }

  /** The faces of a picture, left to right. @returns {Promise<Face[]>} */
  async faces(picture) {
    return this.facesIn(picture, await detect(this.detector, picture));
  }

  /** The faces in a detector's boxes. @returns {Promise<Face[]>} */
  async facesIn(picture, boxes) {
    if (!boxes.length) return [];
    let coarse = await this.predict(picture, boxes, false, this.coarseNetwork);
    const mayBe = (_, i) => coarse[i].faceScore === null || coarse[i].faceScore >= HOPELESS;
    [boxes, coarse] = [boxes.filter(mayBe), coarse.filter(mayBe)];
    if (!boxes.length) return [];
    const predictions = await this.allPasses(picture, boxes, coarse);
    const faces = boxes.map(({ box, score }, i) => ({ box, score, ...predictions[i] }));
    return distinct(faces.filter(isTrusted));
  }

  /** The predictions of boxes. An unsure face is also tried upside down, and the surer prediction stays. */
  async allPasses(picture, boxes, coarse = null) {
    coarse ??= await this.predict(picture, boxes, false, this.coarseNetwork);
    const best = await this.passes(picture, coarse);
    const isUnsure = ({ faceScore }) => faceScore >= MIN_FACE_SCORE && faceScore < SURELY_A_FACE;
    const unsure = best.flatMap((one, i) => (one.faceScore !== null && isUnsure(one) ? [i] : []));
    if (!unsure.length) return best;
    const halfTurned = unsure.map((i) => ({ box: boxes[i].box, degrees: boxes[i].degrees + 180 }));
    const frames = (await this.predict(picture, halfTurned, false, this.coarseNetwork)).map(uprightFrame);
    const turned = await this.passes(picture, await this.predict(picture, frames, false, this.coarseNetwork));
    unsure.forEach((i, k) => {
      if (clearness(turned[k]) > clearness(best[i])) best[i] = turned[k];
    });
    return best;
  }

  /** The mean of a plain and a mirrored pass, after the coarse one. */
  async passes(picture, coarse) {
    const plain = await this.predict(picture, coarse.map(uprightFrame));
    const mirrored = await this.predict(picture, plain.map(uprightFrame), true);
    return plain.map((one, i) => meanOf(one, mirrored[i]));
  }

  /** One pass over faces in boxes, each turned by its degrees. @returns {Promise<Prediction[]>} in px of the picture */
  async predict(picture, boxes, mirror = false, network = this.network) {
    const { policy } = network;
    const matrices = boxes.map(({ box, degrees }) => cropMatrix(box, policy, mirror ? -degrees : degrees, mirror));
    const crops = matrices.map((matrix) => gray(warp(picture, matrix, policy.size, policy.size)));
    const predictions = await network.predict(crops);
    return predictions.map(({ keypoints, errors, faceScore, visible }, i) => {
      const scale = scaleOf(matrices[i]);
      const placed = {
        keypoints: transformPoints(keypoints, invert(matrices[i])),
        errors: errors?.map((error) => error / scale) ?? null,
        faceScore: faceScore === null ? null : Math.min(Math.max(faceScore, 0), 1),
        visible,
      };
      return mirror ? mirrored(placed) : placed;
    });
  }
}

function mirrored({ keypoints, errors, faceScore, visible }) {
  const flipped = (values) => values?.map((_, i) => values[FLIP[i]]) ?? null;
  const points = keypoints.map((_, i) => keypoints[2 * FLIP[i >> 1] + (i % 2)]);
  return { keypoints: points, errors: flipped(errors), faceScore, visible: flipped(visible) };
}

function meanOf(one, other) {
  const mean = (a, b) => a && a.map((value, i) => (value + b[i]) / 2);
  return {
    keypoints: mean(one.keypoints, other.keypoints),
    errors: mean(one.errors, other.errors),
    faceScore: one.faceScore === null ? null : (one.faceScore + other.faceScore) / 2,
    visible: mean(one.visible, other.visible),
  };
}

/** The face's own frame: the direction to its left, and the box around its points once they are level. */
function faceFrame(keypoints) {
  const middle = (points, axis) => points.reduce((sum, i) => sum + keypoints[2 * i + axis], 0) / points.length;
  const [right, left, mouth] = [RIGHT_EYE, LEFT_EYE, MOUTH_CORNERS].map((part) => [middle(part, 0), middle(part, 1)]);
  const down = [0, 1].map((axis) => mouth[axis] - (right[axis] + left[axis]) / 2);
  let [x, y] = [EYES_WEIGH * (left[0] - right[0]) + down[1], EYES_WEIGH * (left[1] - right[1]) - down[0]];
  const length = Math.hypot(x, y) || 1;
  [x, y] = [x / length, y / length];
  return { x, y, box: boxOf(transformPoints(keypoints, [x, y, 0, -y, x, 0])) };
}

const sideOf = ([left, top, right, bottom]) => Math.max(right - left, bottom - top);

/** The square around the points once the face is level, and the degrees that level it. */
export function uprightFrame({ keypoints }) {
  const { x, y, box } = faceFrame(keypoints);
  const half = Math.max(sideOf(box) / 2, 0.5);
  const [middle, height] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const [centerX, centerY] = [middle * x - height * y, middle * y + height * x];
  const square = [centerX - half, centerY - half, centerX + half, centerY + half];
  return { box: square, degrees: (-Math.atan2(y, x) * 180) / Math.PI };
}

export function interOcular(keypoints) {
  const [right, left] = OUTER_EYE_CORNERS;
  return Math.hypot(keypoints[2 * right] - keypoints[2 * left], keypoints[2 * right + 1] - keypoints[2 * left + 1]);
}

/** Face score × side of the face / mean expected error of the points that can be seen. */
function clearness({ keypoints, errors, faceScore, visible }) {
  const weights = Array.from(errors, (_, i) => (visible ? visible[i] + HARDLY : 1));
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const expected = sum(weights.map((weight, i) => weight * errors[i])) / sum(weights);
  return (faceScore * sideOf(faceFrame(keypoints).box)) / expected;
}

/** How sure a face and its points are. @param {Face} face */
export function certainty(face) {
  return face.errors ? face.score * clearness(face) : face.score;
}

/** @param {Face} face */
export function isTrusted(face) {
  return face.faceScore === null || (face.faceScore >= MIN_FACE_SCORE && certainty(face) >= MIN_CERTAINTY);
}

/** The faces from left to right, of several that have about the same points the most certain. */
function distinct(faces) {
  const kept = [];
  for (const face of faces.sort((one, other) => certainty(other) - certainty(one))) {
    const box = boxOf(face.keypoints);
    if (kept.every((other) => overlap(box, boxOf(other.keypoints)) < SAME_FACE)) kept.push(face);
  }
  return kept.sort((one, other) => one.box[0] - other.box[0]);
}
