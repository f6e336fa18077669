/**
 * Places of peers on a plane. Network coordinates have three dimensions and a height; the plane is the one in which the
 * peers lie widest apart (principal components), with us in its middle. Pure.
 */

/** @typedef {[number, number, number]} Vec3 */
/** @typedef {[Vec3, Vec3]} Plane two unit vectors, at right angles */

/** @type {Plane} */
const FLAT = [
  [1, 0, 0],
  [0, 1, 0],
];

/**
 * @param {Vec3[]} points relative to us, milliseconds
 * @param {Plane} [before] the last plane: the new one is turned the way it was, so that a picture does not flip
 * @returns {Plane}
 */
export function plane(points, before = FLAT) {
  if (points.length < 2) return before;
  const spread = covariance(points);
  const first = widest(spread, before[0], null);
  if (first === null) return before;
  const second = widest(spread, before[1], first) ?? across(first, before[1]);
  return [like(first, before[0]), like(second, before[1])];
}

/** @param {Vec3} point @param {Plane} on @returns {[number, number]} milliseconds */
export function project(point, on) {
  return [dot(point, on[0]), dot(point, on[1])];
}

/**
 * Where a peer is drawn whose coordinate is unknown: as far away as its round-trip time says, in a direction that its
 * name gives, the same each time.
 * @param {string} name @param {number} ms @returns {[number, number]}
 */
export function byTimeAlone(name, ms) {
  let hash = 2166136261; // FNV-1a
  for (let i = 0; i < name.length; i += 1) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
  const angle = ((hash >>> 0) / 2 ** 32) * 2 * Math.PI;
  return [ms * Math.cos(angle), ms * Math.sin(angle)];
}

/**
 * The distance on the picture of `ms` milliseconds from us, 0 to 1.
 * @param {number} ms @param {number} reach the milliseconds that are 1
 * @param {boolean} even whether a millisecond is as long everywhere; else near ones get more room
 */
export function radius(ms, reach, even) {
  if (even) return ms / reach;
  const knee = 0.1; // below it is even: one network
  return Math.log1p(ms / knee) / Math.log1p(reach / knee);
}

/**
 * Distances at which a ring is drawn.
 * @param {number} reach @param {boolean} even @returns {number[]} milliseconds
 */
export function rings(reach, even) {
  if (!even) return [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000].filter((ms) => ms <= reach * 1.001);
  const rough = reach / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough;
  const all = [];
  for (let ms = step; ms <= reach * 1.001; ms += step) all.push(Number(ms.toPrecision(6)));
  return all;
}

/**
 * The direction in which labels are least in the way.
 * @param {number[]} taken directions of what is drawn, radians
 */
export function freeDirection(taken) {
  let best = -Math.PI / 2; // upwards, if nothing is there
  let most = -1;
  for (let i = 0; i < 16; i += 1) {
    const at = -Math.PI / 2 + (i * Math.PI) / 8;
    const room = Math.min(Math.PI, ...taken.map((other) => Math.acos(Math.cos(other - at))));
    if (room > most + 0.05) [best, most] = [at, room];
  }
  return best;
}

/** The round number at or above it. @param {number} ms */
export function reachOf(ms) {
  const marks = [1, 3, 10, 30, 100, 300, 1000, 3000];
  return marks.find((m) => m >= ms) ?? ms;
}

/** @param {Vec3[]} points @returns {number[][]} about the origin, which is us: not about their middle */
function covariance(points) {
  const c = [
    [0, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
  ];
  for (const p of points) for (let i = 0; i < 3; i += 1) for (let j = 0; j < 3; j += 1) c[i][j] += p[i] * p[j];
  return c;
}

/**
 * The direction of the widest spread, at right angles to `not`: power iteration, begun at `start`.
 * @param {number[][]} spread @param {Vec3} start @param {Vec3 | null} not @returns {Vec3 | null} `null`: there is none
 */
function widest(spread, start, not) {
  // a start that is not at right angles to anything that matters
  let v = unit([start[0] + 0.31, start[1] + 0.17, start[2] + 0.23]);
  if (v === null) return null;
  for (let round = 0; round < 48; round += 1) {
    const w = /** @type {Vec3} */ (spread.map((row) => dot(/** @type {Vec3} */ (row), /** @type {Vec3} */ (v))));
    const clean = not === null ? w : minus(w, not, dot(w, not));
    const next = unit(clean);
    if (next === null) return null;
    v = next;
  }
  return v;
}

/** Any direction at right angles to `first`, near `wish`. @param {Vec3} first @param {Vec3} wish @returns {Vec3} */
function across(first, wish) {
  for (const v of [wish, FLAT[0], FLAT[1]]) {
    const found = unit(minus(v, first, dot(v, first)));
    if (found !== null) return found;
  }
  return FLAT[1];
}

/** @param {Vec3} v @param {Vec3} before @returns {Vec3} */
function like(v, before) {
  return dot(v, before) < 0 ? [-v[0], -v[1], -v[2]] : v;
}

/** @param {Vec3} a @param {Vec3} b */
function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/** @param {Vec3} a @param {Vec3} b @param {number} times @returns {Vec3} */
function minus(a, b, times) {
  return [a[0] - b[0] * times, a[1] - b[1] * times, a[2] - b[2] * times];
}

/** @param {Vec3} v @returns {Vec3 | null} */
function unit(v) {
  const length = Math.hypot(...v);
  return length < 1e-9 ? null : [v[0] / length, v[1] / length, v[2] / length];
}
