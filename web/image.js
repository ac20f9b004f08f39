/**
 * Pictures and the similarity transforms between them: the twin of `face68/geometry.py`, with OpenCV's arithmetic.
 *
 * Coordinates are pixels, x before y, 0-based, with pixel centres at integers. A matrix is [a, b, x, c, d, y], the rows
 * of a 2×3 matrix. Points are a Float32Array x0, y0, x1, y1, …
 *
 * @typedef {{data: Uint8ClampedArray, width: number, height: number}} Picture  RGBA, as `ImageData` has it
 * @typedef {number[]} Matrix
 */

/** The nearest whole number, of two the even one: as Python and OpenCV round. */
export function rounded(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}

/** The matrix that (optionally) mirrors, turns clockwise by `degrees`, scales, and moves `center` to `target`. */
export function similarity(center, target, scale = 1, degrees = 0, mirror = false) {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  const [a, b, c, d] = mirror ? [-cos, -sin, -sin, cos] : [cos, -sin, sin, cos];
  const [x, y] = center;
  return [a, b, target[0] - (a * x + b * y), c, d, target[1] - (c * x + d * y)];
}

/** The matrix from a picture to the square crop around a face's box [x0, y0, x1, y1]; policy: {size, margin}. */
export function cropMatrix([x0, y0, x1, y1], { size, margin }, degrees = 0, mirror = false) {
  const side = Math.max(x1 - x0, y1 - y0) * margin;
  const middle = (size - 1) / 2;
  return similarity([(x0 + x1) / 2, (y0 + y1) / 2], [middle, middle], size / side, degrees, mirror);
}

/** The matrix of the way back. @param {Matrix} matrix */
export function invert([a, b, x, c, d, y]) {
  const determinant = a * d - b * c;
  [a, b, c, d] = [d / determinant, -b / determinant, -c / determinant, a / determinant];
  return [a, b, -a * x - b * y, c, d, -c * x - d * y];
}

/** How many times longer a matrix makes a line. @param {Matrix} matrix */
export function scaleOf([a, b, , c, d]) {
  return Math.sqrt(Math.abs(a * d - b * c));
}

/** @param {Float32Array} points @param {Matrix} matrix @returns {Float32Array} */
export function transformPoints(points, [a, b, x, c, d, y]) {
  const moved = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 2) {
    moved[i] = a * points[i] + b * points[i + 1] + x;
    moved[i + 1] = c * points[i] + d * points[i + 1] + y;
  }
  return moved;
}

/** The tight box [x0, y0, x1, y1] around points. */
export function boxOf(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i++) {
    box[i % 2] = Math.min(box[i % 2], points[i]);
    box[2 + (i % 2)] = Math.max(box[2 + (i % 2)], points[i]);
  }
  return box;
}

/** Intersection over union of two boxes, 0 … 1. */
export function overlap(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  const union = area(one) + area(other) - shared;
  return union > 0 ? shared / union : 0;
}

/**
 * The picture moved by a matrix into a frame; outside of the picture the frame is black. A strong reduction first
 * averages k×k pixels, as bilinear sampling alone would skip those in between.
 */
export function warp(picture, matrix, height, width) {
  const k = Math.floor(1 / scaleOf(matrix));
  if (k < 2) return warpAffine(picture, matrix, height, width);
  const [part, x0, y0] = cutOut(picture, matrix, height, width, 2 * k);
  const [wide, high] = [Math.min(k, part.width), Math.min(k, part.height)];
  const [a, b, x, c, d, y] = matrix;
  const [blockX, blockY] = [x0 + (wide - 1) / 2, y0 + (high - 1) / 2]; // the middle of the first block
  const moved = [a * wide, b * high, a * blockX + b * blockY + x, c * wide, d * high, c * blockX + d * blockY + y];
  return warpAffine(averaged(part, wide, high), moved, height, width);
}

/** The part of a picture that a frame shows, with `beside` px around it, and the part's first column and row. */
function cutOut(picture, matrix, height, width, beside) {
  const [a, b, x, c, d, y] = invert(matrix);
  const corners = [-0.5, width - 0.5].flatMap((i) =>
    [-0.5, height - 0.5].flatMap((j) => [a * i + b * j + x, c * i + d * j + y]),
  );
  const [left, top, right, bottom] = boxOf(corners);
  const [x0, y0] = [left, top].map((low) => Math.max(0, Math.floor(low) - beside));
  const x1 = Math.min(picture.width, Math.ceil(right) + beside + 1);
  const y1 = Math.min(picture.height, Math.ceil(bottom) + beside + 1);
  if (x1 <= x0 || y1 <= y0) return [{ data: new Uint8ClampedArray(4), width: 1, height: 1 }, 0, 0]; // wholly outside
  const part = { data: new Uint8ClampedArray(4 * (x1 - x0) * (y1 - y0)), width: x1 - x0, height: y1 - y0 };
  for (let row = y0; row < y1; row++) {
    const start = 4 * (row * picture.width + x0);
    part.data.set(picture.data.subarray(start, start + 4 * part.width), 4 * (row - y0) * part.width);
  }
  return [part, x0, y0];
}

