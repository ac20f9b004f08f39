/**
 * The page: photos, a folder or the camera in; points drawn, saved, corrected.
 *
 * @typedef {import("./landmarker.js").Face} Face
 * @typedef {import("./label.js").Label} Label
 * @typedef {object} Photo
 * @property {string} name
 * @property {() => Promise<Blob>} read
 * @property {?string} labelText  of its .pts file, as it was found
 * @property {?Label} label
 * @property {?Face[]} faces  undefined before the search, which took `took` ms
 * @property {?(text: string) => Promise<void>} write  of its .pts file; null: it is downloaded
 */
import { closeUp, drawFace, fitted, onCanvas } from "./draw.js";
import { fromPts, isOwnLabel, toCsv, toJson, toPts } from "./formats.js";
import { boxOf, decode, pixels } from "./image.js";
import { Editor } from "./label.js";
import { certainty, Landmarker } from "./landmarker.js";
import { Blinks, eyeOpenness, measure } from "./measures.js";
import { openDetector, openNetwork } from "./network.js";
import { dropped, fromFiles, fromFolder, fromServer, stemOf } from "./sources.js";
import { Tracker } from "./track.js";

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");
const context = canvas.getContext("2d");
const CLOSER = 1.25; // of one step of the zoom

/** @type {Photo[]} */ let photos = [];
let at = -1; // of them, which is shown
let shown = null; // {name, image: OffscreenCanvas, faces: Face[]}
let view = null;
let stream = null; // the camera's
let request = 0; // the number of the last photo or camera that was asked for: answers to earlier ones are dropped
const editor = new Editor({ canvas, view: () => view, moveView, changed, boxed: (box) => attempt(() => placeIn(box)) });

// --- Networks ------------------------------------------------------------------------------------------------------

const opened = {}; // promises by name
let turn = Promise.resolve();

function once(name, open) {
  opened[name] ??= open(name).catch((error) => {
    delete opened[name];
    throw error;
  });
  return opened[name];
}

async function openLandmarker() {
  const name = $("network").value;
  const networks = [once("detector", openDetector), once(name, openNetwork), once("fast", openNetwork)];
  return new Landmarker(...(await Promise.all(networks)));
}

/** Tasks of the networks one after another. */
function inTurn(task) {
  const result = turn.then(task);
  turn = result.catch(() => {});
  return result;
}

function measured(face) {
  return { ...face, measures: measure(face.keypoints, face.visible) };
}

// --- What is said --------------------------------------------------------------------------------------------------

function say(text) {
  $("status").textContent = text;
}

const SENTENCES = {
  NotAllowedError: "The camera was refused. Allow it beside the browser's address, then try again.",
  NotFoundError: "There is no camera. Connect one, or choose a photo.",
  NotReadableError: "The camera is used by another program. Close that, then try again.",
};

/** Run an action of the user; what fails is said in a sentence. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (error.name === "AbortError") return; // the user closed a dialog
    say(SENTENCES[error.name] ?? error.message);
  }
}

function count(faces) {
  return { 0: "No face", 1: "1 face" }[faces.length] ?? `${faces.length} faces`;
}

function fillTable(blinks = null) {
  const { faces } = shown;
  $("faces").hidden = !faces.length;
  $("faces").classList.toggle("film", blinks !== null);
  const rows = faces.map((face, i) => {
    const { yaw, pitch, roll } = face.measures;
    const degrees = [yaw, pitch, roll].map((value) => `${Math.round(value) || 0}°`);
    const score = (face.faceScore ?? face.score).toFixed(2);
    return [face.identity ?? i + 1, score, ...degrees, openness(face), blinks?.[i] ?? ""];
  });
  $("faces").tBodies[0].replaceChildren(...rows.map(rowOf));
}

function openness({ measures }) {
  const value = eyeOpenness(measures);
  return Number.isFinite(value) ? value.toFixed(2) : "–";
}

function rowOf(cells) {
  const row = document.createElement("tr");
  for (const cell of cells) row.insertCell().textContent = cell;
  row.cells[6].className = "film";
  return row;
}

// --- Drawing -------------------------------------------------------------------------------------------------------

/** Draw what is shown, at the canvas' own resolution. */
function changed() {
  const ratio = window.devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * ratio));
  if (canvas.width !== width || canvas.height !== height) {
    Object.assign(canvas, { width, height });
    view = null;
  }
  context.clearRect(0, 0, width, height);
  $("hint").hidden = shown !== null || at >= 0;
  showEditing();
  if (!shown) return;
  const { label } = editor;
  view ??= label ? closeUp(canvas, boxOf(label.keypoints)) : fitted(canvas, shown.image.width, shown.image.height);
  drawShown(context, view, ratio);
  $("chosen").value = label ? editor.name : "none yet: draw a square around the face";
  canvas.setAttribute("aria-label", `${shown.name}: ${count(shown.faces)}`);
}

