/** Who corrects: a name for the record, kept in this browser. */

const AUTHOR = "shoal.author";

/** The longest that the server takes. */
export const LONGEST = 200;

/** The name; "" if nobody said one. */
export const author = () => localStorage.getItem(AUTHOR) ?? "";

/** Remembers a name; "" forgets it. */
export function setAuthor(name) {
  if (name.trim()) localStorage.setItem(AUTHOR, name.trim());
  else localStorage.removeItem(AUTHOR);
}
