/** Bytes over time: what came from near and far, what went there, and how much of it stayed near. */

import { get } from "../core/api.js";
import { el, onResize, replace, setAttribute, setText, svg } from "../core/dom.js";
import * as format from "../core/format.js";
import { recall, remember } from "../core/prefs.js";
import { every } from "../core/repeat.js";
import { stayedNear } from "../core/share.js";
import { segments } from "../ui/tabs.js";
import { areaPath, grid, LAYERS, rateMarks, stack, total } from "./area.js";

const EVERY_MS = 5000;
const HEIGHT = 300;
const LEFT = 72;
const BELOW = 24;

/** @type {Record<string, {label: string, step: number, cells: number, mark: number}>} seconds */
const SPANS = {
  hour: { label: "Last hour", step: 20, cells: 180, mark: 600 },
  day: { label: "Last day", step: 300, cells: 288, mark: 4 * 3600 },
};

/** @type {Record<string, string>} */
const NAMES = {
  near_down: "from near peers",
  far_down: "from far peers",
  web_down: "from web seeds",
  near_up: "to near peers",
  far_up: "to far peers",
};

export class TrafficView {
  /** @param {HTMLElement} root @param {import("../core/store.js").Store} store */
  constructor(root, store) {
    this.store = store;
    this.span = recall("span") === "day" ? "day" : "hour";
    /** @type {Record<string, import("./area.js").Sample[]>} */
    this.history = { hour: [], day: [] };
    /** @type {import("./area.js").Sample[]} */
    this.cells = [];
    this.fault = el("p", { class: "fault", role: "status" });
    this.totals = el("div", { class: "tiles" });
    this.canvas = svg("svg", { class: "area", role: "img", "aria-labelledby": "traffic-summary" });
    this.reading = el("p", { class: "map-reading", id: "traffic-summary" });
    this.line = el("div", { class: "area-line", hidden: true });
    this.plot = el("div", { class: "plot" }, this.canvas, this.line);
    const choice = segments(
      Object.entries(SPANS).map(([id, s]) => ({ id, label: s.label })),
      "Time",
      this.span,
      (id) => {
        this.span = id;
        remember("span", id);
        this.draw();
      },
    );
    const legend = el("ul", { class: "legend", "aria-label": "Colours" }, ...["near", "far", "web"].map((kind) => el("li", {}, el("i", { class: `swatch ${kind}`, "aria-hidden": "true" }), kind === "web" ? "web seeds" : `${kind} peers`)), el("li", {}, "above the line: in; below: out"));
    this.root = el(
      "div",
      { class: "page" },
      el("div", { class: "page-head" }, el("h1", {}, "Near and far traffic"), choice),
      this.fault,
      this.totals,
      el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Bytes a second"), legend), this.plot, el("div", { class: "card-body" }, this.reading)),
    );
    root.replaceChildren(this.root);
    this.plot.addEventListener("pointermove", (e) => this.point(e));
    this.plot.addEventListener("pointerleave", () => this.rest());
    this.ends = [store.on("tick", () => this.showTotals()), onResize(this.plot, () => this.draw())];
    this.showTotals();
    this.fetching = every(EVERY_MS, (signal) => this.fetch(signal));
  }

  destroy() {
    this.fetching.end();
    this.ends.forEach((end) => end());
  }

  /** @param {AbortSignal} signal */
  async fetch(signal) {
    try {
      this.history = await get("/history", signal);
      setText(this.fault, "");
      this.draw();
    } catch (error) {
      if (!signal.aborted) setText(this.fault, error instanceof Error ? error.message : String(error));
    }
  }

  showTotals() {
    const totals = this.store.totals;
    const tile = (/** @type {string} */ name, /** @type {import("../core/share.js").ByDistance | undefined} */ m) => {
      const near = stayedNear(m);
      const in_ = m ? m.near_down + m.far_down + m.web_down : 0;
      const out = m ? m.near_up + m.far_up : 0;
      return el(
        "div",
        { class: "card tile" },
        el("h2", {}, name),
        el("p", { class: "big" }, near === null ? format.UNKNOWN : format.percent(near)),
        el("p", { class: "hint" }, near === null ? "nothing was moved" : "stayed near"),
        el("div", { class: "share-bar tall", "aria-hidden": "true" }, ...bar(m)),
        el("p", {}, `${format.bytes(in_)} in, ${format.bytes(out)} out`),
      );
    };
    replace(
      this.totals,
      tile("In view", total(this.cells)),
      tile("Since the start", totals?.session.by_distance),
      tile("Over all runs", totals?.ever.by_distance),
      el(
        "div",
        { class: "card tile" },
        el("h2", {}, "The directory's cost"),
        el("p", { class: "big" }, totals ? format.bytes(totals.directory.bytes_in + totals.directory.bytes_out) : format.UNKNOWN),
        el("p", { class: "hint" }, "since the start"),
        el("p", {}, totals ? `${format.integer(totals.directory.messages_in + totals.directory.messages_out)} datagrams` : ""),
      ),
    );
  }

