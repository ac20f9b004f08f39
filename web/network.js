/**
 * Networks of exported files, run by ONNX Runtime Web in one thread: the twin of `face68/network.py`.
 *
 * @typedef {{keypoints: Float32Array, errors: ?Float32Array, faceScore: ?number, visible: ?Float32Array}} Prediction
 *   of a face: 68 points x0, y0, … px, their expected errors px, how surely this is a face, how surely each is seen
 */
import * as ort from "./runtime/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more need headers that static hosts don't send
ort.env.wasm.wasmPaths = { wasm: new URL("runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };

async function load(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} is not on this server; run: python prepare.py web`);
  return response;
}

async function openSession(name) {
  const file = new Uint8Array(await (await load(`networks/${name}.onnx`)).arrayBuffer());
  return ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
}

/** The network of keypoints of a name. `predict` takes crops, Uint8Arrays of size × size gray. */
export async function openNetwork(name) {
  const [session, description] = await Promise.all([openSession(name), load(`networks/${name}.json`)]);
  const { policy } = await description.json();
  return { policy, predict: (crops) => predict(session, policy.size, crops) };
}

/** @returns {Promise<Prediction[]>} */
async function predict(session, size, crops) {
  const batch = new Uint8Array(crops.length * size * size);
  crops.forEach((crop, i) => batch.set(crop, i * size * size));
  const outputs = await session.run({ crops: new ort.Tensor("uint8", batch, [crops.length, 1, size, size]) });
  const of = (name, i, count) => outputs[name]?.data.slice(i * count, (i + 1) * count) ?? null;
  return crops.map((_, i) => ({
    keypoints: of("keypoints", i, 136),
    errors: of("errors", i, 68),
    faceScore: of("face_scores", i, 1)?.[0] ?? null,
    visible: of("visible", i, 68),
  }));
}

/** The detector. `search` takes planes (3 × height × width) and gives its two maps, see `face68.network.OnnxDetector`. */
export async function openDetector() {
  const session = await openSession("detector");
  const search = async (planes, height, width) => {
    const { scores, faces } = await session.run({ pictures: new ort.Tensor("uint8", planes, [1, 3, height, width]) });
    return { scores: scores.data, faces: faces.data, rows: scores.dims[1], columns: scores.dims[2] };
  };
  return { search };
}
