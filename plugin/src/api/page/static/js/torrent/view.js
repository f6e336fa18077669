/** The page of one torrent: its head, its numbers, and a tab for each side of it. */

import { get } from "../core/api.js";
import { el } from "../core/dom.js";
import { readDetail } from "../core/model.js";
import { every } from "../core/repeat.js";
import { go } from "../core/router.js";
import { path } from "../list/actions.js";
import { tabs } from "../ui/tabs.js";
import { AboutTab } from "./about.js";
import { FilesTab } from "./files.js";
import { Head } from "./head.js";
import { LookupsTab } from "./lookups.js";
import { PeersTab } from "./peers.js";
import { PiecesTab } from "./pieces.js";
import { SwarmTab } from "./swarm.js";
import { TrackersTab } from "./trackers.js";

/** Between two looks at what a tab shows. */
const EVERY_MS = 2000;

/**
 * @typedef {import("../core/model.js").Torrent} Torrent
 * @typedef {import("../core/model.js").Detail} Detail
 * @typedef {import("../core/model.js").Part} Part
 * @typedef {object} Tab
 * @property {HTMLElement} node
 * @property {Part[]} needs what is fetched for it
 * @property {(t: Torrent, d: Detail) => void} show
 * @property {() => void} [destroy]
 */

/** @type {{id: string, label: string, make: (store: import("../core/store.js").Store) => Tab}[]} */
const TABS = [
  { id: "pieces", label: "Pieces", make: () => new PiecesTab() },
  { id: "peers", label: "Peers", make: () => new PeersTab() },
  { id: "swarm", label: "Swarm map", make: () => new SwarmTab() },
  { id: "files", label: "Files", make: () => new FilesTab() },
  { id: "trackers", label: "Trackers", make: () => new TrackersTab() },
  { id: "lookups", label: "Lookups", make: () => new LookupsTab() },
  { id: "about", label: "About", make: () => new AboutTab() },
];

export class TorrentView {
  /** @param {HTMLElement} root @param {import("../core/store.js").Store} store @param {string} hash */
  constructor(root, store, hash) {
    this.store = store;
    this.hash = hash;
    /** @type {Detail} */
    this.detail = {};
    /** @type {Tab | null} */
    this.tab = null;
    this.tabId = "";
    /** What the open tab shows. @type {Torrent | null} */
    this.drawn = null;
    /** Whether the open tab was fetched for. */
    this.fetched = false;
    this.fault = el("p", { class: "fault", role: "status" });
    this.head = new Head(store, () => go({ view: "torrents" }));
    this.tabs = tabs(TABS, "Sides of this torrent", (id) => go({ view: "torrent", hash, tab: id }, { replace: true }));
    this.panel = el("div", { class: "panel", role: "tabpanel" });
    this.there = el("div", { class: "page torrent" }, this.head.node, this.tabs.list, this.fault, this.panel);
    this.gone = el(
      "div",
      { class: "empty" },
      el("h2", {}, "This torrent is not here"),
      el("p", {}, "It was removed, or the address is wrong."),
      el("a", { class: "button", href: "#/torrents" }, "All torrents"),
    );
    root.replaceChildren(this.there, this.gone);
    this.ends = [store.on("torrents", () => this.show())];
    this.fetching = every(EVERY_MS, (signal) => this.fetch(signal));
    this.show();
  }

  destroy() {
    this.fetching.end();
    this.ends.forEach((end) => end());
    this.tab?.destroy?.();
    this.head.destroy();
  }

  /** @param {string} id */
  open(id) {
    const found = TABS.find((t) => t.id === id) ?? TABS[0];
    this.tabs.show(found.id);
    if (this.tabId === found.id) return;
    this.tab?.destroy?.();
    this.tabId = found.id;
    this.fetched = false;
    this.drawn = null;
    this.tab = found.make(this.store);
    this.panel.id = `panel-${found.id}`;
    this.panel.setAttribute("aria-labelledby", `tab-${found.id}`);
    this.panel.replaceChildren(this.tab.node);
    this.show();
  }

  show() {
    const torrent = this.store.torrents.get(this.hash);
    this.there.hidden = torrent === undefined;
    this.gone.hidden = torrent !== undefined || !this.store.loaded;
    if (!torrent) return;
    document.title = `${torrent.name} – ChunkCast`;
    this.head.show(torrent);
    if (this.tab && torrent !== this.drawn) {
      this.drawn = torrent;
      this.tab.show(torrent, this.detail);
    }
    if (!this.fetched) void this.fetching.now(); // the list came after the view was opened
  }

  /** @param {Part} part @param {AbortSignal} signal */
  async ask(part, signal) {
    if (part === "about") return get(path(this.hash), signal);
    // a daemon without an index node has no place in coordinate space
    if (part === "directory") return get("/directory", signal).catch(() => null);
    return get(`${path(this.hash)}/${part}`, signal);
  }

  /** Fetches what the open tab shows. @param {AbortSignal} signal */
  async fetch(signal) {
    const { tab } = this;
    if (!tab || !this.store.torrents.has(this.hash)) return;
    this.fetched = true;
    try {
      const answers = await Promise.all(tab.needs.map((part) => this.ask(part, signal)));
      const torrent = this.store.torrents.get(this.hash);
      if (!torrent) return;
      tab.needs.forEach((part, i) => Object.assign(this.detail, readDetail(part, answers[i], torrent)));
      this.fault.textContent = "";
      if (this.tab !== tab) return;
      this.drawn = torrent;
      tab.show(torrent, this.detail);
    } catch (error) {
      if (signal.aborted) return;
      this.fault.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}
