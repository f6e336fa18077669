/** What a torrent says of itself, and what was counted over all its runs. */

import { el, icon, replace } from "../core/dom.js";
import * as format from "../core/format.js";
import { now } from "../core/store.js";
import { complain, toast } from "../ui/toast.js";

export class AboutTab {
  constructor() {
    /** @type {import("./view.js").Part[]} */
    this.needs = ["about"];
    this.facts = el("dl", { class: "facts" });
    this.shown = "";
    this.magnet = "";
    const copy = el("button", { type: "button", class: "button" }, icon("copy"), "Copy magnet link");
    copy.addEventListener("click", () => void this.copy());
    this.node = el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "About"), copy), el("div", { class: "card-body" }, this.facts));
  }

  /** @param {import("../core/model.js").Torrent} t @param {import("../core/model.js").Detail} d */
  show(t, d) {
    if (!d.about) return;
    const { about } = d;
    this.magnet = about.magnet;
    const drops = Object.entries(about.drops).map(([reason, n]) => `${reason.replaceAll("_", " ")} ${format.integer(n)}`);
    const m = t.by_distance;
    const named = Object.entries(t.sources).filter(([, n]) => n > 0).map(([name, n]) => `${name} ${n}`);
    /** @type {[string, string][]} */
    const facts = [
      ["Infohash", t.hash],
      ["Directory", t.dir],
      ["Private", t.private ? "yes: its tracker alone names peers" : "no"],
      ["Pieces", t.has_metadata ? `${format.integer(t.pieces)} of ${format.bytes(t.piece_length)}` : format.UNKNOWN],
      ["Comment", about.comment || format.UNKNOWN],
      ["Made by", about.creator || format.UNKNOWN],
      ["Made", format.dateTime(about.created)],
      ["Added", format.dateTime(t.added)],
      ["Complete", format.dateTime(t.done)],
      ["Last moved bytes", format.ago(t.active, now())],
      ["Place in the queue", format.integer(t.queue_position + 1)],
      ["Time downloading", format.duration(t.seconds_downloading)],
      ["Time seeding", format.duration(t.seconds_seeding)],
      ["Received", `${format.bytes(t.downloaded)}; ${format.bytes(m.near_down)} near, ${format.bytes(m.far_down)} far, ${format.bytes(m.web_down)} from web seeds`],
      ["Sent", `${format.bytes(t.uploaded)}; ${format.bytes(m.near_up)} near, ${format.bytes(m.far_up)} far`],
      ["Received in vain", format.bytes(t.wasted)],
      ["Thrown away", drops.join(", ") || "nothing"],
      ["Pieces that failed", `${format.integer(about.bad_pieces)}; ${format.count(about.banned, "peer")} banned`],
      ["Peers were named by", named.join(", ") || "nobody"],
      ["Web seeds", about.web_seed_urls.join(", ") || "none"],
    ];
    const key = JSON.stringify(facts);
    if (key === this.shown) return; // what somebody has marked to copy stays marked
    this.shown = key;
    replace(this.facts, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.magnet);
      toast("The magnet link is copied");
    } catch {
      complain(`This browser does not let pages copy here: ${this.magnet}`);
    }
  }
}
