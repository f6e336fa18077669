/** Which rows of a list are chosen, as lists everywhere do it: one, one more, all between. Pure. */

export class Selection {
  constructor() {
    /** @type {Set<string>} */
    this.chosen = new Set();
    /** Where a range begins. @type {string | null} */
    this.anchor = null;
  }

  /** @param {string} key this one and no other */
  only(key) {
    this.chosen = new Set([key]);
    this.anchor = key;
  }

  /** @param {string} key */
  toggle(key) {
    if (!this.chosen.delete(key)) this.chosen.add(key);
    this.anchor = key;
  }

  /**
   * All from the anchor to `key`, and no others.
   * @param {string} key @param {string[]} order
   */
  reach(key, order) {
    const from = this.anchor === null ? -1 : order.indexOf(this.anchor);
    const to = order.indexOf(key);
    if (from < 0 || to < 0) {
      this.only(key);
      return;
    }
    this.chosen = new Set(order.slice(Math.min(from, to), Math.max(from, to) + 1));
  }

  /** @param {string[]} order */
  all(order) {
    this.chosen = new Set(order);
  }

  clear() {
    this.chosen.clear();
    this.anchor = null;
  }

  /** Forgets what is no longer there. @param {{has(key: string): boolean}} there @returns {boolean} whether it changed */
  keep(there) {
    const before = this.chosen.size;
    for (const key of this.chosen) if (!there.has(key)) this.chosen.delete(key);
    if (this.anchor !== null && !there.has(this.anchor)) this.anchor = null;
    return this.chosen.size !== before;
  }
}
