/** "Why this peer?": each peer with who named it, how far it is, what the directory said of it, and what was moved. */

import { el, icon, replace, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { field, invalid } from "../dialogs/fields.js";
import * as actions from "../list/actions.js";
import { dialog } from "../ui/dialog.js";
import { byDistance } from "./piece_model.js";

/** Rows that are shown; a torrent has fewer connections. */
const MOST = 400;

/** @type {Record<string, string>} */
const SOURCES = {
  directory: "directory",
  tracker: "tracker",
  dht: "DHT",
  lsd: "local network",
  pex: "another peer",
  manual: "by hand",
  incoming: "called us",
  webseed: "web seed",
};

/** @type {[string, string][]} head and what it means */
const COLUMNS = [
  ["Peer", "Address, and the client that it says it is"],
  ["Named by", "Who told us of it"],
  ["RTT", "Least round-trip time measured"],
  ["Predicted", "Round-trip time that the network coordinates predict"],
  ["Rank", "Its place in the directory's answer, the first being 1"],
  ["Score", "What the directory ranked it by: more is better"],
  ["Hop", "Index nodes that the question went through; 0: our own knew"],
  ["Matched", "Pieces that we wanted and it had, as the directory knew"],
  ["Load", "How busy it was, as the directory knew, of 255"],
  ["Down", "Bytes received from it"],
  ["Up", "Bytes sent to it"],
];

export class PeersTab {
  constructor() {
    /** @type {import("./view.js").Part[]} */
    this.needs = ["peers"];
    /** @type {import("../core/model.js").Torrent | null} */
    this.torrent = null;
    this.body = el("tbody", {});
    this.summary = el("p", { class: "hint" });
    const head = COLUMNS.map(([name, meaning], i) => el("th", { scope: "col", class: i < 2 ? "" : "num", title: meaning }, name));
    this.table = el("div", { class: "scroll-x", tabIndex: 0, role: "region", "aria-label": "Why each peer" }, el("table", { class: "data cards" }, el("thead", {}, el("tr", {}, ...head)), this.body));
    this.nothing = el("div", { class: "empty small", hidden: true }, el("h2", {}, "No peers"), el("p", {}, "Nobody is connected, and nobody was before."));
    const add = el("button", { type: "button", class: "button", id: "add-peers" }, icon("add"), "Peers…");
    add.addEventListener("click", () => this.torrent && addPeers(this.torrent));
    this.node = el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Why this peer?"), this.summary, add), this.table, this.nothing);
  }

  /** @param {import("../core/model.js").Torrent} t @param {import("../core/model.js").Detail} d */
  show(t, d) {
    this.torrent = t;
    if (!d.peers) return;
    const peers = byDistance(d.peers).sort((a, b) => Number(b.connected) - Number(a.connected));
    this.table.hidden = peers.length === 0;
    this.nothing.hidden = peers.length > 0;
    const connected = peers.filter((p) => p.connected);
    const named = connected.filter((p) => p.source === "directory").length;
    setText(this.summary, `${format.count(connected.length, "peer")} connected, ${connected.filter((p) => p.near).length} near; the directory named ${named}`);
    replace(this.body, ...peers.slice(0, MOST).map(row));
  }
}

/** Names peers by hand. @param {import("../core/model.js").Torrent} t */
function addPeers(t) {
  const text = el("textarea", { class: "textarea", rows: 4, spellcheck: "false", placeholder: "192.0.2.1:6881" });
  dialog({
    title: "Peers to try",
    confirm: "Try them",
    focus: text,
    body: [field("Addresses", text, "IP:PORT, one a line; an IPv6 address in brackets.")],
    act: async () => {
      const peers = text.value.split(/\s+/).filter(Boolean);
      if (peers.length === 0) throw invalid(text, "There is no address yet");
      await actions.change([t], { peers });
    },
  });
}

/** @param {import("../core/model.js").Peer} p */
function row(p) {
  const { why } = p;
  const kind = p.source === "webseed" ? "web" : p.near ? "near" : "far";
  const about = [p.client, p.transport, p.encrypted ? "encrypted" : null, p.connected ? null : "gone"].filter(Boolean).join(" · ");
  const answered = why?.answered_by ? `answered by ${why.answered_by}` : "";
  return el(
    "tr",
    { class: p.connected ? "" : "gone" },
    el("th", { scope: "row" }, el("span", { class: "peer-name" }, el("span", { class: `chip ${kind}` }, kind), el("span", { class: "mono" }, p.name)), el("span", { class: "hint" }, about)),
    cell("Named by", SOURCES[p.source] ?? p.source, ""),
    cell("RTT", format.milliseconds(p.rtt)),
    cell("Predicted", format.milliseconds(p.predicted)),
    cell("Rank", why ? format.integer(why.rank + 1) : format.UNKNOWN),
    cell("Score", why?.score == null ? format.UNKNOWN : why.score.toPrecision(3)),
    cell("Hop", why ? String(why.hops) : format.UNKNOWN, "num", answered),
    cell("Matched", why ? format.integer(why.matched) : format.UNKNOWN),
    cell("Load", why ? String(why.load) : format.UNKNOWN),
    moved("Down", p.downloaded, p.rate_down),
    moved("Up", p.uploaded, p.rate_up),
  );
}

/** @param {string} label @param {string} text @param {string} [kind] @param {string} [title] */
function cell(label, text, kind = "num", title) {
  return el("td", { class: kind, data: { label }, title: title || undefined }, text);
}

/** @param {string} label @param {number} bytes @param {number} rate */
function moved(label, bytes, rate) {
  const all = bytes > 0 ? format.bytes(bytes) : format.UNKNOWN;
  return el("td", { class: "num", data: { label } }, all, rate > 0 ? el("span", { class: "hint rate" }, format.rate(rate)) : null);
}
