/** Numbers and times as people read them. Pure. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Thinly spaced minus sign for what is not known. */
export const UNKNOWN = "–";

/** @param {number} n with thousands apart */
export function integer(n) {
  return whole.format(n);
}

/**
 * @param {number} n
 * @returns {string} three digits and a unit of 1024: `1.46 GiB`, `980 B`
 */
export function bytes(n) {
  if (!Number.isFinite(n) || n < 0) return UNKNOWN;
  let unit = 0;
  let value = n;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${digits(value, unit === 0)} ${UNITS[unit]}`;
}

/** @param {number} n bytes a second; a rate of nothing is a dash, so that the eye finds those that move */
export function rate(n) {
  return n > 0 ? `${bytes(n)}/s` : UNKNOWN;
}

/**
 * A part of a whole. 100 % is said of the whole alone, 0 % of nothing alone.
 * @param {number} part 0 to 1
 */
export function percent(part) {
  if (!Number.isFinite(part)) return UNKNOWN;
  const value = Math.min(1, Math.max(0, part)) * 100;
  if (value === 0 || value === 100) return `${value} %`;
  const text = Math.min(99.9, Math.max(0.1, value));
  return `${text < 10 || text > 99 ? text.toFixed(1) : Math.floor(text)} %`;
}

/** @param {number} seconds in its two largest units: `2 h 14 min` */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return UNKNOWN;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(s, 60, "min", 1, "s");
  if (s < 86400) return two(s, 3600, "h", 60, "min");
  if (s < 365 * 86400) return two(s, 86400, "d", 3600, "h");
  return `${integer(Math.floor(s / (365 * 86400)))} years`;
}

/** @param {number | null | undefined} seconds until the end; more than 100 days are as good as none */
export function eta(seconds) {
  if (seconds == null || seconds > 8_640_000) return UNKNOWN;
  // nobody waits by the second for what takes longer than ten minutes
  return duration(seconds >= 600 && seconds < 3600 ? seconds - (seconds % 60) : seconds);
}

/** @param {number | null | undefined} ms round-trip time */
export function milliseconds(ms) {
  if (ms == null || !Number.isFinite(ms)) return UNKNOWN;
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  return `${ms < 100 ? ms.toFixed(1) : whole.format(ms)} ms`;
}

/**
 * @param {number | null} at seconds since 1970
 * @param {number} now seconds since 1970
 */
export function ago(at, now) {
  if (!at) return "never";
  const past = now - at;
  if (past < 0) return `in ${duration(-past)}`;
  return past < 2 ? "now" : `${duration(past)} ago`;
}

/** @param {number | null} at seconds since 1970 */
export function dateTime(at) {
  if (!at) return UNKNOWN;
  return new Date(at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** @param {number} up @param {number} down */
export function ratio(up, down) {
  return down > 0 ? (up / down).toFixed(2) : UNKNOWN;
}

/** @param {number} n @param {string} one @param {string} [many] */
export function count(n, one, many) {
  return `${integer(n)} ${n === 1 ? one : (many ?? `${one}s`)}`;
}

/** The first digits of an id, enough to tell it from others. @param {string} id @param {number} [length] */
export function short(id, length = 8) {
  return id.length <= length ? id : `${id.slice(0, length)}…`;
}

/** @param {number} value @param {boolean} plain */
function digits(value, plain) {
  if (plain || value >= 99.95) return value.toFixed(0);
  return value.toFixed(value >= 9.995 ? 1 : 2);
}

/** @param {number} s @param {number} big @param {string} bigName @param {number} small @param {string} smallName */
function two(s, big, bigName, small, smallName) {
  const rest = Math.floor((s % big) / small);
  const first = `${Math.floor(s / big)} ${bigName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}
