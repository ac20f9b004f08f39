/**
 * Where photos come from: files, a folder, `python prepare.py label`.
 *
 * @typedef {import("./page.js").Photo} Photo
 */
import { isOwnLabel } from "./formats.js";

const IS_PHOTO = /\.(jpe?g|jfif|png|webp|bmp|gif|avif)$/i;

export const stemOf = (name) => name.replace(/\.[^./]*$/, "");

const byName = (one, other) => (one.name < other.name ? -1 : 1);

/** The photos among files, with the labels that lie beside them. @returns {Photo[]} */
export function fromFiles(files) {
  const labels = new Map(files.filter(({ name }) => name.endsWith(".pts")).map((file) => [stemOf(file.name), file]));
  const chosen = files.filter((file) => file.type.startsWith("image/") || IS_PHOTO.test(file.name));
  const wrong = files.length === 1 && !chosen.length ? files[0] : null;
  if (wrong) throw new Error(`${wrong.name} is no photo. Choose a JPEG, PNG or WebP file.`);
  return chosen
    .map((file) => {
      const label = labels.get(stemOf(file.name));
      const photo = { name: file.name, labelText: null };
      photo.read = async () => {
        photo.labelText ??= label ? await label.text() : null;
        return file;
      };
      return photo;
    })
    .sort(byName);
}

/** The files, also of folders, that were dropped. @returns {Promise<File[]>} */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return (await Promise.all(entries.map(filesOf))).flat();
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at most
    if (!some.length) return files;
    files.push(...(await Promise.all(some.map(filesOf))).flat());
  }
}

/** The photos of a folder that the user chooses and lets this page write into. @returns {Promise<Photo[]>} */
export async function fromFolder() {
  const folder = await window.showDirectoryPicker({ mode: "readwrite" });
  const photos = [];
  for await (const [name, handle] of folder.entries()) {
    if (handle.kind !== "file" || !IS_PHOTO.test(name)) continue;
    const label = `${stemOf(name)}.pts`;
    photos.push({
      name,
      read: () => handle.getFile(),
      labelText: await textOf(folder, label),
      write: (text) => write(folder, label, text),
    });
  }
  return photos.sort(byName);
}

async function textOf(folder, name) {
  try {
    return await (await (await folder.getFileHandle(name)).getFile()).text();
  } catch {
    return null; // there is none
  }
}

async function write(folder, name, text) {
  const before = await textOf(folder, name);
  if (before !== null && !isOwnLabel(before)) throw new Error(`${name} is a label by somebody else, which stays.`);
  const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
  await stream.write(text);
  await stream.close(); // only now it takes the old one's place
}

/** The photos of the folder that `python prepare.py label` serves. @returns {Promise<Photo[]>} */
export async function fromServer() {
  const listed = await (await fetch("photos")).json();
  return listed.map(({ name, label }, i) => ({
    name,
    read: async () => (await fetch(`photo/${i}`)).blob(),
    labelText: label,
    write: (text) => post(`label/${i}`, text),
  }));
}

async function post(address, text) {
  const answer = await fetch(address, { method: "POST", body: text }).catch(() => {
    throw new Error("Not saved: python prepare.py label has ended. Start it again.");
  });
  if (!answer.ok) throw new Error(`Not saved: ${await answer.text()}`);
}
