/**
 * The pieces of a torrent as a map shows them: what each is to us, and what each peer's copy of it is to us. Pure.
 *
 * The map is the paper's Figure 2: peers by distance, and which of the chunks that are still needed the near ones have.
 */

/** What a piece is to us. */
export const OWN = Object.freeze({ unwanted: 0, missing: 1, far: 2, near: 3, fetching: 4, held: 5 });
/** What a peer's copy of a piece is to us. */
export const ROW = Object.freeze({ lacks: 0, had: 1, offered: 2, fetching: 3 });

/**
 * @typedef {object} MapPeer
 * @property {string} name address or URL
 * @property {boolean} near
 * @property {boolean} connected
 * @property {number | null} rtt measured, milliseconds
 * @property {number | null} predicted by coordinates, milliseconds
 * @property {Uint8Array} has one byte a piece
 */

/**
 * @typedef {object} PieceView
 * @property {number} pieces
 * @property {Uint8Array} held
 * @property {Uint8Array} wanted
 * @property {number[]} open pieces begun
 */

/**
 * Peers by distance: by the time measured, predicted where none was measured, those of unknown distance last.
 * @template {{rtt: number | null, predicted: number | null, name: string}} P
 * @param {P[]} peers
 * @returns {P[]}
 */
export function byDistance(peers) {
  const key = (/** @type {P} */ p) => p.rtt ?? p.predicted ?? Infinity;
  return [...peers].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x !== y) return x < y ? -1 : 1;
    return a.name < b.name ? -1 : 1;
  });
}

/**
 * @param {PieceView} view @param {MapPeer[]} peers
 * @returns {Uint8Array} a code of `OWN` a piece
 */
export function ownRow(view, peers) {
  const states = new Uint8Array(view.pieces);
  for (let i = 0; i < view.pieces; i += 1) {
    if (view.held[i]) states[i] = OWN.held;
    else states[i] = view.wanted[i] ? OWN.missing : OWN.unwanted;
  }
  for (const peer of peers) {
    if (!peer.connected) continue;
    const code = peer.near ? OWN.near : OWN.far;
    for (let i = 0; i < view.pieces; i += 1) {
      if (peer.has[i] && states[i] !== OWN.held && states[i] !== OWN.unwanted && states[i] < code) states[i] = code;
    }
  }
  for (const i of view.open) if (i < view.pieces && states[i] !== OWN.held) states[i] = OWN.fetching;
  return states;
}

/**
 * @param {Uint8Array} own of `ownRow` @param {Uint8Array} has
 * @returns {Uint8Array} a code of `ROW` a piece
 */
export function peerRow(own, has) {
  const states = new Uint8Array(own.length);
  for (let i = 0; i < own.length; i += 1) {
    if (!has[i]) continue;
    if (own[i] === OWN.fetching) states[i] = ROW.fetching;
    else states[i] = own[i] === OWN.held || own[i] === OWN.unwanted ? ROW.had : ROW.offered;
  }
  return states;
}

/**
 * The pieces that column `x` of `width` shows: one, or several where there are more pieces than columns.
 * @param {number} x @param {number} width @param {number} pieces
 * @returns {[number, number]} the first, and the one after the last
 */
export function columnPieces(x, width, pieces) {
  const from = Math.floor((x * pieces) / width);
  return [from, Math.max(from + 1, Math.floor(((x + 1) * pieces) / width))];
}

/**
 * How much of each code column by column.
 * @param {Uint8Array} states @param {number} width @param {number} codes
 * @returns {Float32Array} `width * codes` parts of 1
 */
export function bins(states, width, codes) {
  const parts = new Float32Array(width * codes);
  for (let x = 0; x < width; x += 1) {
    const [from, to] = columnPieces(x, width, states.length);
    for (let i = from; i < to; i += 1) parts[x * codes + states[i]] += 1 / (to - from);
  }
  return parts;
}

/**
 * How many pieces are in each state.
 * @param {Uint8Array} own @returns {Record<keyof typeof OWN, number>}
 */
export function tally(own) {
  const counts = new Array(6).fill(0);
  for (const code of own) counts[code] += 1;
  return /** @type {Record<keyof typeof OWN, number>} */ (
    Object.fromEntries(Object.entries(OWN).map(([name, code]) => [name, counts[code]]))
  );
}

/**
 * Who has a piece.
 * @template {{has: Uint8Array, near: boolean}} P
 * @param {P[]} peers @param {number} piece
 * @returns {{near: P[], far: P[]}}
 */
export function holders(peers, piece) {
  const have = peers.filter((p) => p.has[piece]);
  return { near: have.filter((p) => p.near), far: have.filter((p) => !p.near) };
}
