/** Over the tabs of a torrent: its name, what it does, what can be done with it, its numbers. */

import { el, icon, setAttribute, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { now } from "../core/store.js";
import { labelsDialog } from "../dialogs/place.js";
import { removeDialog } from "../dialogs/remove.js";
import * as actions from "../list/actions.js";
import { progress, stateKind, stateName } from "../list/columns.js";
import { moreItems } from "../list/more.js";
import { ShareBar } from "../list/row.js";
import { menuButton } from "../ui/menu.js";

/** @typedef {import("../core/model.js").Torrent} Torrent */

export class Head {
  /** @param {import("../core/store.js").Store} store @param {() => void} leave when the torrent was removed */
  constructor(store, leave) {
    /** @type {Torrent | null} */
    this.torrent = null;
    const one = () => (this.torrent ? [this.torrent] : []);
    this.title = el("h1", {});
    this.state = el("span", { class: "state" });
    this.labels = el("button", { type: "button", class: "label-button", on: { click: () => labelsDialog(one(), store) } });
    this.toggle = el("button", { type: "button", class: "button primary", id: "toggle" });
    this.toggle.addEventListener("click", () => void (this.torrent?.state === "paused" ? actions.start(one()) : actions.pause(one())));
    const remove = el("button", { type: "button", class: "button", id: "remove" }, icon("remove"), "Remove…");
    remove.addEventListener("click", () => removeDialog(one(), leave));
    const more = el("button", { type: "button", class: "button", "aria-label": "More to do with this torrent" }, icon("more"), "More");
    this.trouble = el("p", { class: "trouble", role: "status", hidden: true });
    this.fill = el("span", { class: "fill" });
    this.bar = el("div", { class: "bar-track big", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, this.fill);
    this.share = new ShareBar();
    /** @type {Record<string, HTMLElement>} */
    this.numbers = {};
    const number = (/** @type {string} */ name, /** @type {string} */ label) => {
      this.numbers[name] = el("dd", {});
      return el("div", {}, el("dt", {}, label), this.numbers[name]);
    };
    const share = el("div", { class: "wide" }, el("dt", {}, "Stayed near"), el("dd", {}, this.share.node));
    this.node = el(
      "header",
      { class: "torrent-head" },
      el("a", { class: "back", href: "#/torrents" }, icon("back"), "Torrents"),
      el("div", { class: "title-row" }, this.title, el("div", { class: "row" }, this.toggle, menuButton(more, () => moreItems(one(), store)), remove)),
      el("div", { class: "row" }, this.state, this.labels),
      this.trouble,
      this.bar,
      el(
        "dl",
        { class: "numbers" },
        number("progress", "Done"),
        number("down", "Down"),
        number("up", "Up"),
        number("eta", "ETA"),
        number("peers", "Near + far peers"),
        share,
        number("ratio", "Ratio"),
        number("size", "Size"),
      ),
    );
    this.ends = store.on("link", () => setAttribute(this.node, "data-link", store.link.state));
  }

  destroy() {
    this.ends();
  }

  /** @param {Torrent} t */
  show(t) {
    this.torrent = t;
    setText(this.title, t.name);
    setText(this.state, stateName(t));
    setAttribute(this.state, "data-kind", stateKind(t));
    setText(this.labels, t.labels.length > 0 ? t.labels.join(", ") : "no label");
    setAttribute(this.labels, "aria-label", `Labels: ${t.labels.join(", ") || "none"}. Change them`);
    const word = t.state === "paused" ? "Start" : "Pause";
    if (this.toggle.dataset.word !== word) {
      this.toggle.dataset.word = word;
      this.toggle.replaceChildren(icon(word.toLowerCase()), word);
    }
    this.trouble.hidden = t.trouble === null;
    setText(this.trouble, t.trouble?.message ?? "");
    const part = progress(t);
    this.fill.style.width = `${(part * 100).toFixed(2)}%`;
    setAttribute(this.fill, "data-kind", stateKind(t));
    setAttribute(this.bar, "aria-valuenow", String(Math.floor(part * 100)));
    const n = this.numbers;
    setText(n.progress, t.has_metadata ? format.percent(part) : "no metadata yet");
    setText(n.down, format.rate(t.rate_down));
    setText(n.up, format.rate(t.rate_up));
    setText(n.eta, t.done ? `done ${format.ago(t.done, now())}` : format.eta(t.eta_seconds));
    setText(n.peers, `${t.near} + ${t.far}${t.web_seeds > 0 ? `, ${t.web_seeds} web` : ""}`);
    setAttribute(n.peers, "title", `${t.near} near, ${t.far} far, ${format.count(t.web_seeds, "web seed")}`);
    this.share.show(t.by_distance);
    setText(n.ratio, format.ratio(t.uploaded, t.downloaded));
    const some = t.wanted < t.size ? `${format.bytes(t.wanted)} of ` : "";
    setText(n.size, t.has_metadata ? some + format.bytes(t.size) : format.UNKNOWN);
  }
}
