/** The view of all torrents. */

import { el, icon } from "../core/dom.js";
import { recall, remember } from "../core/prefs.js";
import { go } from "../core/router.js";
import { addDialog } from "../dialogs/add.js";
import { removeDialog } from "../dialogs/remove.js";
import * as actions from "./actions.js";
import { arrange, FILTERS, ORDERS } from "./columns.js";
import { Filters } from "./filters.js";
import { Table } from "./table.js";
import { Toolbar } from "./toolbar.js";

/** What changes by itself every second is put in order again only so often: a row shall hold still under the pointer. */
const SETTLED_MS = 3000;

/** @typedef {import("./filters.js").How} How */

/**
 * @param {HTMLElement} root @param {import("../core/store.js").Store} store
 * @returns {() => void} ends it
 */
export function listView(root, store) {
  const how = remembered();
  let sortedAt = 0;
  /** @type {string[]} */
  let order = [];

  const table = new Table({
    open: (hash) => go({ view: "torrent", hash }),
    chosen: () => toolbar.show(table.selection.chosen.size),
    order: (name) => {
      const same = how.order === name;
      change({ order: name, descending: same ? !how.descending : (ORDERS[name].descending ?? false) });
    },
    act: keyed,
  });
  const filters = new Filters(how, change);
  const toolbar = new Toolbar({ chosen: () => table.chosen(), clear: () => table.clear(), store }, filters.finders);
  const empty = el("div", { class: "list-empty" });
  const view = el("section", { class: "list", "aria-labelledby": "list-title" });
  view.append(el("h1", { id: "list-title", class: "visually-hidden" }, "Torrents"), el("div", { class: "list-head" }, toolbar.node, filters.kinds), table.node, empty);
  root.replaceChildren(view);

  /** @param {Partial<How>} changes */
  function change(changes) {
    Object.assign(how, changes);
    remember("list", { filter: how.filter, order: how.order, descending: how.descending });
    sortedAt = 0;
    update();
  }

  function update() {
    const all = store.torrents.values();
    filters.show(store.torrents.values(), how);
    table.showOrder(how.order, how.descending);
    const now = Date.now();
    let rows = arrange(all, how);
    if (ORDERS[how.order].jumpy && now - sortedAt < SETTLED_MS) rows = held(rows, order);
    else sortedAt = now;
    order = rows.map((t) => t.hash);
    table.show(rows);
    showEmpty(rows.length);
  }

  /** @param {number} shown */
  function showEmpty(shown) {
    const kind = !store.loaded ? "loading" : store.torrents.size === 0 ? "none" : shown === 0 ? "hidden" : "";
    table.node.classList.toggle("is-empty", kind !== "");
    if (empty.dataset.kind === kind) return;
    empty.dataset.kind = kind;
    empty.hidden = kind === "";
    if (kind === "loading") empty.replaceChildren(...skeleton());
    else if (kind === "none") empty.replaceChildren(nothingYet(store));
    else if (kind === "hidden") empty.replaceChildren(nothingFound(() => clearFilters()));
  }

  function clearFilters() {
    filters.search.value = "";
    change({ filter: "all", label: null, search: "" });
  }

  const ends = [store.on("torrents", update)];
  update();
  toolbar.show(0);
  return () => {
    ends.forEach((end) => end());
    table.destroy();
  };
}

/**
 * The same rows in the order that they had; new ones at the end.
 * @param {import("../core/model.js").Torrent[]} rows @param {string[]} order
 */
function held(rows, order) {
  const places = new Map(order.map((hash, i) => [hash, i]));
  const place = (/** @type {{hash: string}} */ t) => places.get(t.hash) ?? Infinity;
  return rows
    .map((t, i) => ({ t, i }))
    .sort((a, b) => {
      const [x, y] = [place(a.t), place(b.t)];
      return x === y ? a.i - b.i : x < y ? -1 : 1;
    })
    .map((r) => r.t);
}

/** @param {string} key @param {import("../core/model.js").Torrent[]} meant */
function keyed(key, meant) {
  if (meant.length === 0) return false;
  if (key === "s") void actions.start(meant);
  else if (key === "p") void actions.pause(meant);
  else if (key === "v") void actions.verify(meant);
  else if (key === "Delete") removeDialog(meant);
  else return false;
  return true;
}

/** @returns {How} */
function remembered() {
  const kept = recall("list");
  const order = Object.hasOwn(ORDERS, kept?.order) ? kept.order : "queue";
  return {
    filter: Object.hasOwn(FILTERS, kept?.filter) ? kept.filter : "all",
    label: null,
    search: "",
    order,
    descending: kept?.descending === true,
  };
}

function skeleton() {
  return [
    el("p", { class: "visually-hidden", role: "status" }, "The torrents are being fetched"),
    ...Array.from({ length: 8 }, () => el("div", { class: "skeleton", "aria-hidden": "true" })),
  ];
}

/** @param {import("../core/store.js").Store} store */
function nothingYet(store) {
  const add = el("button", { type: "button", class: "button primary" }, icon("add"), "Add a torrent");
  add.addEventListener("click", () => addDialog(store));
  return el(
    "div",
    { class: "empty" },
    el("img", { src: "/assets/favicon.svg", alt: "", width: 56, height: 56 }),
    el("h2", {}, "No torrents yet"),
    el("p", {}, "Add a magnet link, a URL or a .torrent file, or drop files anywhere on this page. Whoever is near and has a piece is asked for it first."),
    add,
  );
}

/** @param {() => void} clear */
function nothingFound(clear) {
  const button = el("button", { type: "button", class: "button" }, "Show all");
  button.addEventListener("click", clear);
  return el("div", { class: "empty" }, el("h2", {}, "Nothing here is like that"), el("p", {}, "No torrent is of this kind, label and name."), button);
}
