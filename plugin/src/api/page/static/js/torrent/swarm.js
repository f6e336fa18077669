/**
 * The map of the swarm: we in the middle, peers at their network coordinates, lines as thick as what was moved over them.
 * Peers whose coordinate nobody told are hollow and lie at their round-trip time.
 */

import { el, icon, onResize, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { recall, remember } from "../core/prefs.js";
import { segments } from "../ui/tabs.js";
import { colours, css, onTheme } from "../ui/theme.js";
import { byTimeAlone, freeDirection, plane, project, radius, reachOf, rings } from "./swarm_model.js";

const ZOOM_STEP = 1.4;
const MOST_ZOOM = 40;
/** How near the pointer must be, CSS pixels. */
const TOUCH = 18;
const MOST_LISTED = 10;

/**
 * @typedef {import("../core/model.js").Peer} Peer
 * @typedef {{peer: Peer, x: number, y: number, ms: number, sure: boolean}} Place milliseconds from us
 * @typedef {{place: Place, x: number, y: number, r: number}} Dot CSS pixels
 */

export class SwarmTab {
  constructor() {
    /** @type {import("./view.js").Part[]} */
    this.needs = ["peers", "directory"];
    /** @type {Place[]} */
    this.places = [];
    /** @type {Dot[]} */
    this.dots = [];
    /** @type {import("./swarm_model.js").Plane | undefined} */
    this.plane = undefined;
    this.even = recall("swarm-even") === true;
    this.zoom = 1;
    this.pan = { x: 0, y: 0 };
    /** The peer that is read out. @type {string | null} */
    this.here = null;

    this.canvas = el("canvas", {
      class: "swarm",
      tabIndex: 0,
      role: "application",
      "aria-label": "Map of the swarm. Arrow keys go through the peers, the nearest first; plus and minus zoom.",
      "aria-describedby": "swarm-reading",
    });
    this.reading = el("p", { class: "map-reading", id: "swarm-reading", "aria-live": "polite" });
    this.without = el("p", { class: "hint" });
    this.most = el("ol", {});
    const button = (/** @type {string} */ name, /** @type {string} */ label, /** @type {() => void} */ act) =>
      el("button", { type: "button", class: "button square", "aria-label": label, title: label, on: { click: act } }, icon(name));
    const scale = segments(
      [
        { id: "log", label: "Near ones wider" },
        { id: "even", label: "Even scale" },
      ],
      "Scale",
      this.even ? "even" : "log",
      (id) => {
        this.even = id === "even";
        remember("swarm-even", this.even);
        this.fitAll();
      },
    );
    this.node = el(
      "div",
      { class: "card" },
      el("div", { class: "card-head" }, el("h2", {}, "The swarm in coordinate space"), el("div", { class: "row" }, scale, button("minus", "Smaller", () => this.zoomBy(1 / ZOOM_STEP)), button("add", "Larger", () => this.zoomBy(ZOOM_STEP)), button("fit", "All of it", () => this.fitAll()))),
      el(
        "ul",
        { class: "legend", "aria-label": "Colours" },
        ...[
          ["own", "this machine"],
          ["near", "near"],
          ["far", "far"],
          ["web", "web seed"],
          ["hollow", "hollow: direction unknown, distance measured"],
        ].map(([name, text]) => el("li", {}, el("i", { class: `swatch round ${name}`, "aria-hidden": "true" }), text)),
        el("li", {}, el("i", { class: "swatch edge", "aria-hidden": "true" }), "line: bytes moved"),
      ),
      el("div", { class: "swarm-split" }, this.canvas, el("div", { class: "swarm-most" }, el("h3", {}, "Most moved"), this.most)),
      el("div", { class: "card-body" }, this.reading, this.without),
    );
    this.listen();
    this.ends = [onResize(this.canvas, () => this.draw()), onTheme(() => this.draw())];
  }

  destroy() {
    this.ends.forEach((end) => end());
  }

  listen() {
    this.canvas.addEventListener("pointermove", (e) => this.move(e));
    this.canvas.addEventListener("pointerdown", (e) => {
      if (e.button === 0 && e.pointerType === "mouse") this.canvas.setPointerCapture(e.pointerId);
    });
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    this.canvas.addEventListener("click", (e) => this.point(this.nearestTo(e)));
    this.canvas.addEventListener("wheel", (e) => {
      if (!e.ctrlKey && !e.metaKey) return; // the page scrolls
      e.preventDefault();
      this.zoomBy(e.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP);
    }, { passive: false });
    this.canvas.addEventListener("keydown", (e) => this.key(e));
    this.canvas.addEventListener("blur", () => this.point(null));
  }

  /** @param {import("../core/model.js").Torrent} t @param {import("../core/model.js").Detail} d */
  show(t, d) {
    if (!d.peers) return;
    const shown = d.peers.filter((p) => p.connected || p.downloaded + p.uploaded > 0);
    const own = d.own;
    /** @type {[Peer, import("./swarm_model.js").Vec3][]} */
    const sure = [];
    /** @type {Peer[]} */
    const unsure = [];
    for (const peer of shown) {
      const at = peer.why?.coordinate;
      if (at && own) sure.push([peer, [at[0] - own[0], at[1] - own[1], at[2] - own[2]]]);
      else unsure.push(peer);
    }
    this.plane = plane(sure.map(([, at]) => at), this.plane);
    const on = this.plane;
    const placed = sure.map(([peer, at]) => {
      const [x, y] = project(at, on);
      return { peer, x, y, ms: Math.hypot(x, y), sure: true };
    });
    let nowhere = 0;
    for (const peer of unsure) {
      const ms = peer.rtt ?? peer.predicted;
      if (ms === null) {
        nowhere += 1;
        continue;
      }
      const [x, y] = byTimeAlone(peer.name, ms);
      placed.push({ peer, x, y, ms, sure: false });
    }
    this.places = placed.sort((a, b) => a.ms - b.ms);
    setText(this.without, nowhere > 0 ? `${format.count(nowhere, "peer")} of unknown distance ${nowhere === 1 ? "is" : "are"} not on the map.` : "");
    this.listMost();
    this.draw();
    this.point(this.here);
  }

  /** The peers that most was moved with, in words. */
  listMost() {
    const moved = (/** @type {Peer} */ p) => p.downloaded + p.uploaded;
    const first = this.places.map((p) => p.peer).filter((p) => moved(p) > 0).sort((a, b) => moved(b) - moved(a)).slice(0, MOST_LISTED);
    const all = Math.max(1, this.places.reduce((sum, p) => sum + moved(p.peer), 0));
    const rows = first.map((p) => {
      const bar = el("i", { class: p.source === "webseed" ? "web" : p.near ? "near" : "far" });
      bar.style.width = `${(100 * moved(p)) / moved(first[0])}%`;
      const row = el("li", {}, el("span", { class: "mono" }, p.name), el("span", { class: "num" }, format.percent(moved(p) / all)), el("span", { class: "most-bar", "aria-hidden": "true" }, bar));
      row.addEventListener("pointerenter", () => this.point(p.name));
      row.addEventListener("pointerleave", () => this.point(null));
      return row;
    });
    if (rows.length === 0) rows.push(el("li", { class: "hint" }, "Nothing was moved yet."));
    this.most.replaceChildren(...rows);
  }

  /** What is shown, to its border. */
  reach() {
    return reachOf(Math.max(1, ...this.places.map((p) => p.ms)));
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!context || width === 0) return;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const c = colours("surface", "line", "ink", "ink-faint", "near", "far", "web", "accent");
    const reach = this.reach();
    const unit = (Math.min(width, height) / 2 - 26) * this.zoom;
    const middle = { x: width / 2 + this.pan.x, y: height / 2 + this.pan.y };
    this.drawRings(context, c, middle, unit, reach);
    this.dots = this.places.map((place) => {
      const part = place.ms === 0 ? 0 : (radius(place.ms, reach, this.even) * unit) / place.ms;
      const bytes = place.peer.downloaded + place.peer.uploaded;
      return { place, x: middle.x + place.x * part, y: middle.y + place.y * part, r: 4 + Math.min(5, Math.log10(1 + bytes / 1e5)) };
    });
    const most = Math.max(1, ...this.places.map((p) => p.peer.downloaded + p.peer.uploaded));
    for (const dot of this.dots) this.drawEdge(context, kindColour(dot.place.peer, c), dot, middle, most);
    for (const dot of this.dots) this.drawDot(context, kindColour(dot.place.peer, c), c, dot);
    context.beginPath();
    context.arc(middle.x, middle.y, 9, 0, 2 * Math.PI);
    context.fillStyle = css(c.ink);
    context.fill();
  }

  /** @param {CanvasRenderingContext2D} context @param {any} c @param {{x: number, y: number}} middle @param {number} unit @param {number} reach */
  drawRings(context, c, middle, unit, reach) {
    context.lineWidth = 1;
    context.setLineDash([2, 4]);
    context.strokeStyle = css(c["ink-faint"], 0.45);
    const all = rings(reach, this.even).map((ms) => ({ ms, r: radius(ms, reach, this.even) * unit }));
    for (const { r } of all) {
      context.beginPath();
      context.arc(middle.x, middle.y, r, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
    const at = freeDirection(this.places.map((p) => Math.atan2(p.y, p.x)));
    let last = 0;
    for (const { ms, r } of all) {
      if (r - last < 22 + 26 * Math.abs(Math.cos(at))) continue;
      last = r;
      label(context, `${ms} ms`, middle.x + r * Math.cos(at), middle.y + r * Math.sin(at), css(c["ink-faint"]), css(c.surface));
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {any} colour @param {Dot} dot @param {{x: number, y: number}} middle @param {number} most */
  drawEdge(context, colour, dot, middle, most) {
    const bytes = dot.place.peer.downloaded + dot.place.peer.uploaded;
    if (bytes === 0) return;
    context.beginPath();
    context.moveTo(middle.x, middle.y);
    context.lineTo(dot.x, dot.y);
    context.lineWidth = 1 + 7 * Math.sqrt(bytes / most);
    context.strokeStyle = css(colour, dot.place.peer.connected ? 0.5 : 0.2);
    context.stroke();
  }

  /** @param {CanvasRenderingContext2D} context @param {any} colour @param {any} c @param {Dot} dot */
  drawDot(context, colour, c, dot) {
    const { peer, sure } = dot.place;
    context.beginPath();
    context.arc(dot.x, dot.y, dot.r, 0, 2 * Math.PI);
    context.fillStyle = sure ? css(colour, peer.connected ? 1 : 0.45) : css(c.surface);
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = sure ? css(c.surface) : css(colour);
    context.stroke();
    if (peer.name !== this.here) return;
    context.beginPath();
    context.arc(dot.x, dot.y, dot.r + 5, 0, 2 * Math.PI);
    context.strokeStyle = css(c.accent);
    context.stroke();
    label(context, peer.name, dot.x, dot.y - dot.r - 10, css(c.ink), css(c.surface));
  }

  /** @param {MouseEvent} e @returns {string | null} */
  nearestTo(e) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [e.clientX - box.left, e.clientY - box.top];
    let best = null;
    let least = TOUCH;
    for (const dot of this.dots) {
      const away = Math.hypot(dot.x - x, dot.y - y) - dot.r / 2;
      if (away < least) [best, least] = [dot.place.peer.name, away];
    }
    return best;
  }

  /** @param {PointerEvent} e */
  move(e) {
    if (e.buttons === 1 && e.pointerType === "mouse") {
      this.pan = { x: this.pan.x + e.movementX, y: this.pan.y + e.movementY };
      this.draw();
    } else this.point(this.nearestTo(e));
  }

  /** @param {string | null} name */
  point(name) {
    const place = this.places.find((p) => p.peer.name === name);
    const before = this.here;
    this.here = place ? name : null;
    setText(this.reading, place ? read(place) : this.places.length > 0 ? "Point at a peer, or go through them with the arrow keys." : "No peer of known distance yet.");
    if (before !== this.here) this.draw();
  }

  /** @param {number} factor */
  zoomBy(factor) {
    const zoom = Math.min(MOST_ZOOM, Math.max(0.5, this.zoom * factor));
    const change = zoom / this.zoom;
    this.pan = { x: this.pan.x * change, y: this.pan.y * change };
    this.zoom = zoom;
    this.draw();
  }

  fitAll() {
    this.zoom = 1;
    this.pan = { x: 0, y: 0 };
    this.draw();
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    const at = this.places.findIndex((p) => p.peer.name === this.here);
    const last = this.places.length - 1;
    /** @type {Record<string, () => void>} */
    const acts = {
      "+": () => this.zoomBy(ZOOM_STEP),
      "=": () => this.zoomBy(ZOOM_STEP),
      "-": () => this.zoomBy(1 / ZOOM_STEP),
      0: () => this.fitAll(),
      Home: () => this.step(0),
      End: () => this.step(last),
      ArrowRight: () => this.step(at + 1),
      ArrowDown: () => this.step(at + 1),
      ArrowLeft: () => this.step(at < 0 ? last : at - 1),
      ArrowUp: () => this.step(at < 0 ? last : at - 1),
    };
    if (!(e.key in acts) || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    acts[e.key]();
  }

  /** @param {number} to */
  step(to) {
    const n = this.places.length;
    if (n > 0) this.point(this.places[(to + n) % n].peer.name);
  }
}

/** @param {Peer} peer @param {any} c */
function kindColour(peer, c) {
  if (peer.source === "webseed") return c.web;
  return peer.near ? c.near : c.far;
}

/** @param {Place} place */
function read({ peer, sure }) {
  const kind = peer.source === "webseed" ? "web seed" : peer.near ? "near" : "far";
  const parts = [`${peer.name}: ${kind}`, `RTT ${format.milliseconds(peer.rtt)}`];
  if (peer.predicted !== null) parts.push(`predicted ${format.milliseconds(peer.predicted)}`);
  parts.push(`${format.bytes(peer.downloaded)} down, ${format.bytes(peer.uploaded)} up`);
  const coordinate = peer.why?.coordinate;
  if (sure && coordinate) {
    const [x, y, z, height] = coordinate.map((v) => v.toFixed(1));
    parts.push(`coordinate (${x}, ${y}, ${z}) + ${height} ms`);
  }
  return parts.join(" · ");
}

/**
 * @param {CanvasRenderingContext2D} context @param {string} text @param {number} x @param {number} y
 * @param {string} ink @param {string} behind
 */
function label(context, text, x, y, ink, behind) {
  context.font = '12px system-ui, "DejaVu Sans", sans-serif';
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = behind;
  context.strokeText(text, x, y);
  context.fillStyle = ink;
  context.fillText(text, x, y);
}
