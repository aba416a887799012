/** The files of what was dropped or chosen: folders are opened, and what is no picture is left out. */

/** Endings of what Shoal reads; a file without one of these is not sent. */
const PICTURES = /\.(jpe?g|jpe|jfif|png|webp|gif|tiff?|bmp|dib|avif|heic|heif)$/i;

/**
 * @typedef {object} Found
 * @property {Array<{file: File, name: string}>} pictures each with its path below what was dropped
 * @property {number} others files that are no pictures
 */

/** Those of an `<input type="file">`. @returns {Found} */
export function chosenFiles(list) {
  return sorted([...list].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
}

/**
 * Those that were dropped, folders opened. To be called while the event is handled: later the browser forgets them.
 *
 * @param {DataTransfer} dropped
 * @returns {Promise<Found>}
 */
export async function droppedFiles(dropped) {
  const entries = [...dropped.items].filter(({ kind }) => kind === "file").map(
    (item) => item.webkitGetAsEntry?.() ?? item.getAsFile(),
  );
  const files = [];
  for (const entry of entries) {
    if (entry instanceof File) files.push({ file: entry, name: entry.name });
    else if (entry) await collect(entry, files);
  }
  return sorted(files);
}

async function collect(entry, files) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    files.push({ file, name: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A folder is read in stretches; an empty one is its end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const each of some) await collect(each, files);
  }
}

function sorted(files) {
  // Hidden files are a system's own: thumbnails, settings.
  const shown = files.filter(({ name }) => !name.split("/").some((part) => part.startsWith(".")));
  const pictures = shown.filter(({ name }) => PICTURES.test(name));
  return { pictures, others: files.length - pictures.length };
}
