/**
 * The piece map: our own row on top, under it a row for each peer, the nearest first. It is the paper's Figure 2, live:
 * which of the pieces that are still wanted are to be had near.
 */

import { el, onResize, replace, setAttribute, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { colours, onTheme } from "../ui/theme.js";
import { drawRow, fit } from "./piece_canvas.js";
import { byDistance, columnPieces, holders, OWN, ownRow, peerRow, tally } from "./piece_model.js";

/** Rows of peers; those farther away are counted. */
const MOST = 150;
const ROW_HEIGHT = 20;
const OWN_HEIGHT = 40;
/** Peers that the reading names. */
const NAMED = 4;

const LEGEND = [
  ["held", "we have it"],
  ["fetching", "being fetched"],
  ["near", "wanted, near peers have it"],
  ["far", "wanted, only far peers have it"],
  ["missing", "wanted, nobody here has it"],
  ["unwanted", "not wanted"],
  ["had", "they have it, so do we"],
];

/**
 * @typedef {import("../core/model.js").Torrent} Torrent
 * @typedef {import("../core/model.js").Peer} Peer
 */

export class PiecesTab {
  constructor() {
    /** @type {import("./view.js").Part[]} */
    this.needs = ["pieces", "peers"];
    /** @type {Peer[]} */
    this.peers = [];
    /** @type {import("./piece_model.js").PieceView | null} */
    this.view = null;
    /** @type {Uint8Array} */
    this.own = new Uint8Array(0);
    /** Where the keyboard or the pointer is; row -1 is our own. */
    this.at = { piece: 0, row: -1 };
    this.pointed = false;

    this.summary = el("p", { class: "map-summary" });
    this.ownCanvas = el("canvas", { class: "map-own", "aria-hidden": "true" });
    this.canvas = el("canvas", { class: "map-peers", "aria-hidden": "true" });
    this.labels = el("ol", { class: "map-labels", "aria-hidden": "true" });
    this.line = el("div", { class: "map-line", hidden: true });
    this.band = el("div", { class: "map-band", hidden: true });
    this.more = el("p", { class: "hint" });
    this.reading = el("p", { class: "map-reading", id: "map-reading", "aria-live": "polite" });
    this.scroll = el(
      "div",
      { class: "map-scroll" },
      el("div", { class: "map-own-row" }, el("div", { class: "map-label" }, el("strong", {}, "This machine")), el("div", { class: "map-cells" }, this.ownCanvas)),
      el("div", { class: "map-rows" }, this.labels, el("div", { class: "map-cells" }, this.canvas)),
      this.band,
      this.line,
    );
    this.map = el("div", {
      class: "map",
      tabIndex: 0,
      role: "application",
      "aria-label": "Pieces by peer, the nearest peer first. Arrow keys go through pieces and peers.",
      "aria-describedby": "map-reading",
    });
    this.map.append(this.scroll);
    this.nothing = el("div", { class: "empty small", hidden: true });
    this.card = el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Pieces and peers by distance"), this.summary), this.legend(), this.map, el("div", { class: "card-body" }, this.reading, this.more));
    this.node = el("div", {}, this.card, this.nothing);

    this.scroll.addEventListener("pointermove", (e) => this.point(e));
    this.scroll.addEventListener("pointerleave", () => this.unpoint());
    this.map.addEventListener("keydown", (e) => this.key(e));
    this.map.addEventListener("focus", () => this.mark());
    this.map.addEventListener("blur", () => this.unpoint());
    this.ends = [onResize(this.scroll, () => this.draw()), onTheme(() => this.draw())];
  }

  destroy() {
    this.ends.forEach((end) => end());
  }

  /** @param {Torrent} t @param {import("../core/model.js").Detail} d */
  show(t, d) {
    this.nothing.hidden = t.has_metadata;
    this.card.hidden = !t.has_metadata;
    if (!t.has_metadata) {
      replace(this.nothing, el("h2", {}, "No metadata yet"), el("p", {}, "A magnet link names a torrent; its pieces are known when a peer has sent the rest."));
      return;
    }
    if (!d.pieces || !d.peers) {
      setText(this.summary, "…");
      return;
    }
    this.view = d.pieces;
    const all = byDistance(d.peers.filter((p) => p.connected));
    this.peers = all.slice(0, MOST);
    this.own = ownRow(d.pieces, all);
    setText(this.more, all.length > MOST ? `${format.count(all.length - MOST, "peer")} farther away are not shown.` : "");
    setText(this.summary, this.summarise(t));
    this.labelRows();
    this.draw();
    if (!this.pointed && document.activeElement !== this.map) this.rest();
    else this.mark();
  }

  /** @param {Torrent} t */
  summarise(t) {
    const n = tally(this.own);
    const parts = [`${format.count(t.pieces, "piece")} of ${format.bytes(t.piece_length)}`];
    if (n.fetching + n.near + n.far + n.missing === 0) parts.push("all that is wanted is here");
    else {
      parts.push(`${format.integer(n.near)} to be had near`, `${format.integer(n.far)} only far`);
      if (n.missing > 0) parts.push(`${format.integer(n.missing)} nowhere yet`);
    }
    return parts.join(" · ");
  }

  legend() {
    return el("ul", { class: "legend", "aria-label": "Colours" }, ...LEGEND.map(([name, text]) => el("li", {}, el("i", { class: `swatch ${name}`, "aria-hidden": "true" }), text)));
  }

  labelRows() {
    const rows = this.peers.map((p) => {
      const known = p.rtt ?? p.predicted;
      const time = p.rtt === null && p.predicted !== null ? `≈ ${format.milliseconds(p.predicted)}` : format.milliseconds(known);
      return el(
        "li",
        { class: "map-label", data: { near: p.near ? "yes" : "no" } },
        el("span", { class: "num map-time" }, time),
        el("span", { class: "map-name" }, p.name),
      );
    });
    this.labels.replaceChildren(...rows);
  }

  draw() {
    if (!this.view) return;
    const c = colours("held", "held-tint", "fetching", "near", "near-tint", "far", "far-tint", "missing", "unwanted", "web", "bg");
    const ratio = window.devicePixelRatio || 1;
    const own = this.ownCanvas.getContext("2d");
    if (!own || fit(this.ownCanvas, OWN_HEIGHT) === 0) return;
    own.clearRect(0, 0, own.canvas.width, own.canvas.height);
    const ownColours = [c.unwanted, c.missing, c.far, c.near, c.fetching, c.held];
    drawRow(own, this.own, ownColours, { top: 0, height: own.canvas.height, stacked: true });
    const context = this.canvas.getContext("2d");
    if (!context || fit(this.canvas, Math.max(1, this.peers.length * ROW_HEIGHT)) === 0) return;
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    this.peers.forEach((peer, i) => {
      const full = peer.near ? c.near : peer.source === "webseed" ? c.web : c.far;
      const top = Math.round((i * ROW_HEIGHT + 2) * ratio);
      const height = Math.round((ROW_HEIGHT - 4) * ratio);
      drawRow(context, peerRow(this.own, peer.has), [c.unwanted, c["held-tint"], full, c.fetching], { top, height });
    });
  }

  /** @param {PointerEvent} e */
  point(e) {
    if (!this.view) return;
    const box = this.ownCanvas.getBoundingClientRect();
    const x = e.clientX - box.left;
    if (x < 0 || x >= box.width) return;
    const [piece] = columnPieces(Math.floor(x), Math.max(1, Math.round(box.width)), this.view.pieces);
    const rows = this.canvas.getBoundingClientRect();
    const overOwn = e.clientY <= box.bottom;
    const row = overOwn ? -1 : Math.floor((e.clientY - rows.top) / ROW_HEIGHT);
    this.pointed = true;
    this.at = { piece, row: Math.min(this.peers.length - 1, row) };
    this.mark();
  }

  unpoint() {
    this.pointed = false;
    if (document.activeElement === this.map) return;
    this.rest();
  }

  rest() {
    this.line.hidden = true;
    this.band.hidden = true;
    setText(this.reading, "Point at a piece, or go through them with the arrow keys, to see who has it.");
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    if (!this.view) return;
    const { piece, row } = this.at;
    const last = this.view.pieces - 1;
    const page = Math.max(1, Math.round(this.view.pieces / 10));
    /** @type {Record<string, [number, number]>} */
    const to = {
      ArrowRight: [piece + 1, row],
      ArrowLeft: [piece - 1, row],
      ArrowDown: [piece, row + 1],
      ArrowUp: [piece, row - 1],
      PageDown: [piece + page, row],
      PageUp: [piece - page, row],
      Home: [0, row],
      End: [last, row],
    };
    if (!(e.key in to)) return;
    e.preventDefault();
    const [p, r] = to[e.key];
    this.at = { piece: Math.min(last, Math.max(0, p)), row: Math.min(this.peers.length - 1, Math.max(-1, r)) };
    this.mark();
    if (this.at.row >= 0) this.labels.children[this.at.row]?.scrollIntoView({ block: "nearest" });
  }

  /** Shows where the pointer or the keyboard is. */
  mark() {
    if (!this.view) return;
    const piece = Math.min(this.at.piece, this.view.pieces - 1);
    const row = Math.min(this.at.row, this.peers.length - 1);
    const cells = this.ownCanvas.clientWidth;
    const width = Math.max(2, cells / this.view.pieces);
    this.line.hidden = false;
    this.line.style.width = `${width}px`;
    this.line.style.transform = `translateX(${this.ownCanvas.offsetLeft + (piece * cells) / this.view.pieces}px)`;
    this.line.style.height = `${OWN_HEIGHT + 8 + this.peers.length * ROW_HEIGHT}px`;
    this.band.hidden = row < 0;
    if (row >= 0) this.band.style.transform = `translateY(${OWN_HEIGHT + 8 + row * ROW_HEIGHT}px)`;
    for (const [i, label] of [...this.labels.children].entries()) setAttribute(label, "data-here", i === row ? "yes" : null);
    setText(this.reading, this.read(piece, row));
  }

  /** @param {number} piece @param {number} row */
  read(piece, row) {
    const state = this.own[piece];
    const we = {
      [OWN.held]: "held here",
      [OWN.fetching]: "being fetched",
      [OWN.near]: "wanted",
      [OWN.far]: "wanted",
      [OWN.missing]: "wanted, nobody here has it",
      [OWN.unwanted]: "not wanted",
    }[state];
    const { near, far } = holders(this.peers, piece);
    const parts = [`Piece ${format.integer(piece)}: ${we}`];
    const peer = this.peers[row];
    if (peer) {
      const time = peer.rtt === null ? `predicted ${format.milliseconds(peer.predicted)}` : format.milliseconds(peer.rtt);
      parts.push(`${peer.name} (${peer.near ? "near" : "far"}, ${time}) ${peer.has[piece] ? "has it" : "does not have it"}`);
    }
    if (near.length + far.length > 0) {
      const names = [...near, ...far].slice(0, NAMED).map((p) => p.name);
      const rest = near.length + far.length - names.length;
      parts.push(`${near.length} near and ${far.length} far have it: ${names.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`);
    }
    return parts.join(" · ");
  }
}
