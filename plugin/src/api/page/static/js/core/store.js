/** What the page knows: the torrents, the totals, and whether the daemon answers. Views listen to it. */

/**
 * @typedef {import("./model.js").Torrent} Torrent
 * @typedef {"torrents" | "link" | "tick"} Topic
 */

export class Store {
  constructor() {
    /** By infohash. @type {Map<string, Torrent>} */
    this.torrents = new Map();
    /** @type {import("./model.js").Totals | null} */
    this.totals = null;
    /** Whether the list has come once. */
    this.loaded = false;
    /** @type {{state: "starting" | "live" | "polling" | "lost", why: string}} */
    this.link = { state: "starting", why: "" };
    /** @type {Map<Topic, Set<() => void>>} */
    this.listeners = new Map();
  }

  /**
   * @param {Topic} topic `torrents`: some changed; `link`: the connection; `tick`: once a second while there is one
   * @param {() => void} heard @returns {() => void} ends it
   */
  on(topic, heard) {
    const set = this.listeners.get(topic) ?? new Set();
    this.listeners.set(topic, set.add(heard));
    return () => set.delete(heard);
  }

  /** @param {Topic} topic */
  tell(topic) {
    for (const heard of [...(this.listeners.get(topic) ?? [])]) heard();
  }

  /** All torrents there are. @param {Torrent[]} torrents */
  setAll(torrents) {
    this.torrents = new Map(torrents.map((t) => [t.hash, t]));
    this.loaded = true;
    this.tell("torrents");
  }

  /** Some that changed, and some that are gone. @param {Torrent[]} changed @param {string[]} gone */
  patch(changed, gone) {
    for (const t of changed) this.torrents.set(t.hash, t);
    for (const hash of gone) this.torrents.delete(hash);
    if (changed.length > 0 || gone.length > 0) this.tell("torrents");
  }

  /** @param {"starting" | "live" | "polling" | "lost"} state @param {string} [why] */
  setLink(state, why = "") {
    if (this.link.state === state && this.link.why === why) return;
    this.link = { state, why };
    this.tell("link");
  }
}

/** Seconds since 1970. */
export function now() {
  return Math.floor(Date.now() / 1000);
}
