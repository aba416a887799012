/**
 * Numbers and times for people, in the way of their browser's language.
 *
 * Values go in as JSON gave them and come out as text that is shown and never read again: "1.234" means different
 * things to different people, so nothing on the page ever parses what it shows.
 */

const locales = navigator.languages?.length ? [...navigator.languages] : undefined;
const whole = new Intl.NumberFormat(locales, { maximumFractionDigits: 0 });
const twoPlaces = new Intl.NumberFormat(locales, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const share = new Intl.NumberFormat(locales, { style: "percent", maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(locales, { dateStyle: "medium" });
const minute = new Intl.DateTimeFormat(locales, { dateStyle: "medium", timeStyle: "short" });
const dayOfClock = new Intl.DateTimeFormat(locales, { dateStyle: "medium", timeZone: "UTC" });
const minuteOfClock = new Intl.DateTimeFormat(locales, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
const monthOfClock = new Intl.DateTimeFormat(locales, { year: "numeric", month: "long", timeZone: "UTC" });

/** A whole number. */
export const number = (value) => whole.format(value);

/** A number with two places: a cosine, a strength. */
export const decimal = (value) => twoPlaces.format(value);

/** A share, 0 to 1. */
export const percent = (value) => share.format(value);

/** `3 images`, `1 image`. */
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/** Bytes, in the unit that fits. */
export function bytes(value) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  const unit = { style: "unit", unit: units[power], unitDisplay: power ? "short" : "long" };
  return new Intl.NumberFormat(
    locales,
    { ...unit, maximumFractionDigits: power ? 1 : 0 },
  ).format(value / 1000 ** power);
}

/** A span of time in seconds, to the nearest second, minute or hour. */
export function duration(seconds) {
  const [size, unit] = seconds < 90 ? [1, "second"] : seconds < 5400 ? [60, "minute"] : [3600, "hour"];
  const places = unit === "hour" ? 1 : 0;
  const style = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: places };
  return new Intl.NumberFormat(locales, style).format(seconds / size);
}

/**
 * A moment, RFC 3339. Without an offset it is what a camera's clock showed, and shown as that, wherever the browser is.
 */
export const date = (text) => timeOf(text, day, dayOfClock);

/** The same with the time of day. */
export const dateTime = (text) => timeOf(text, minute, minuteOfClock);

/** `May 2019` of a moment, RFC 3339. */
export const month = (text) => timeOf(text, monthOfClock, monthOfClock);

const OFFSET = /(?:Z|[+-]\d{2}:?\d{2})$/i;

function timeOf(text, withOffset, ofClock) {
  if (!text) return "";
  const moment = new Date(OFFSET.test(text) ? text : `${text}Z`);
  if (Number.isNaN(moment.getTime())) return text;
  return (OFFSET.test(text) ? withOffset : ofClock).format(moment);
}

/** What people call a file: the last part of its URI, decoded where that can be done. */
export function fileName(uri) {
  const last = uri.replace(/[?#].*$/, "").split(/[/\\]/).filter(Boolean).pop() ?? uri;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}
