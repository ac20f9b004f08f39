/**
 * Measures of a face from its points: the pose of the head, how far eyes and mouth are open, blinks. The twin of
 * `face68/measures.py`, which explains them. Matrices here are arrays of rows.
 */
import constants from "./constants.js";

const { CAMERA_DISTANCE, NEARER_EYE, CLOSED, BACK, BEFORE, FEWEST, LONGEST, GAP, POSED, RIGID_MODEL } =
  constants.measures;
const { RIGHT_EYE_OPENING, LEFT_EYE_OPENING, MOUTH_OPENING, PROBABLY, RIGHT_EYE, LEFT_EYE, INNER_LIPS } =
  constants.landmarks;

const transposed = (m) => m[0].map((_, j) => m.map((row) => row[j]));
const product = (a, b) => a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
const degrees = (radians) => (radians * 180) / Math.PI;

/** Pose in degrees, and height / width of eyes and mouth; NaN of what can't be seen. */
export function measure(keypoints, visible = null) {
  const points = POSED.map((i) => [keypoints[2 * i], keypoints[2 * i + 1]]);
  const [[r11], [r21], [r31, r32, r33]] = rotationOf(points);
  const yaw = degrees(Math.atan2(r31, Math.hypot(r11, r21)));
  const openings = [
    [RIGHT_EYE, RIGHT_EYE_OPENING],
    [LEFT_EYE, LEFT_EYE_OPENING],
    [INNER_LIPS, MOUTH_OPENING],
  ];
  const [right_eye, left_eye, mouth] = openings.map(([part, lines]) => {
    const isSeen =
      !visible ||
      quantile(
        part.map((i) => visible[i]),
        0.5,
      ) >= PROBABLY;
    return isSeen ? ratio(keypoints, lines) : NaN;
  });
  return { yaw, pitch: degrees(Math.atan2(r32, r33)), roll: degrees(Math.atan2(r21, r11)), right_eye, left_eye, mouth };
}

/** How far the eyes are open; of a head turned to the side the nearer one. */
export function eyeOpenness({ yaw, right_eye, left_eye }) {
  if (Math.abs(yaw) > NEARER_EYE) return yaw > 0 ? right_eye : left_eye;
  const seen = [right_eye, left_eye].filter(Number.isFinite);
  return seen.length ? seen.reduce((sum, value) => sum + value) / seen.length : NaN;
}

function ratio(keypoints, [across, along]) {
  const length = ([i, j]) =>
    Math.hypot(keypoints[2 * i] - keypoints[2 * j], keypoints[2 * i + 1] - keypoints[2 * j + 1]);
  return across.reduce((sum, line) => sum + length(line), 0) / across.length / length(along);
}

/** The rotation in which the mean face is seen as these points. */
function rotationOf(points) {
  let offsets = centred(points);
  const size = Math.max(...offsets.flat().map(Math.abs));
  offsets = offsets.map(([x, y]) => [x / size, y / size]);
  const pose = refined(offsets, closest(product(transposed(offsets), RIGID_MODEL.affine)));
  const depths = RIGID_MODEL.points.map((point) => product([point], transposed([pose.rotation[2]]))[0][0]);
  const flat = offsets.map(([x, y], i) => [x, y].map((value) => value * (1 + depths[i] / CAMERA_DISTANCE)));
  return refined(centred(flat), pose).rotation;
}

function centred(points) {
  const [[x, y]] = product([RIGID_MODEL.weights], points);
  return points.map((point) => [point[0] - x, point[1] - y]);
}

/** The rotation and scale nearest to an affine camera (2 × 3), by the square root of camera · cameraᵀ. */
function closest(camera) {
  const [[p, q], [, r]] = product(camera, transposed(camera));
  const root = Math.sqrt(p * r - q * q);
  const sum = Math.sqrt(p + r + 2 * root);
  const inverse = [
    [r + root, -q],
    [-q, p + root],
  ].map((row) => row.map((value) => value / (sum * root)));
  const [[a, b, c], [d, e, f]] = product(inverse, camera);
  return {
    rotation: [
      [a, b, c],
      [d, e, f],
      [b * f - c * e, c * d - a * f, a * e - b * d],
    ],
    scale: sum / 2,
  };
}

/** Two steps of Gauss-Newton for the rotation and scale of scaled orthography. */
function refined(seen, { rotation, scale }) {
  const camera = product(product(transposed(seen), RIGID_MODEL.affine), RIGID_MODEL.spread);
  for (let step = 0; step < 2; step++) {
    const own = product(product(rotation, RIGID_MODEL.spread), transposed(rotation));
    const turned = product(camera, transposed(rotation));
    const [[e11, e12, e13], [e21, e22, e23]] = turned.map((row, i) => row.map((value, j) => value - scale * own[i][j]));
    const [[g11, , g13], [, g22, g23], [, , g33]] = own;
    const stiffness = g11 + g22 - (g13 * g13 + g23 * g23) / g33;
    const aboutZ = (e21 - e12 + (g23 * e13 - g13 * e23) / g33) / (scale * stiffness);
    const longer = (e11 + e22 - (g13 * e13 + g23 * e23) / g33) / stiffness;
    const aboutX = (scale * g13 * aboutZ + g23 * longer - e23) / (scale * g33);
    const aboutY = (scale * g23 * aboutZ - g13 * longer + e13) / (scale * g33);
    rotation = product(turn([aboutX, aboutY, aboutZ]), rotation);
    scale = Math.max(scale + longer, 0.1 * scale);
  }
  return { rotation, scale };
}

/** The rotation about an axis by its length in radians (Rodrigues). */
function turn(axis) {
  const angle = Math.hypot(...axis) || 1e-12;
  const [x, y, z] = axis.map((value) => value / angle);
  const [cos, sin, rest] = [Math.cos(angle), Math.sin(angle), 1 - Math.cos(angle)];
  return [
    [cos + rest * x * x, rest * x * y - sin * z, rest * x * z + sin * y],
    [rest * x * y + sin * z, cos + rest * y * y, rest * y * z - sin * x],
    [rest * x * z - sin * y, rest * y * z + sin * x, cos + rest * z * z],
  ];
}

/** The blinks of one person, from how far the eyes are open at growing times. */
export class Blinks {
  count = 0;
  #seen = []; // [seconds, openness] of the last BEFORE seconds
  #last = -Infinity;
  #dip = null; // when it began, the level before, the least since

  add(seconds, openness) {
    if (!Number.isFinite(openness)) return;
    if (seconds - this.#last > GAP) this.#forget();
    this.#last = seconds;
    if (this.#dip === null) {
      this.#lookForDip(seconds, openness);
      return;
    }
    const { began, level } = this.#dip;
    const least = Math.min(this.#dip.least, openness);
    this.#dip.least = least;
    const isBack = openness > least + BACK * (level - least);
    const isLong = seconds - began > LONGEST;
    if (isBack || isLong) this.#forget();
    if (isBack && !isLong) this.count += 1;
  }

  #forget() {
    this.#seen = [];
    this.#dip = null;
  }

  #lookForDip(seconds, openness) {
    this.#seen.push([seconds, openness]);
    this.#seen = this.#seen.filter(([time]) => time >= seconds - BEFORE);
    const level = quantile(
      this.#seen.map(([, value]) => value),
      0.8,
    );
    if (this.#seen.length >= FEWEST && openness < CLOSED * level) {
      this.#dip = { began: seconds, level, least: openness };
    }
  }
}

function quantile(values, share) {
  const sorted = values.sort((one, other) => one - other);
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  return low + (sorted[Math.ceil(at)] - low) * (at % 1);
}
