/** Shortcuts of the page: single letters while nothing is typed into, listed under `?`. */

import { el } from "../core/dom.js";
import { dialog, dialogOpen } from "./dialog.js";

/** @typedef {{keys: string[], says: string, act: (e: KeyboardEvent) => void}} Shortcut */

/** @type {Shortcut[]} */
const global = [];

/** Shortcuts of the list, done there; named here so that one dialog shows all. */
const LIST = [
  [["↑", "↓", "Home", "End"], "go through the torrents"],
  [["Space"], "choose the torrent"],
  [["Shift", "↓"], "choose from here on"],
  [["Ctrl", "A"], "choose all"],
  [["Enter"], "open the torrent"],
  [["S"], "start what is chosen"],
  [["P"], "pause what is chosen"],
  [["V"], "verify what is chosen"],
  [["Delete"], "remove what is chosen"],
  [["Esc"], "choose none"],
];

const MAPS = [
  [["←", "→", "↑", "↓"], "go through pieces and peers of the map"],
  [["Page Up", "Page Down"], "a tenth of the pieces"],
  [["+", "−", "0"], "zoom the map of the swarm, and all of it"],
];

/**
 * @param {string} key as `KeyboardEvent.key` @param {string} says @param {(e: KeyboardEvent) => void} act
 */
export function shortcut(key, says, act) {
  global.push({ keys: [key], says, act });
}

/** Listens. */
export function listenForKeys() {
  document.addEventListener("keydown", (e) => {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || dialogOpen() || typing(e.target)) return;
    const found = global.find((s) => s.keys[0] === e.key);
    if (found) {
      e.preventDefault();
      found.act(e);
    }
  });
}

/** Shows all of them. */
export function showShortcuts() {
  const rows = [
    el("h3", {}, "Everywhere"),
    ...lines(global.map((s) => [s.keys.map(capital), s.says])),
    el("h3", {}, "In the list of torrents"),
    ...lines(LIST),
    el("h3", {}, "On maps"),
    ...lines(MAPS),
  ];
  dialog({ title: "Keyboard shortcuts", body: [el("div", { class: "shortcuts" }, ...rows)] });
}

/** @param {any[][]} all */
function lines(all) {
  return all.flatMap(([keys, says]) => [
    el("span", {}, ...keys.flatMap((/** @type {string} */ k, /** @type {number} */ i) => (i > 0 ? [" ", el("kbd", {}, k)] : [el("kbd", {}, k)]))),
    el("span", {}, says),
  ]);
}

/** @param {string} key */
function capital(key) {
  return key.length === 1 ? key.toUpperCase() : key;
}

/** @param {EventTarget | null} target */
function typing(target) {
  return target instanceof HTMLElement && target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
}
