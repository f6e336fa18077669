/**
 * The list as a grid of which only the rows in sight exist, so that a thousand torrents cost what thirty do. The row that
 * the keyboard is on always exists.
 */

import { el, onResize, setAttribute } from "../core/dom.js";
import { Selection } from "../core/selection.js";
import { ORDERS } from "./columns.js";
import { Row } from "./row.js";

/** Rows above and below what is in sight. */
const SPARE = 6;

/** Columns of the head; the keys of `ORDERS` that have one. */
const HEAD = ["name", "state", "progress", "down", "up", "eta", "near", "peers", "size", "ratio"];

/**
 * @typedef {import("../core/model.js").Torrent} Torrent
 * @typedef {object} Handlers
 * @property {(hash: string) => void} open
 * @property {() => void} chosen the choice changed
 * @property {(order: string) => void} order
 * @property {(key: string, chosen: Torrent[]) => boolean} act a key was pressed on a row; whether it did something
 */

export class Table {
  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.selection = new Selection();
    /** @type {Torrent[]} */
    this.rows = [];
    /** Where each torrent is in `rows`. @type {Map<string, number>} */
    this.places = new Map();
    /** @type {Map<string, Row>} */
    this.made = new Map();
    /** The row that the keyboard is on. @type {string | null} */
    this.active = null;
    this.rowHeight = 44;

    this.all = el("input", { type: "checkbox", class: "box", "aria-label": "Choose all that are shown" });
    this.heads = new Map(HEAD.map((name) => [name, this.head(name)]));
    const headRow = el("div", { class: "trow thead", role: "row", "aria-rowindex": 1 }, el("div", { role: "columnheader", class: "check-cell" }, this.all), ...this.heads.values());
    this.space = el("div", { class: "tspace", role: "presentation" });
    this.rowgroup = el("div", { role: "rowgroup" }, this.space);
    // the head is in what scrolls, so that its columns are those of the rows whatever a scroll bar takes
    this.body = el("div", { class: "tbody", role: "presentation" }, el("div", { class: "thead-group", role: "rowgroup" }, headRow), this.rowgroup);
    this.node = el("div", { class: "table", role: "grid", "aria-label": "Torrents", "aria-multiselectable": "true" }, this.body);

