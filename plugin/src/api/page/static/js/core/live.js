/**
 * Keeps the store in line with the daemon: by its stream of events, or by asking every few seconds where that does not
 * come (a proxy that holds it back, too many listeners). When the daemon is gone it is tried again, at first soon, then less
 * often.
 */

import { events, get, Refused } from "./api.js";

const POLL_MS = 2000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;
/** A stream that says nothing for so long is asked after: what is between may have forgotten it. */
const SILENCE_MS = 30_000;
/** Events of one torrent, as `/api/v1/events` names them. */
const NEWS = ["added", "removed", "state", "metadata", "complete", "trouble"];

export class Live {
  /** @param {import("./store.js").Store} store @param {{heard: (kind: string, data: any) => void}} listener */
  constructor(store, listener) {
    this.store = store;
    this.listener = listener;
    /** @type {EventSource | null} */
    this.source = null;
    this.retry = FIRST_RETRY_MS;
    /** When the stream is tried again; 0: it is being tried. */
    this.timer = 0;
    this.heardAt = 0;
    this.asking = false;
    setInterval(() => this.watch(), POLL_MS);
  }

  /** Begins, or tries again at once. */
  start() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.source?.close();
    const source = events();
    this.source = source;
    source.addEventListener("listing", (e) => this.listing(e));
    for (const kind of NEWS) source.addEventListener(kind, (e) => this.news(kind, e));
    source.addEventListener("error", () => void this.broken(source));
  }

  /** @param {Event} e */
  listing(e) {
    const data = read(e);
    if (data === null) return;
    this.heardAt = Date.now();
    this.retry = FIRST_RETRY_MS;
    this.store.totals = data.totals;
    if (data.all) this.store.setAll(data.torrents);
    else this.store.patch(data.torrents, data.removed);
    this.store.setLink("live");
    this.store.tell("tick");
  }

  /** @param {string} kind @param {Event} e */
  news(kind, e) {
    this.heardAt = Date.now();
    const data = read(e);
    if (data !== null) this.listener.heard(kind, data);
  }

  /**
   * The stream broke off, and the browser may be opening it again. Asking shows why.
   * @param {EventSource} source
   */
  async broken(source) {
    if (this.source !== source) return;
    if (source.readyState === EventSource.CLOSED) this.source = null;
    await this.poll();
  }

  /** Asks where nothing is heard. */
  watch() {
    const { state } = this.store.link;
    if (state === "lost" && this.timer !== 0) return;
    if (state !== "live" || Date.now() - this.heardAt > SILENCE_MS) void this.poll();
  }

  /** Fetches what the stream would have said. */
  async poll() {
    if (this.asking) return;
    this.asking = true;
    const before = this.heardAt;
    try {
      const [list, session] = await Promise.all([get("/torrents"), get("/session")]);
      if (this.heardAt !== before) return; // the stream was faster
      this.heardAt = Date.now();
      this.store.totals = session.totals;
      this.store.setAll(list.torrents);
      // one that is held back on the way can be open, and say nothing
      if (this.store.link.state !== "live" || this.source?.readyState !== EventSource.OPEN) this.store.setLink("polling");
      this.store.tell("tick");
    } catch (error) {
      this.lost(error);
    } finally {
      this.asking = false;
      if (this.source === null && this.timer === 0) this.later();
    }
  }

  /** @param {unknown} error */
  lost(error) {
    this.source?.close();
    this.source = null;
    const why = error instanceof Refused ? error.message : "The daemon does not answer.";
    this.store.setLink("lost", why);
    this.later();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), this.retry);
    this.retry = Math.min(LAST_RETRY_MS, this.retry * 2);
  }
}

/** @param {Event} e @returns {any} `null`: it makes no sense */
function read(e) {
  try {
    return JSON.parse(/** @type {MessageEvent} */ (e).data);
  } catch {
    return null;
  }
}