/** The average of each block of pixels; a rest at the far edge is filled up with its own last pixels. */
export function averaged(picture, wide, high) {
  const { data, width, height } = picture;
  const small = { width: Math.ceil(width / wide), height: Math.ceil(height / high) };
  small.data = new Uint8ClampedArray(4 * small.width * small.height);
  const pixels = wide * high;
  const mean = pixels === 4 ? (sum) => (sum + 2) >> 2 : (sum) => rounded(sum / pixels); // OpenCV halves in its own way
  for (let row = 0; row < small.height; row++) {
    for (let column = 0; column < small.width; column++) {
      let [red, green, blue] = [0, 0, 0];
      for (let j = row * high; j < (row + 1) * high; j++) {
        const start = Math.min(j, height - 1) * width;
        for (let i = column * wide; i < (column + 1) * wide; i++) {
          const at = 4 * (start + Math.min(i, width - 1));
          red += data[at];
          green += data[at + 1];
          blue += data[at + 2];
        }
      }
      const at = 4 * (row * small.width + column);
      small.data[at] = mean(red);
      small.data[at + 1] = mean(green);
      small.data[at + 2] = mean(blue);
    }
  }
  return small;
}

/** Half of a picture's size; a last odd row or column is left out. */
export function halved({ data, width, height }) {
  const even = { data, width, height };
  if (width % 2 || height % 2) {
    even.width = Math.max(1, width - (width % 2));
    even.height = Math.max(1, height - (height % 2));
    even.data = new Uint8ClampedArray(4 * even.width * even.height);
    for (let row = 0; row < even.height; row++) {
      even.data.set(data.subarray(4 * row * width, 4 * (row * width + even.width)), 4 * row * even.width);
    }
  }
  return averaged(even, 2, 2);
}

/** OpenCV's bilinear `warpAffine`: places to 1/32 px, in whole numbers; outside of the picture is black. */
export function warpAffine({ data, width: columns, height: rows }, matrix, height, width) {
  const [a, b, x0, c, d, y0] = invert(matrix);
  const out = { data: new Uint8ClampedArray(4 * width * height), width, height };
  const acrossX = Int32Array.from({ length: width }, (_, x) => rounded(a * x * 1024));
  const acrossY = Int32Array.from({ length: width }, (_, x) => rounded(c * x * 1024));
  const pixel = (i, j, channel) =>
    i < 0 || j < 0 || i >= columns || j >= rows ? 0 : data[4 * (j * columns + i) + channel];
  for (let y = 0, to = 0; y < height; y++) {
    const downX = rounded((b * y + x0) * 1024) + 16;
    const downY = rounded((d * y + y0) * 1024) + 16;
    for (let x = 0; x < width; x++, to += 4) {
      const u = (downX + acrossX[x]) >> 5;
      const v = (downY + acrossY[x]) >> 5;
      const [i, j, right, low] = [u >> 5, v >> 5, u & 31, v & 31];
      if (i < -1 || j < -1 || i >= columns || j >= rows) continue;
      const [w00, w10, w01, w11] = [(32 - right) * (32 - low), right * (32 - low), (32 - right) * low, right * low];
      const isInside = i >= 0 && j >= 0 && i < columns - 1 && j < rows - 1;
      const at = 4 * (j * columns + i);
      const below = at + 4 * columns;
      for (let k = 0; k < 3; k++) {
        const sum = isInside
          ? w00 * data[at + k] + w10 * data[at + 4 + k] + w01 * data[below + k] + w11 * data[below + 4 + k]
          : w00 * pixel(i, j, k) + w10 * pixel(i + 1, j, k) + w01 * pixel(i, j + 1, k) + w11 * pixel(i + 1, j + 1, k);
        out.data[to + k] = (sum + 512) >> 10;
      }
    }
  }
  return out;
}

/** A picture as gray, (H × W) uint8, by OpenCV's whole numbers. */
export function gray({ data, width, height }) {
  const values = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    values[i] = (9798 * data[at] + 19235 * data[at + 1] + 3735 * data[at + 2] + 16384) >> 15;
  }
  return values;
}

/** A picture as planes, (3 × H × W) uint8 RGB. */
export function planes({ data, width, height }) {
  const size = width * height;
  const values = new Uint8Array(3 * size);
  for (let i = 0, at = 0; i < size; i++, at += 4) {
    values[i] = data[at];
    values[size + i] = data[at + 1];
    values[2 * size + i] = data[at + 2];
  }
  return values;
}

/** A photo on a canvas, upright, transparent parts over white. @param {Blob} file @returns {Promise<OffscreenCanvas>} */
export async function decode(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/** @param {OffscreenCanvas} canvas @returns {Picture} */
export function pixels(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
}