function drawShown(context, view, unit) {
  const { image, faces } = shown;
  context.drawImage(image, view.x, view.y, image.width * view.scale, image.height * view.scale);
  const label = editor.isOpen ? editor.label : photos[at]?.label;
  const rings = $("rings").checked;
  if (label) {
    drawFace(context, label, view, { marks: label.marks, unit, selected: editor.isOpen ? editor.selected : null });
  } else if (!editor.isOpen) {
    for (const face of faces) drawFace(context, face, view, { rings, unit });
  } else if (editor.box) {
    const [[x0, y0], [x1, y1]] = [onCanvas(view, ...editor.box), onCanvas(view, ...editor.box.slice(2))];
    Object.assign(context, { lineWidth: 2 * unit, strokeStyle: "white" });
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
}

function moveView(moved) {
  view = moved;
  changed();
}

function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
  if (!view) return;
  const scale = Math.min(Math.max(view.scale * factor, 0.02), 64);
  const ratio = scale / view.scale;
  moveView({ scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio });
}

// --- Photos --------------------------------------------------------------------------------------------------------

async function openPhotos(chosen) {
  if (!chosen.length) throw new Error("There is no photo among these. Choose JPEG, PNG or WebP files.");
  photos = chosen;
  await show(0);
  await searchOthers();
}

async function load(photo) {
  try {
    return await decode(await photo.read());
  } catch {
    throw new Error(`${photo.name} is no photo that this browser can read. Choose a JPEG, PNG or WebP file.`);
  }
}

/** Show a photo, and its points as soon as they are found; false if another one was asked for meanwhile. */
async function show(index) {
  stopCamera();
  const number = ++request;
  [at, shown, view] = [index, null, null];
  $("saving").hidden = $("faces").hidden = true;
  editor.close();
  const photo = photos[index];
  showPager();
  const image = await load(photo);
  if (number !== request) return false;
  shown = { name: photo.name, image, faces: photo.faces ?? [] };
  changed();
  say(`Finding faces in ${photo.name}…`);
  await search(photo, image);
  if (number !== request) return false;
  shown.faces = photo.faces;
  const time = ` in ${Math.round(photo.took)} ms with ${$("network").value}`;
  const remedy = photo.faces.length
    ? time
    : ` was found${time}. Is there one? Correct points, and draw a square around it`;
  say(`${photo.name}: ${count(photo.faces)}${remedy}.${photo.label ? " It has a label." : ""}`);
  fillTable();
  allowSaving();
  changed();
  return true;
}

function allowSaving() {
  $("saving").hidden = false;
  $("json").disabled = !shown.faces.length;
  $("pts").disabled = !shown.faces.length && !photos[at]?.label;
}

/** Find a photo's faces, if it wasn't searched yet. */
async function search(photo, image) {
  if (photo.faces) return;
  const landmarker = await openLandmarker();
  await inTurn(async () => {
    const begin = performance.now();
    photo.faces = (await landmarker.faces(pixels(image))).map(measured);
    photo.took = performance.now() - begin;
  });
  readLabel(photo);
}

function showPager() {
  $("pager").hidden = photos.length < 2;
  const labelled = photos.filter((photo) => photo.label).length;
  const also = labelled ? `, ${labelled} labelled` : "";
  $("position").textContent = `${at + 1} of ${photos.length}${also}`;
}

/** Search the photos that aren't shown, so that the least sure one is known. */
async function searchOthers() {
  const all = photos;
  for (const photo of all) {
    if (photos !== all || stream) return;
    try {
      if (!photo.faces) await search(photo, await load(photo));
    } catch {
      photo.faces = []; // it is said when the photo is shown
    }
    showPager();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

/** Take a photo's label from its .pts file; the network places the hidden points. */
function readLabel(photo) {
  const keypoints = photo.labelText && fromPts(photo.labelText);
  if (!keypoints || photo.label) return;
  const marks = Int8Array.from({ length: 68 }, (_, i) =>
    keypoints[2 * i] === -2 && keypoints[2 * i + 1] === -2 ? -1 : 1,
  );
  const guess = largest(photo.faces)?.keypoints;
  photo.label = { marks, keypoints: keypoints.map((value, i) => (marks[i >> 1] < 0 && guess ? guess[i] : value)) };
}

/** The largest of some faces. */
function largest(faces) {
  const side = ({ box }) => box[2] - box[0];
  return faces.reduce((one, other) => (one && side(one) >= side(other) ? one : other), null);
}

async function changeNetwork() {
  for (const photo of photos) photo.faces = undefined;
  say(`Loading ${$("network").value}…`);
  if (stream) await startCamera();
  else if (at >= 0) await show(at);
  else await ready();
}

// --- Camera --------------------------------------------------------------------------------------------------------

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("camera").setAttribute("aria-pressed", "false");
  canvas.classList.remove("film");
}

function endCamera() {
  stopCamera();
  say("The camera is off. Choose photos, or start it again.");
}

async function startCamera() {
  stopCamera();
  editor.close();
  const number = ++request;
  if (!navigator.mediaDevices) throw new Error("The camera needs an address that begins with https, or 127.0.0.1.");
  const options = { video: { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 } } };
  const opened = await navigator.mediaDevices.getUserMedia(options);
  if (number !== request) return opened.getTracks().forEach((track) => track.stop());
  stream = opened;
  $("camera").setAttribute("aria-pressed", "true");
  $("pager").hidden = true;
  [photos, at, shown, view] = [[], -1, null, null];
  canvas.classList.add("film");
  const video = $("video");
  video.srcObject = stream;
  await video.play();
  await follow(video, new Tracker(await openLandmarker()));
}

