/** One row of the list: made once, then only what differs is written. */

import { el, setAttribute, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { href } from "../core/router.js";
import { split, stayedNear } from "../core/share.js";
import { progress, stateKind, stateName } from "./columns.js";

/** @typedef {import("../core/model.js").Torrent} Torrent */

export class Row {
  /** @param {string} hash */
  constructor(hash) {
    this.hash = hash;
    this.box = el("input", { type: "checkbox", class: "box", tabIndex: -1 });
    this.name = el("a", { class: "name", href: href({ view: "torrent", hash }), tabIndex: -1 });
    this.tags = el("span", { class: "tags" });
    this.state = el("span", { class: "state" });
    this.fill = el("span", { class: "fill" });
    this.part = el("span", { class: "num" });
    this.down = cell("num down");
    this.up = cell("num up");
    this.eta = cell("num eta");
    this.near = new ShareBar();
    this.peers = cell("num peers");
    this.size = cell("num size");
    this.ratio = cell("num ratio");
    this.node = el(
      "div",
      { class: "trow", role: "row", tabIndex: -1 },
      el("div", { role: "gridcell", class: "check-cell" }, this.box),
      el("div", { role: "gridcell", class: "name-cell" }, this.name, this.tags),
      el("div", { role: "gridcell", class: "state-cell" }, this.state),
      el("div", { role: "gridcell", class: "progress-cell" }, el("span", { class: "bar-track", "aria-hidden": "true" }, this.fill), this.part),
      this.down,
      this.up,
      this.eta,
      el("div", { role: "gridcell", class: "near-cell" }, this.near.node),
      this.peers,
      this.size,
      this.ratio,
    );
    this.node.dataset.hash = hash;
    this.shown = /** @type {Torrent | null} */ (null);
  }

  /** @param {Torrent} t */
  show(t) {
    if (this.shown === t) return;
    const before = this.shown;
    this.shown = t;
    setText(this.name, t.name);
    if (before?.labels.join("\n") !== t.labels.join("\n") || before.private !== t.private) {
      const chips = t.labels.slice(0, 3).map((label) => el("span", { class: "chip" }, label));
      if (t.private) chips.unshift(el("span", { class: "chip", title: "Its tracker alone names peers (BEP 27)" }, "private"));
      this.tags.replaceChildren(...chips);
    }
    setAttribute(this.box, "aria-label", `Choose ${t.name}`);
    setText(this.state, stateName(t));
    setAttribute(this.state, "data-kind", stateKind(t));
    setAttribute(this.state, "title", t.trouble ? t.trouble.message : null);
    setAttribute(this.node, "data-trouble", t.trouble ? "yes" : null);
    const part = progress(t);
    this.fill.style.width = `${(part * 100).toFixed(2)}%`;
    setAttribute(this.fill, "data-kind", stateKind(t));
    setText(this.part, t.state === "metadata" ? format.UNKNOWN : format.percent(part));
    setText(this.down, format.rate(t.rate_down));
    setText(this.up, format.rate(t.rate_up));
    setText(this.eta, format.eta(t.eta_seconds));
    this.near.show(t.by_distance);
    setText(this.peers, t.near + t.far > 0 ? `${t.near} + ${t.far}` : format.UNKNOWN);
    setAttribute(this.peers, "title", `${t.near} near, ${t.far} far`);
    setText(this.size, t.has_metadata ? format.bytes(t.wanted) : format.UNKNOWN);
    setText(this.ratio, format.ratio(t.uploaded, t.downloaded));
  }

  /** @param {{index: number, top: number, chosen: boolean, active: boolean}} at */
  place({ index, top, chosen, active }) {
    this.node.style.transform = `translateY(${top}px)`;
    setAttribute(this.node, "aria-rowindex", String(index + 2)); // the head is row 1
    setAttribute(this.node, "aria-selected", String(chosen));
    if (this.box.checked !== chosen) this.box.checked = chosen;
    const tab = active ? 0 : -1;
    if (this.node.tabIndex !== tab) this.node.tabIndex = tab;
  }
}

/** A bar in parts: near, far, web seeds, and the near part in words. */
export class ShareBar {
  constructor() {
    this.parts = { near: el("i", { class: "near" }), far: el("i", { class: "far" }), web: el("i", { class: "web" }) };
    this.text = el("span", { class: "num" });
    const bar = el("span", { class: "share-bar", "aria-hidden": "true" }, ...Object.values(this.parts));
    this.node = el("span", { class: "share" }, bar, this.text);
  }

  /** @param {import("../core/share.js").ByDistance} moved */
  show(moved) {
    const parts = split(moved);
    for (const [name, part] of Object.entries(this.parts)) {
      part.style.flexGrow = String(parts ? parts[/** @type {"near" | "far" | "web"} */ (name)] : 0);
    }
    const near = stayedNear(moved);
    setText(this.text, near === null ? format.UNKNOWN : format.percent(near));
    setAttribute(this.node, "title", near === null ? "Nothing was moved yet" : words(moved));
  }
}

/** @param {import("../core/share.js").ByDistance} m */
function words(m) {
  const web = m.web_down > 0 ? `, ${format.bytes(m.web_down)} from web seeds` : "";
  return (
    `near: ${format.bytes(m.near_down)} down, ${format.bytes(m.near_up)} up; ` +
    `far: ${format.bytes(m.far_down)} down, ${format.bytes(m.far_up)} up${web}`
  );
}

/** @param {string} name */
function cell(name) {
  return el("div", { role: "gridcell", class: name });
}
