/**
 * The faces of a camera, frame by frame, each with an identity and steadier points: a short twin of
 * `face68/tracking.py`. A face is predicted once a frame, in the square around its last points.
 *
 * @typedef {import("./landmarker.js").Face & {identity: number}} FollowedFace
 */
import constants from "./constants.js";
import { detect } from "./detect.js";
import { interOcular, isTrusted, uprightFrame } from "./landmarker.js";

const { SEARCH_EVERY, RETRY_EVERY, UNSURE, SAME_FACE } = constants.tracking;
const { HEAD_CUTOFF, HEAD_BETA, SPEED_CUTOFF } = constants.smoothing;

export class Tracker {
  #tracks = []; // {face, steady}
  #identities = 0;
  #sinceSearch = Infinity;
  #hasLost = false;

  constructor(landmarker) {
    this.landmarker = landmarker;
  }

  /** The faces of the next frame, left to right. @returns {Promise<FollowedFace[]>} */
  async next(picture, seconds) {
    this.#sinceSearch += 1;
    await this.#follow(picture);
    if (this.#isToSearch()) await this.#search(picture);
    const faces = this.#tracks.map(({ face, steady }) => ({
      ...face,
      keypoints: steady.next(face.keypoints, seconds),
    }));
    return faces.sort((one, other) => one.box[0] - other.box[0]);
  }

  async #follow(picture) {
    const before = this.#tracks;
    if (!before.length) return;
    const boxes = before.map(({ face }) => uprightFrame(face));
    const predictions = await this.landmarker.predict(picture, boxes);
    this.#tracks = [];
    before.forEach((track, i) => {
      const face = { ...track.face, box: boxes[i].box, ...predictions[i] };
      if (isTrusted(face) && !this.#isFollowed(face.box)) this.#tracks.push({ ...track, face });
      else this.#hasLost = true;
    });
  }

  #isToSearch() {
    if (!this.#tracks.length || this.#sinceSearch >= SEARCH_EVERY) return true;
    const isUnsure =
      this.#hasLost || this.#tracks.some(({ face }) => face.faceScore !== null && face.faceScore < UNSURE);
    return isUnsure && this.#sinceSearch >= RETRY_EVERY;
  }

  /** Find newcomers in the whole frame. */
  async #search(picture) {
    this.#sinceSearch = 0;
    this.#hasLost = false;
    const boxes = await detect(this.landmarker.detector, picture);
    const faces = await this.landmarker.facesIn(
      picture,
      boxes.filter(({ box }) => !this.#isFollowed(box)),
    );
    for (const face of faces) {
      if (this.#isFollowed(face.box)) continue;
      this.#identities += 1;
      this.#tracks.push({ face: { ...face, identity: this.#identities }, steady: new SteadyPoints() });
    }
  }

  /** Whether a box is about that of a followed face. */
  #isFollowed([x0, y0, x1, y1]) {
    return this.#tracks.some(({ face: { box } }) => {
      const distance = Math.hypot(x0 + x1 - box[0] - box[2], y0 + y1 - box[1] - box[3]) / 2;
      return distance < SAME_FACE * Math.max(x1 - x0, box[2] - box[0]);
    });
  }
}

/** One Euro filter (Casiez, Roussel & Vogel, 2012) of each coordinate; speeds are in distances of the eyes a second. */
class SteadyPoints {
  #points = null;

  next(keypoints, seconds) {
    const gap = seconds - this.#time;
    this.#time = seconds;
    if (!this.#points || !(gap > 0)) {
      this.#points = keypoints.slice();
      this.#speeds = new Float32Array(keypoints.length);
      return keypoints;
    }
    const eyes = interOcular(keypoints) || 1;
    const share = (cutoff) => 1 / (1 + 1 / (2 * Math.PI * cutoff * gap));
    this.#points = this.#points.map((last, i) => {
      const moved = keypoints[i] - last;
      this.#speeds[i] += share(SPEED_CUTOFF) * (moved / eyes / gap - this.#speeds[i]);
      return last + share(HEAD_CUTOFF + HEAD_BETA * Math.abs(this.#speeds[i])) * moved;
    });
    return this.#points;
  }

  #time = 0;
  #speeds;
}
