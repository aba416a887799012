/** Degrees and distances for people, in the way of their browser's language. */

const locales = navigator.languages?.length ? [...navigator.languages] : undefined;

/** `48.14° N`: with as many places as a step between neighbours needs. */
export function degrees(value, step, positive, negative) {
  const places = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const text = new Intl.NumberFormat(
    locales,
    { minimumFractionDigits: places, maximumFractionDigits: places },
  ).format(Math.abs(value));
  return `${text}°${Math.abs(value) < step / 2 ? "" : ` ${value > 0 ? positive : negative}`}`;
}

/** A distance in metres or kilometres. */
export function metres(value) {
  const [size, unit] = value < 1000 ? [1, "meter"] : [1000, "kilometer"];
  return new Intl.NumberFormat(locales, { style: "unit", unit, unitDisplay: "short" }).format(value / size);
}
