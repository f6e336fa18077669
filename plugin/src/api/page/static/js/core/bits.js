/** Sets of pieces: bit fields as BitTorrent has them, the first piece in the highest bit of the first byte. Pure. */

/**
 * @param {string} text base64
 * @param {number} pieces how many there are: what is short is filled with zeros, what is long is cut
 * @returns {Uint8Array} one byte a piece, 0 or 1
 */
export function decode(text, pieces) {
  const set = new Uint8Array(pieces);
  let raw = "";
  try {
    raw = atob(text ?? "");
  } catch {
    return set; // no base64: nothing is claimed
  }
  for (let i = 0; i < pieces; i += 1) {
    const byte = raw.charCodeAt(i >> 3); // NaN beyond the end, which shifts like 0
    set[i] = (byte >> (7 - (i & 7))) & 1;
  }
  return set;
}

/** @param {Uint8Array} set */
export function ones(set) {
  let n = 0;
  for (const bit of set) n += bit;
  return n;
}

/**
 * The same set of indices as short text: `0–3, 7, 9–12`.
 * @param {number[]} sorted
 */
export function ranges(sorted) {
  const parts = [];
  for (let i = 0; i < sorted.length; i += 1) {
    const from = sorted[i];
    while (i + 1 < sorted.length && sorted[i + 1] === sorted[i] + 1) i += 1;
    parts.push(from === sorted[i] ? `${from}` : `${from}–${sorted[i]}`);
  }
  return parts.join(", ");
}
