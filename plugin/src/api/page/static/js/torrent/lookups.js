/** The questions to the directory: those that were asked, and one to watch, index node by index node. */

import { post } from "../core/api.js";
import { el, icon, replace, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { now } from "../core/store.js";
import { path } from "../list/actions.js";

/** Why an index node answered or went on. @type {Record<string, string>} */
const WHY = {
  enough: "answered: it knew enough peers",
  root: "answered: it is the root",
  cached: "answered with what it passed on a moment ago",
  loaded: "answered with what it had: it is asked too often",
  silent: "answered: no next hop did",
  too_few: "went on: too few peers",
  to_root: "went on: the root was asked for",
};

export class LookupsTab {
  constructor() {
    /** @type {import("./view.js").Part[]} */
    this.needs = ["lookups"];
    this.hash = "";
    this.body = el("tbody", {});
    const head = ["When", "Took", "Hops", "Answered by", "Peers named"].map((name, i) => el("th", { scope: "col", class: i === 0 || i === 3 ? "" : "num" }, name));
    this.table = el("div", { class: "scroll-x", tabIndex: 0, role: "region", "aria-label": "Lookups" }, el("table", { class: "data cards" }, el("thead", {}, el("tr", {}, ...head)), this.body));
    this.nothing = el("div", { class: "empty small", hidden: true }, el("p", {}, "The directory was not asked about this torrent yet."));
    this.ask = el("button", { type: "button", class: "button primary", id: "trace" }, icon("trace"), "Trace a lookup");
    this.ask.addEventListener("click", () => void this.trace());
    this.way = el("div", { class: "card-body", "aria-live": "polite" }, el("p", { class: "hint" }, "A traced lookup asks the directory who holds this torrent, and each index node on the way says what it knew."));
    this.node = el(
      "div",
      { class: "stacked" },
      el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "The way of a question"), this.ask), this.way),
      el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Last lookups")), this.table, this.nothing),
    );
  }

  /** @param {import("../core/model.js").Torrent} t @param {import("../core/model.js").Detail} d */
  show(t, d) {
    this.hash = t.hash;
    this.ask.hidden = t.private;
    if (!d.lookups) return;
    this.table.hidden = d.lookups.length === 0;
    this.nothing.hidden = d.lookups.length > 0;
    replace(this.body, ...d.lookups.map(row));
  }

  async trace() {
    this.ask.disabled = true;
    const wait = el("p", { class: "hint" }, "Asking…");
    replace(this.way, wait);
    try {
      const answer = await post(`${path(this.hash)}/trace`);
      replace(this.way, way(answer), found(answer));
    } catch (error) {
      wait.className = "fault";
      setText(wait, error instanceof Error ? error.message : String(error));
    } finally {
      this.ask.disabled = false;
    }
  }
}

/** @param {any} answer */
function way(answer) {
  const hops = (answer.trace ?? []).map((/** @type {any} */ hop, /** @type {number} */ i) =>
    el(
      "li",
      {},
      el("span", { class: "hop-number" }, String(i)),
      el(
        "div",
        {},
        el("strong", {}, i === 0 && !hop.addr ? "our own index node" : hop.addr ?? "an index node"),
        " ",
        el("span", { class: "mono hint" }, format.short(hop.id, 12)),
        el("br"),
        `knew ${format.count(hop.known, "peer")}; ${WHY[hop.why] ?? hop.why}`,
        hop.rtt_to_next_ms == null ? "" : el("span", { class: "hint" }, ` · ${format.milliseconds(hop.rtt_to_next_ms)} to the next`),
      ),
    ),
  );
  if (hops.length === 0) return el("p", { class: "hint" }, "No index node on the way tells of itself.");
  return el("ol", { class: "way" }, ...hops);
}

/** @param {any} answer */
function found(answer) {
  const peers = answer.peers ?? [];
  const by = answer.by ? `, answered by ${answer.by}` : "";
  const rows = peers.map((/** @type {any} */ p) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", class: "mono" }, (p.addrs ?? []).join(", ")),
      el("td", { class: "num", data: { label: "Predicted" } }, format.milliseconds(p.predicted_rtt_ms)),
      el("td", { class: "num", data: { label: "Pieces" } }, format.integer(p.chunks ?? 0)),
      el("td", { class: "num", data: { label: "Load" } }, String(p.load ?? 0)),
    ),
  );
  const head = ["Peer", "Predicted", "Pieces", "Load"].map((name, i) => el("th", { scope: "col", class: i > 0 ? "num" : "" }, name));
  return el(
    "div",
    {},
    el("p", {}, `${format.count(peers.length, "peer")} after ${format.count(answer.hops ?? 0, "hop")}${answer.root ? ", at the root" : ""}${by}`),
    peers.length > 0 ? el("table", { class: "data cards" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)) : null,
  );
}

/** @param {import("../core/model.js").LookupRow} r */
function row(r) {
  const by = r.answered_by ?? (r.hops === 0 ? "our own index node" : format.UNKNOWN);
  return el(
    "tr",
    {},
    el("td", { data: { label: "When" }, title: format.dateTime(r.at) }, format.ago(r.at, now())),
    el("td", { class: "num", data: { label: "Took" } }, format.milliseconds(r.took_ms)),
    el("td", { class: "num", data: { label: "Hops" } }, r.hops === null ? "no answer" : String(r.hops)),
    el("td", { data: { label: "Answered by" } }, el("span", { class: "mono" }, by), r.from_kept ? el("span", { class: "hint" }, " (kept for others too)") : null),
    el("td", { class: "num", data: { label: "Peers named" } }, format.integer(r.peers)),
  );
}
