/** What is looked for: read from the address, sent to the API. */

/** How much an image that the results should be unlike counts, beside those they should be like. */
const UNLIKE = -0.6;

/**
 * @typedef {object} SearchQuery
 * @property {string} text
 * @property {string[]} like ids of images
 * @property {string[]} unlike
 * @property {object} where a filter of the API
 * @property {string} order of images where nothing is looked for: `captured_at desc`
 * @property {string|null} photo a file in Base64; no address can hold it
 */

/** @returns {SearchQuery} of an address */
export function queryOf({ params }) {
  return {
    text: (params.get("text") ?? "").trim(),
    like: params.getAll("like"),
    unlike: params.getAll("unlike"),
    where: parseWhere(params.get("where")),
    order: params.get("order") ?? "captured_at desc",
    photo: null,
  };
}

/** The filter as an address holds it; "" for none. */
export const whereParam = (where) => (isEmpty(where) ? "" : JSON.stringify(where));

export const isEmpty = (where) => Object.keys(where).length === 0;

/** Whether something is looked for, rather than only filtered. */
export const isSought = ({ text, like, unlike, photo }) => Boolean(text || photo || like.length || unlike.length);

/** The query of an image search. */
export function imageSearch({ text, like, unlike, photo }) {
  if (!text && !photo) {
    return like.length === 1 && unlike.length === 0 ? { image: like[0] } : { liked: like, disliked: unlike };
  }
  const terms = termsOf({ text, like, unlike, photo });
  if (terms.length > 1) return { terms };
  return text ? { text } : { image_base64: photo };
}

/** The query of a cluster search. */
export function clusterSearch(query) {
  const terms = termsOf(query);
  if (terms.length > 1) return { terms };
  const [{ weight: _, ...only }] = terms;
  return only;
}

function termsOf({ text, like, unlike, photo }) {
  return [
    ...(text ? [{ text, weight: 1 }] : []),
    ...(photo ? [{ image_base64: photo, weight: 1 }] : []),
    ...like.map((image) => ({ image, weight: 1 })),
    ...unlike.map((image) => ({ image, weight: UNLIKE })),
  ];
}

/** A file in Base64. */
export async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  // In parts, for a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

function parseWhere(text) {
  if (!text) return {};
  try {
    const where = JSON.parse(text);
    return where && typeof where === "object" && !Array.isArray(where) ? where : {};
  } catch {
    return {};
  }
}