  draw() {
    const { step, cells, mark } = SPANS[this.span];
    const width = this.plot.clientWidth;
    if (width === 0) return;
    const nowSeconds = Date.now() / 1000;
    this.cells = grid(this.history[this.span], nowSeconds, step, cells);
    const layers = stack(this.cells, step);
    const top = Math.max(...layers.flatMap((l) => l.upper), 0);
    const bottom = -Math.min(...layers.flatMap((l) => l.upper), 0);
    const upMarks = rateMarks(top);
    const downMarks = bottom > 0 ? rateMarks(bottom, 2) : [];
    const high = upMarks[upMarks.length - 1];
    const low = downMarks.length > 0 ? downMarks[downMarks.length - 1] : 0;
    const room = HEIGHT - BELOW - 12;
    const x = (/** @type {number} */ i) => LEFT + (i * (width - LEFT - 12)) / (cells - 1);
    const y = (/** @type {number} */ v) => 8 + ((high - v) / (high + low)) * room;
    setAttribute(this.canvas, "viewBox", `0 0 ${width} ${HEIGHT}`);
    setAttribute(this.canvas, "height", String(HEIGHT));
    const marks = [...upMarks, 0, ...downMarks.map((v) => -v)];
    const first = this.cells[0].at;
    const times = [];
    for (let at = Math.ceil(first / mark) * mark; at <= nowSeconds; at += mark) times.push(at);
    replace(
      this.canvas,
      ...marks.map((v) => svg("line", { class: v === 0 ? "axis" : "mark", x1: LEFT, x2: width - 12, y1: y(v), y2: y(v) })),
      ...layers.map((l) => svg("path", { class: `${l.layer.kind} ${l.layer.up ? "up" : "down"}`, d: areaPath(l.lower, l.upper, x, y) })),
      ...marks.map((v) => svg("text", { class: "axis-text", x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, v === 0 ? "0" : format.rate(Math.abs(v)))),
      ...times.map((at) => svg("text", { class: "axis-text", x: x((at - first) / step), y: HEIGHT - 6, "text-anchor": "middle" }, clock(at))),
    );
    this.rest();
    this.showTotals();
  }

  /** @param {PointerEvent} e */
  point(e) {
    const { step, cells } = SPANS[this.span];
    const width = this.plot.clientWidth;
    const i = Math.round(((e.clientX - this.plot.getBoundingClientRect().left - LEFT) / (width - LEFT - 12)) * (cells - 1));
    const cell = this.cells[i];
    if (!cell) return;
    this.line.hidden = false;
    this.line.style.transform = `translateX(${LEFT + (i * (width - LEFT - 12)) / (cells - 1)}px)`;
    const moved = LAYERS.filter((l) => cell.moved[l.key] > 0).map((l) => `${format.rate(cell.moved[l.key] / step)} ${NAMES[l.key]}`);
    setText(this.reading, `${clock(cell.at)}: ${moved.join(", ") || "nothing"}`);
  }

  rest() {
    this.line.hidden = true;
    const sum = total(this.cells);
    const parts = LAYERS.filter((l) => sum[l.key] > 0).map((l) => `${format.bytes(sum[l.key])} ${NAMES[l.key]}`);
    setText(this.reading, `${SPANS[this.span].label}: ${parts.join(", ") || "nothing was moved"}`);
  }
}

/** @param {import("../core/share.js").ByDistance | undefined} m */
function bar(m) {
  const parts = { near: m ? m.near_down + m.near_up : 0, far: m ? m.far_down + m.far_up : 0, web: m?.web_down ?? 0 };
  const all = Math.max(1, parts.near + parts.far + parts.web);
  return Object.entries(parts).map(([kind, n]) => {
    const part = el("i", { class: kind });
    part.style.flexGrow = String(n / all);
    return part;
  });
}

/** @param {number} at seconds since 1970 */
function clock(at) {
  return new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
}