    this.all.addEventListener("change", () => {
      if (this.all.checked) this.selection.all(this.order());
      else this.selection.clear();
      this.changed();
    });
    this.body.addEventListener("scroll", () => this.render(), { passive: true });
    this.body.addEventListener("click", (e) => this.click(e));
    this.body.addEventListener("dblclick", (e) => this.doubleClick(e));
    this.body.addEventListener("focusin", (e) => this.focused(e));
    this.node.addEventListener("keydown", (e) => this.key(e));
    this.unwatch = onResize(this.body, () => this.measure());
  }

  destroy() {
    this.unwatch();
  }

  /** @param {Torrent[]} rows in their order */
  show(rows) {
    this.rows = rows;
    this.places = new Map(rows.map((t, i) => [t.hash, i]));
    const kept = this.selection.keep(this.places);
    if (this.active === null || !this.places.has(this.active)) this.active = rows[0]?.hash ?? null;
    setAttribute(this.node, "aria-rowcount", String(rows.length + 1));
    this.render();
    if (kept) this.handlers.chosen();
  }

  /** @param {string} order @param {boolean} descending */
  showOrder(order, descending) {
    for (const [name, head] of this.heads) {
      setAttribute(head, "aria-sort", name === order ? (descending ? "descending" : "ascending") : null);
    }
  }

  /** The torrents chosen, in the order of the list. @returns {Torrent[]} */
  chosen() {
    return this.rows.filter((t) => this.selection.chosen.has(t.hash));
  }

  clear() {
    this.selection.clear();
    this.changed();
  }

  /** Puts the keyboard on the active row. */
  focus() {
    if (this.active === null) return;
    this.reveal(this.active);
    this.made.get(this.active)?.node.focus({ preventScroll: true });
  }

  order() {
    return this.rows.map((t) => t.hash);
  }

  measure() {
    const height = Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    if (height > 0) this.rowHeight = height;
    this.render();
  }

  render() {
    const height = this.rowHeight;
    this.space.style.height = `${this.rows.length * height}px`;
    const from = Math.max(0, Math.floor(this.body.scrollTop / height) - SPARE);
    const to = Math.min(this.rows.length, Math.ceil((this.body.scrollTop + this.sight()) / height) + SPARE);
    const wanted = new Set();
    for (let i = from; i < to; i += 1) wanted.add(i);
    const active = this.active === null ? undefined : this.places.get(this.active);
    if (active !== undefined) wanted.add(active);
    /** @type {Set<string>} */
    const used = new Set();
    for (const i of wanted) {
      const t = this.rows[i];
      used.add(t.hash);
      let row = this.made.get(t.hash);
      if (!row) {
        row = new Row(t.hash);
        this.made.set(t.hash, row);
        this.space.append(row.node);
      }
      row.show(t);
      row.place({ index: i, top: i * height, chosen: this.selection.chosen.has(t.hash), active: i === active });
    }
    for (const [hash, row] of this.made) {
      if (used.has(hash)) continue;
      row.node.remove();
      this.made.delete(hash);
    }
    const chosen = this.selection.chosen.size;
    this.all.checked = chosen > 0 && chosen === this.rows.length;
    this.all.indeterminate = chosen > 0 && chosen < this.rows.length;
  }

  /** How much of the rows is in sight: the head covers the rest. */
  sight() {
    return Math.max(0, this.body.clientHeight - this.space.offsetTop);
  }

  changed() {
    this.render();
    this.handlers.chosen();
  }

  /** @param {string} name */
  head(name) {
    const button = el("button", { type: "button" }, ORDERS[name].label);
    button.addEventListener("click", () => this.handlers.order(name));
    return el("div", { role: "columnheader", class: `${name}-head` }, button);
  }

  /** @param {Event} e @returns {string | null} */
  hashOf(e) {
    const row = e.target instanceof Element ? e.target.closest(".trow") : null;
    return row instanceof HTMLElement ? (row.dataset.hash ?? null) : null;
  }

  /** @param {MouseEvent} e */
  click(e) {
    const hash = this.hashOf(e);
    if (hash === null || (e.target instanceof Element && e.target.closest("a"))) return;
    this.active = hash;
    const box = e.target instanceof HTMLInputElement;
    if (e.shiftKey) this.selection.reach(hash, this.order());
    else if (box || e.ctrlKey || e.metaKey) this.selection.toggle(hash);
    else this.selection.only(hash);
    this.changed();
    this.made.get(hash)?.node.focus({ preventScroll: true });
  }

  /** @param {MouseEvent} e */
  doubleClick(e) {
    const hash = this.hashOf(e);
    if (hash !== null && !(e.target instanceof HTMLInputElement)) this.handlers.open(hash);
  }

  /** @param {Event} e */
  focused(e) {
    const hash = this.hashOf(e);
    if (hash === null || hash === this.active) return;
    this.active = hash;
    this.render();
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    if (!(e.target instanceof HTMLElement) || !e.target.classList.contains("trow")) return;
    const here = this.active === null ? 0 : (this.places.get(this.active) ?? 0);
    const to = this.step(e.key, here);
    let done = true;
    if (to !== null) this.moveTo(to, e.shiftKey);
    else if (e.key === " " && this.active !== null) {
      this.selection.toggle(this.active);
      this.changed();
    } else if (e.key === "a" && (e.ctrlKey || e.metaKey)) {
      this.selection.all(this.order());
      this.changed();
    } else if (e.key === "Escape" && this.selection.chosen.size > 0) this.clear();
    else if (e.key === "Enter" && this.active !== null) this.handlers.open(this.active);
    else if (!e.ctrlKey && !e.metaKey && !e.altKey) done = this.handlers.act(e.key, this.meant());
    else done = false;
    if (done) {
      e.preventDefault();
      e.stopPropagation();
    }
  }

  /** What a key is for: what is chosen, or the row that the keyboard is on. */
  meant() {
    const chosen = this.chosen();
    if (chosen.length > 0 || this.active === null) return chosen;
    return [this.rows[this.places.get(this.active) ?? 0]];
  }

  /** @param {string} key @param {number} here @returns {number | null} */
  step(key, here) {
    const page = Math.max(1, Math.floor(this.sight() / this.rowHeight) - 1);
    /** @type {Record<string, number>} */
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + page, PageUp: here - page, Home: 0, End: this.rows.length - 1 };
    return key in to ? Math.min(this.rows.length - 1, Math.max(0, to[key])) : null;
  }

  /** @param {number} to @param {boolean} reach whether what is between is chosen */
  moveTo(to, reach) {
    const t = this.rows[to];
    if (!t) return;
    if (reach && this.selection.anchor === null && this.active !== null) this.selection.only(this.active);
    this.active = t.hash;
    if (reach) {
      this.selection.reach(t.hash, this.order());
      this.handlers.chosen();
    }
    this.focus();
  }

  /** Scrolls as little as it takes to see a row. @param {string} hash */
  reveal(hash) {
    const top = (this.places.get(hash) ?? 0) * this.rowHeight;
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    else if (top + this.rowHeight > this.body.scrollTop + this.sight()) {
      this.body.scrollTop = top + this.rowHeight - this.sight();
    }
    this.render();
  }
}
