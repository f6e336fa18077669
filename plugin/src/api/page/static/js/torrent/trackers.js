/** The trackers of a torrent, tier by tier, and what they said. */

import { el, icon, replace } from "../core/dom.js";
import * as format from "../core/format.js";
import { now } from "../core/store.js";
import { dialog } from "../ui/dialog.js";
import { field } from "../dialogs/fields.js";
import * as actions from "../list/actions.js";

/** @typedef {import("../core/model.js").Torrent} Torrent */

export class TrackersTab {
  constructor() {
    /** @type {import("./view.js").Part[]} */
    this.needs = ["trackers"];
    /** @type {Torrent | null} */
    this.torrent = null;
    /** @type {import("../core/model.js").TrackerRow[]} */
    this.trackers = [];
    this.body = el("tbody", {});
    const head = ["Tracker", "State", "Last asked", "Next", "Peers", "Seeds", "Others"].map((name, i) => el("th", { scope: "col", class: i > 3 ? "num" : "" }, name));
    this.table = el("div", { class: "scroll-x", tabIndex: 0, role: "region", "aria-label": "Trackers" }, el("table", { class: "data cards" }, el("thead", {}, el("tr", {}, ...head)), this.body));
    this.nothing = el("div", { class: "empty small" }, el("h2", {}, "No trackers"), el("p", {}, "The directory, the DHT and other peers name peers without them."));
    const ask = el("button", { type: "button", class: "button" }, icon("announce"), "Ask again");
    ask.addEventListener("click", () => this.torrent && void actions.reannounce([this.torrent]));
    // what is saved takes the place of all there are, so they have to be known
    this.edit = el("button", { type: "button", class: "button", disabled: true }, "Edit…");
    this.edit.addEventListener("click", () => this.torrent && edited(this.torrent, this.trackers));
    this.node = el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Trackers"), el("div", { class: "row" }, ask, this.edit)), this.table, this.nothing);
  }

  /** @param {Torrent} t @param {import("../core/model.js").Detail} d */
  show(t, d) {
    this.torrent = t;
    if (!d.trackers) return;
    const { trackers } = d;
    this.trackers = trackers;
    this.edit.disabled = false;
    this.table.hidden = trackers.length === 0;
    this.nothing.hidden = trackers.length > 0;
    replace(this.body, ...trackers.map(row));
  }
}

/** @param {import("../core/model.js").TrackerRow} r */
function row(r) {
  const state = r.asking ? "being asked" : r.last_announce === null ? "not asked yet" : r.ok ? "answers" : "fails";
  const number = (/** @type {string} */ label, /** @type {number | null} */ n) => el("td", { class: "num", data: { label } }, n === null ? format.UNKNOWN : format.integer(n));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("span", { class: "mono break" }, r.announce), el("span", { class: "hint" }, `tier ${r.tier + 1}`)),
    el("td", { data: { label: "State" } }, el("span", { class: r.ok || r.last_announce === null ? "" : "bad-text" }, state), r.message ? el("span", { class: "hint break" }, r.message) : null),
    el("td", { data: { label: "Last asked" } }, format.ago(r.last_announce, now())),
    el("td", { data: { label: "Next" } }, r.next_announce ? format.ago(Math.max(now(), r.next_announce), now()) : format.UNKNOWN),
    number("Peers", r.last_announce === null ? null : r.peers),
    number("Seeds", r.seeders),
    number("Others", r.leechers),
  );
}

/** @param {Torrent} t @param {import("../core/model.js").TrackerRow[]} rows */
function edited(t, rows) {
  const tiers = [...new Set(rows.map((r) => r.tier))].sort((a, b) => a - b);
  const before = tiers.map((tier) => rows.filter((r) => r.tier === tier).map((r) => r.announce).join("\n"));
  const text = el("textarea", { class: "textarea", rows: 8, spellcheck: "false", value: before.join("\n\n") });
  dialog({
    title: "Trackers",
    confirm: "Save",
    focus: text,
    body: [field("Announce URLs", text, "One a line; an empty line begins a new tier.")],
    act: async () => {
      const after = text.value
        .split(/\n\s*\n/)
        .map((tier) => tier.split("\n").map((line) => line.trim()).filter(Boolean))
        .filter((tier) => tier.length > 0);
      const bad = after.flat().find((url) => !/^(https?|udp):\/\/[^/]/i.test(url));
      if (bad !== undefined) throw new Error(`“${bad.slice(0, 80)}” is no http, https or udp URL`);
      await actions.change([t], { trackers: after });
    },
  });
}
