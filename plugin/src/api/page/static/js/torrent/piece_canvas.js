/** Draws rows of pieces: a column for each piece, or for several where there are more pieces than columns. */

import { bins, columnPieces } from "./piece_model.js";

/** @typedef {[number, number, number]} Colour */

/** A column that is at least so many device pixels wide has a gap beside it. */
const GAP_FROM = 5;

/**
 * Fits a canvas to its box, in device pixels.
 * @param {HTMLCanvasElement} canvas @param {number} height CSS pixels
 * @returns {number} its width in device pixels, 0 while it is not shown
 */
export function fit(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const tall = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== tall) canvas.height = tall;
  return width;
}

/**
 * One row; parts of a column that are in different states are mixed, or lie over each other if `stacked`.
 * @param {CanvasRenderingContext2D} context
 * @param {Uint8Array} states codes that are indices of `colours`
 * @param {(Colour | null)[]} colours `null`: nothing is drawn
 * @param {{top: number, height: number, stacked?: boolean}} where device pixels
 */
export function drawRow(context, states, colours, where) {
  const width = context.canvas.width;
  if (width === 0 || states.length === 0 || where.height < 1) return;
  const gap = width / states.length >= GAP_FROM ? Math.max(1, Math.round(window.devicePixelRatio || 1)) : 0;
  const parts = bins(states, width, colours.length);
  const rows = where.stacked ? where.height : 1;
  const image = context.createImageData(width, rows);
  for (let x = 0; x < width; x += 1) {
    if (gap > 0 && x >= gap && columnPieces(x - gap, width, states.length)[0] !== columnPieces(x, width, states.length)[0]) continue;
    const part = parts.subarray(x * colours.length, (x + 1) * colours.length);
    if (where.stacked) stackColumn(image, x, part, colours);
    else mixColumn(image, x, part, colours);
  }
  if (where.stacked) {
    context.putImageData(image, 0, where.top);
    return;
  }
  // one line of pixels, drawn as high as the row is
  line.width = width;
  line.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(line, 0, 0, width, 1, 0, where.top, width, where.height);
}

const line = document.createElement("canvas");
line.height = 1;

/** @param {ImageData} image @param {number} x @param {Float32Array} part @param {(Colour | null)[]} colours */
function mixColumn(image, x, part, colours) {
  let [r, g, b, alpha] = [0, 0, 0, 0];
  part.forEach((share, code) => {
    const colour = colours[code];
    if (!colour || share === 0) return;
    r += colour[0] * share;
    g += colour[1] * share;
    b += colour[2] * share;
    alpha += share;
  });
  if (alpha === 0) return;
  // a single piece among many must still be seen
  image.data.set([r / alpha, g / alpha, b / alpha, 255 * Math.max(0.25, Math.min(1, alpha))], x * 4);
}

/** @param {ImageData} image @param {number} x @param {Float32Array} part @param {(Colour | null)[]} colours */
function stackColumn(image, x, part, colours) {
  let filled = 0;
  for (let code = colours.length - 1; code >= 0; code -= 1) {
    const colour = colours[code];
    const from = Math.round(filled * image.height);
    filled += part[code];
    if (!colour) continue;
    for (let y = from; y < Math.min(image.height, Math.round(filled * image.height)); y += 1) {
      image.data.set([...colour, 255], ((image.height - 1 - y) * image.width + x) * 4);
    }
  }
}
