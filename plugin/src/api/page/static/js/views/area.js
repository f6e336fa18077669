/** Stacked areas over time: what is added up, where lines go, which labels axes get. Pure. */

import { nothing } from "../core/share.js";

/**
 * @typedef {{at: number, moved: import("../core/share.js").ByDistance}} Sample what was moved in the stretch of time that began at `at`
 * @typedef {{key: keyof import("../core/share.js").ByDistance, kind: "near" | "far" | "web", up: boolean}} Layer
 */

/** From the axis outwards; what came in is above the axis, what went out below. @type {Layer[]} */
export const LAYERS = [
  { key: "near_down", kind: "near", up: false },
  { key: "far_down", kind: "far", up: false },
  { key: "web_down", kind: "web", up: false },
  { key: "near_up", kind: "near", up: true },
  { key: "far_up", kind: "far", up: true },
];

/**
 * Samples on an even grid that ends with the last whole cell before `now`: times without a sample are zeros, samples of one cell
 * are added up.
 * @param {Sample[]} samples @param {number} now seconds since 1970 @param {number} step seconds @param {number} cells
 * @returns {Sample[]} the oldest first
 */
export function grid(samples, now, step, cells) {
  const last = Math.floor(now / step) - 1; // a cell that is not over yet would look like a decline
  /** @type {Sample[]} */
  const out = Array.from({ length: cells }, (_, i) => ({ at: (last - cells + 1 + i) * step, moved: nothing() }));
  for (const sample of samples) {
    const cell = out[cells - 1 - (last - Math.floor(sample.at / step))];
    if (!cell) continue; // older than the picture, or of a clock that was put back
    for (const layer of LAYERS) cell.moved[layer.key] += sample.moved[layer.key];
  }
  return out;
}

/**
 * The outline of each layer, in rates.
 * @param {Sample[]} cells @param {number} step seconds
 * @returns {{layer: Layer, lower: number[], upper: number[]}[]} bytes a second, negative below the axis
 */
export function stack(cells, step) {
  const above = cells.map(() => 0);
  const below = cells.map(() => 0);
  return LAYERS.map((layer) => {
    const base = layer.up ? below : above;
    const sign = layer.up ? -1 : 1;
    const lower = [...base];
    cells.forEach((cell, i) => {
      base[i] += (sign * cell.moved[layer.key]) / step;
    });
    return { layer, lower, upper: [...base] };
  });
}

/**
 * Round marks of an axis in units of 1024.
 * @param {number} most bytes a second @param {number} [marks] how many at most
 * @returns {number[]} without zero; the last one is at least `most`
 */
export function rateMarks(most, marks = 3) {
  const rough = Math.max(most, 1024) / marks;
  const unit = 1024 ** Math.floor(Math.log(rough) / Math.log(1024));
  const inUnit = rough / unit;
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024].find((s) => s >= inUnit) ?? 1024;
  const all = [];
  for (let at = step * unit; all.length === 0 || all[all.length - 1] < most; at += step * unit) all.push(at);
  return all;
}

/**
 * The path of an area between two lines.
 * @param {number[]} lower @param {number[]} upper @param {(i: number) => number} x @param {(v: number) => number} y
 */
export function areaPath(lower, upper, x, y) {
  const there = upper.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`);
  const back = lower.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`).reverse();
  return `M${there.join("L")}L${back.join("L")}Z`;
}

/** All samples together. @param {Sample[]} samples */
export function total(samples) {
  const sum = nothing();
  for (const s of samples) for (const layer of LAYERS) sum[layer.key] += s.moved[layer.key];
  return sum;
}
