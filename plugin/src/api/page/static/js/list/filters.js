/** Above the list: what kinds of torrents there are and how many of each, labels, the search, the order on small screens. */

import { el, setAttribute, setText } from "../core/dom.js";
import { integer } from "../core/format.js";
import { FILTERS, ORDERS, tally } from "./columns.js";

/**
 * @typedef {{filter: string, label: string | null, search: string, order: string, descending: boolean}} How
 */

export class Filters {
  /** @param {How} how @param {(change: Partial<How>) => void} change */
  constructor(how, change) {
    this.change = change;
    /** @type {Map<string, {button: HTMLButtonElement, number: HTMLElement}>} */
    this.buttons = new Map();
    const kinds = el("div", { class: "filters", role: "group", "aria-label": "Show" });
    for (const [name, filter] of Object.entries(FILTERS)) {
      const number = el("span", { class: "count" });
      const button = el("button", { type: "button", class: "filter" }, filter.label, number);
      button.addEventListener("click", () => change({ filter: name }));
      this.buttons.set(name, { button, number });
      kinds.append(button);
    }
    this.labels = el("select", { class: "select", "aria-label": "Label" });
    this.labels.addEventListener("change", () => change({ label: this.labels.value === "" ? null : this.labels.value.slice(1) }));
    this.order = el(
      "select",
      { class: "select order-select", "aria-label": "Order" },
      ...Object.entries(ORDERS).map(([name, order]) => el("option", { value: name }, `By ${order.label.toLowerCase()}`)),
    );
    this.order.addEventListener("change", () => change({ order: this.order.value, descending: ORDERS[this.order.value].descending ?? false }));
    this.search = el("input", {
      class: "input search",
      type: "search",
      placeholder: "Search",
      "aria-label": "Search by name, label or infohash",
      autocomplete: "off",
      spellcheck: "false",
      value: how.search,
    });
    this.search.addEventListener("input", () => change({ search: this.search.value }));
    this.kinds = kinds;
    this.finders = el("div", { class: "finders" }, this.labels, this.order, this.search);
  }

  /** @param {Iterable<import("../core/model.js").Torrent>} torrents @param {How} how */
  show(torrents, how) {
    const { filters, labels } = tally(torrents);
    for (const [name, { button, number }] of this.buttons) {
      setText(number, integer(filters[name]));
      setAttribute(button, "aria-pressed", String(how.filter === name));
      button.hidden = filters[name] === 0 && (name === "trouble" || name === "checking") && how.filter !== name;
    }
    const options = [["", "All labels"], ...labels.map(([label, n]) => [`=${label}`, `${label} (${n})`])];
    const key = JSON.stringify(options);
    if (this.labels.dataset.options !== key) {
      this.labels.dataset.options = key;
      this.labels.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
    }
    this.labels.value = how.label === null ? "" : `=${how.label}`;
    this.labels.hidden = labels.length === 0;
    this.order.value = how.order;
  }
}
