/** Puts the page together: the bar, the view that the address names, the connection, shortcuts, files that are dropped. */

import { el, setAttribute, setText } from "./core/dom.js";
import * as format from "./core/format.js";
import { Live } from "./core/live.js";
import { go, parse } from "./core/router.js";
import { stayedNear } from "./core/share.js";
import { Store } from "./core/store.js";
import { addDialog } from "./dialogs/add.js";
import { listView } from "./list/view.js";
import { TorrentView } from "./torrent/view.js";
import { listenForDrops } from "./ui/drop.js";
import { listenForKeys, shortcut, showShortcuts } from "./ui/keys.js";
import { themeButton } from "./ui/theme.js";
import { announce, toast } from "./ui/toast.js";
import { DirectoryView } from "./views/directory.js";
import { SettingsView } from "./views/settings.js";
import { TrafficView } from "./views/traffic.js";

const store = new Store();
const live = new Live(store, { heard });
const main = byId("main");
/** @type {{key: string, end: () => void, view: unknown}} */
let shown = { key: "", end: () => {}, view: null };

/** Shows what the address asks for. */
function route() {
  const place = parse(location.hash);
  const key = place.view === "torrent" ? `torrent/${place.hash}` : place.view;
  if (key !== shown.key) {
    shown.end();
    const first = shown.key === "";
    shown = { key, ...open(place) };
    main.scrollTop = 0;
    if (!first) main.focus({ preventScroll: true });
  }
  if (shown.view instanceof TorrentView) shown.view.open(place.tab ?? "pieces");
  for (const link of document.querySelectorAll(".nav a")) {
    const here = /** @type {HTMLElement} */ (link).dataset.view === (place.view === "torrent" ? "torrents" : place.view);
    setAttribute(link, "aria-current", here ? "page" : null);
  }
  const names = { torrents: "Torrents", traffic: "Traffic", directory: "Directory", settings: "Settings" };
  if (place.view !== "torrent") document.title = `${names[/** @type {keyof typeof names} */ (place.view)]} – ChunkCast`;
}

/** @param {import("./core/router.js").Place} place */
function open(place) {
  if (place.view === "torrents") return { view: null, end: listView(main, store) };
  const view =
    place.view === "torrent"
      ? new TorrentView(main, store, place.hash ?? "")
      : place.view === "traffic"
        ? new TrafficView(main, store)
        : place.view === "directory"
          ? new DirectoryView(main)
          : new SettingsView(main);
  return { view, end: () => view.destroy() };
}

/** What happened, told. @param {string} kind @param {any} data */
function heard(kind, data) {
  const name = store.torrents.get(data?.hash)?.name ?? "A torrent";
  if (kind === "complete") toast(`${name} is complete`);
  else if (kind === "trouble") toast(`${name}: ${data?.message ?? "something is wrong"}`, { bad: true });
  else if (kind === "metadata") announce(`The metadata of ${name} came`);
}

function showTotals() {
  const totals = store.totals;
  if (!totals) return;
  setText(byId("total-down"), format.rate(totals.rate_down));
  setText(byId("total-up"), format.rate(totals.rate_up));
  const near = stayedNear(totals.session.by_distance);
  setText(byId("total-near"), near === null ? format.UNKNOWN : format.percent(near));
}

function showLink() {
  const { state, why } = store.link;
  const node = byId("link-state");
  const words = { starting: "connecting", live: "live", polling: "connected", lost: "not connected" };
  setAttribute(node, "data-state", state === "polling" ? "live" : state);
  node.title = words[state];
  setText(/** @type {HTMLElement} */ (node.firstElementChild), words[state]);
  const banner = byId("banner");
  const lost = state === "lost";
  document.body.classList.toggle("lost", lost);
  if (lost && banner.hidden) {
    const again = el("button", { type: "button", class: "button" }, "Try now");
    again.addEventListener("click", () => live.start());
    banner.replaceChildren(el("strong", {}, "No connection."), el("span", { class: "why" }, why), el("span", { class: "hint" }, "What is shown may be old."), again);
  }
  if (lost) setText(/** @type {HTMLElement} */ (banner.querySelector(".why")), why);
  banner.hidden = !lost;
}

/** @param {string} id */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

store.on("tick", showTotals);
store.on("link", showLink);
themeButton(/** @type {HTMLButtonElement} */ (byId("theme")));
byId("help").addEventListener("click", showShortcuts);
byId("skip").addEventListener("click", (e) => {
  e.preventDefault(); // the address belongs to the views
  main.focus();
});
shortcut("?", "show this", showShortcuts);
shortcut("a", "add torrents", () => addDialog(store));
shortcut("/", "search the torrents", () => /** @type {HTMLElement | null} */ (document.querySelector(".search"))?.focus());
shortcut("l", "into the list of torrents", () => /** @type {HTMLElement | null} */ (document.querySelector(".trow[tabindex='0']"))?.focus());
shortcut("1", "all torrents", () => go({ view: "torrents" }));
shortcut("2", "traffic", () => go({ view: "traffic" }));
shortcut("3", "directory", () => go({ view: "directory" }));
shortcut("4", "settings", () => go({ view: "settings" }));
listenForKeys();
listenForDrops((given) => addDialog(store, given));
window.addEventListener("hashchange", route);
route();
live.start();