/** Follow the faces of a camera until it is stopped. */
async function follow(video, tracker) {
  const mine = stream;
  const blinks = {}; // by identity
  const ends = [];
  const image = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const pencil = image.getContext("2d", { willReadFrequently: true });
  while (stream === mine) {
    const begin = performance.now();
    pencil.drawImage(video, 0, 0);
    const faces = (await inTurn(() => tracker.next(pixels(image), begin / 1000))).map(measured);
    if (stream !== mine) return;
    shown = { name: "camera.jpg", image, faces };
    for (const face of faces) (blinks[face.identity] ??= new Blinks()).add(begin / 1000, eyeOpenness(face.measures));
    ends.push(performance.now());
    if (ends.length > 30) ends.shift();
    const rate = (1000 * (ends.length - 1)) / (ends.at(-1) - ends[0]) || 0;
    say(`${count(faces)} · ${rate.toFixed(0)} frames a second · ${(ends.at(-1) - begin).toFixed(0)} ms each`);
    fillTable(faces.map((face) => blinks[face.identity].count));
    allowSaving();
    changed();
    await nextFrame(video);
  }
}

function nextFrame(video) {
  return new Promise((resolve) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}

// --- Saving --------------------------------------------------------------------------------------------------------

function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const asText = (text) => new Blob([text], { type: "text/plain" });

async function savePicture() {
  const { name, image } = shown;
  const picture = new OffscreenCanvas(image.width, image.height);
  drawShown(picture.getContext("2d"), { scale: 1, x: 0, y: 0 }, 1);
  download(`${stemOf(name)}_keypoints.jpg`, await picture.convertToBlob({ type: "image/jpeg", quality: 0.92 }));
}

function saveJson() {
  const { name, image, faces } = shown;
  download(`${stemOf(name)}.json`, asText(toJson(name, image.width, image.height, faces)));
}

function savePts() {
  const label = photos[at]?.label;
  const { keypoints } = label ?? largest(shown.faces);
  download(`${stemOf(shown.name)}.pts`, asText(toPts(keypoints, label?.marks)));
}

// --- Labels --------------------------------------------------------------------------------------------------------

const seen = () => new Int8Array(68).fill(1);

function correct() {
  if (at < 0) keepFrame();
  const face = largest(shown.faces);
  edit(photos[at].label ?? (face && { keypoints: face.keypoints, marks: seen() }), face?.errors);
  canvas.focus();
}

function edit(label, errors) {
  view = null;
  editor.open(label && { keypoints: label.keypoints.slice(), marks: label.marks.slice() }, errors);
}

/** The camera's last frame becomes a photo. */
function keepFrame() {
  const frame = new OffscreenCanvas(shown.image.width, shown.image.height);
  frame.getContext("2d").drawImage(shown.image, 0, 0);
  stopCamera();
  request += 1;
  [photos, at] = [[{ name: shown.name, faces: shown.faces, read: () => frame.convertToBlob() }], 0];
  shown.image = frame;
}

function showEditing() {
  $("editing").hidden = $("zoom").hidden = !editor.isOpen;
  $("correct").hidden = editor.isOpen;
  canvas.classList.toggle("editing", editor.isOpen);
  for (const grip of document.getElementsByName("grip")) grip.checked = grip.value === editor.grip;
  $("places").textContent = photos[at]?.write
    ? "Labels are saved as .pts beside their photos."
    : "Labels are downloaded. Put the CSV beside a folder training/ that holds the photos.";
}

/** Points for the face in a square that the user drew. */
async function placeIn(box) {
  const landmarker = await openLandmarker();
  const [face] = await inTurn(() => landmarker.allPasses(pixels(shown.image), [{ box, degrees: 0 }]));
  edit({ keypoints: face.keypoints, marks: seen() }, face.errors);
}

/** Save the label, and go on to the photo that the network is least sure of. */
async function saveLabel() {
  const photo = photos[at];
  if (!editor.label) throw new Error("There are no points yet. Draw a square around the face, from brows to chin.");
  if (photo.labelText && !isOwnLabel(photo.labelText)) {
    throw new Error(`${photo.name} has a label by somebody else, which stays. Move its .pts file away first.`);
  }
  const text = toPts(editor.label.keypoints, editor.label.marks);
  if (photo.write) await photo.write(text);
  else if (photos.length === 1) download(`${stemOf(photo.name)}.pts`, asText(text));
  [photo.label, photo.labelText] = [editor.label, text];
  const sureness = ({ faces }) => Math.max(0, ...faces.map(certainty));
  const waiting = photos.filter((one) => !one.label && one.faces).sort((one, other) => sureness(one) - sureness(other));
  const next = waiting[0] ?? photos.find((one) => !one.label);
  showPager();
  if (!next) return say(`Saved. ${photos.length > 1 ? "All photos have labels now." : ""}`);
  if (await show(photos.indexOf(next))) correct();
}

function saveCsv() {
  const labelled = photos.filter((photo) => photo.label).map(({ name, label }) => ({ name, ...label }));
  if (!labelled.length) throw new Error("No photo has a label yet. Save one first.");
  download("training_frames_keypoints.csv", asText(toCsv(labelled)));
}

// --- The user ------------------------------------------------------------------------------------------------------

function step(by) {
  return show((at + by + photos.length) % photos.length);
}

function chooseFolder() {
  if (window.showDirectoryPicker) return fromFolder().then(openPhotos);
  $("directory").click();
}

const ACTIONS = {
  photos: () => $("files").click(),
  folder: chooseFolder,
  camera: () => (stream ? endCamera() : startCamera()),
  example: async () =>
    openPhotos([{ name: "collins.jpg", read: async () => (await fetch("networks/collins.jpg")).blob() }]),
  previous: () => step(-1),
  next: () => step(1),
  picture: savePicture,
  json: saveJson,
  pts: savePts,
  correct,
  hidden: () => editor.label && editor.mark(-1),
  covered: () => editor.label && editor.mark(0),
  undo: () => editor.undo(),
  closer: () => zoom(CLOSER),
  farther: () => zoom(1 / CLOSER),
  save: saveLabel,
  csv: saveCsv,
  done: () => {
    view = null;
    editor.close();
  },
};
const KEYS = { "+": "closer", "=": "closer", "-": "farther", n: "save" }; // on the picture

function listen() {
  for (const [id, action] of Object.entries(ACTIONS)) $(id).addEventListener("click", () => attempt(action));
  for (const id of ["files", "directory"]) {
    $(id).addEventListener("change", (event) => attempt(() => openPhotos(fromFiles([...event.target.files]))));
  }
  $("network").addEventListener("change", () => attempt(changeNetwork));
  $("rings").addEventListener("change", changed);
  for (const grip of document.getElementsByName("grip"))
    grip.addEventListener("change", () => editor.setGrip(grip.value));
  canvas.addEventListener("keydown", (event) => editor.isOpen && KEYS[event.key] && attempt(ACTIONS[KEYS[event.key]]));
  canvas.addEventListener("wheel", turnWheel, { passive: false });
  $("stage").addEventListener("dragover", (event) => {
    event.preventDefault();
    $("stage").classList.add("over");
  });
  $("stage").addEventListener("dragleave", () => $("stage").classList.remove("over"));
  $("stage").addEventListener("drop", (event) => {
    event.preventDefault();
    $("stage").classList.remove("over");
    attempt(async () => openPhotos(fromFiles(await dropped(event.dataTransfer))));
  });
  new ResizeObserver(changed).observe($("stage"));
}

function turnWheel(event) {
  if (!editor.isOpen) return;
  event.preventDefault();
  const ratio = canvas.width / canvas.clientWidth;
  zoom(event.deltaY < 0 ? CLOSER : 1 / CLOSER, event.offsetX * ratio, event.offsetY * ratio);
}

async function ready() {
  if (typeof WebAssembly === "undefined") {
    throw new Error("This browser runs no WebAssembly. Use a present Chrome, Firefox or Safari.");
  }
  await openLandmarker();
  if (!shown) say("Ready. Choose photos or a folder, drop them on the picture, or start the camera.");
}

async function begin() {
  listen();
  await ready();
  if (location.hash !== "#folder") return;
  photos = await fromServer();
  if (await show(0)) correct();
  await searchOthers();
}

attempt(begin);
