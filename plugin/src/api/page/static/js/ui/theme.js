/** Light, dark, or as the system has it. `theme_first.js` sets it before the first paint, this switches it. */

import { icon, replace, setAttribute } from "../core/dom.js";
import { recall, remember } from "../core/prefs.js";

const CHOICES = /** @type {const} */ (["system", "light", "dark"]);
const NAMES = { system: "as the system", light: "light", dark: "dark" };
const ICONS = { system: "contrast", light: "sun", dark: "moon" };

const dark = matchMedia("(prefers-color-scheme: dark)");
/** @type {Set<() => void>} */
const listeners = new Set();

/** Calls `redraw` when colours change. @param {() => void} redraw @returns {() => void} ends it */
export function onTheme(redraw) {
  listeners.add(redraw);
  return () => listeners.delete(redraw);
}

/** @param {HTMLButtonElement} button goes through the choices */
export function themeButton(button) {
  const choice = () => {
    const kept = recall("theme");
    return CHOICES.find((c) => c === kept) ?? "system";
  };
  const show = () => {
    const now = choice();
    document.documentElement.dataset.theme = now === "system" ? (dark.matches ? "dark" : "light") : now;
    replace(button, icon(ICONS[now]));
    const next = CHOICES[(CHOICES.indexOf(now) + 1) % CHOICES.length];
    setAttribute(button, "aria-label", `Colours: ${NAMES[now]}. Change to ${NAMES[next]}`);
    button.title = `Colours: ${NAMES[now]}`;
    for (const redraw of listeners) redraw();
  };
  button.addEventListener("click", () => {
    remember("theme", CHOICES[(CHOICES.indexOf(choice()) + 1) % CHOICES.length]);
    show();
  });
  dark.addEventListener("change", show);
  show();
}

/**
 * Colours of the style sheet, for canvases.
 * @template {string} N
 * @param {N[]} names of custom properties, without dashes
 * @returns {Record<N, [number, number, number]>} red, green, blue
 */
export function colours(...names) {
  const style = getComputedStyle(document.documentElement);
  return /** @type {any} */ (Object.fromEntries(names.map((name) => [name, rgb(style.getPropertyValue(`--${name}`))])));
}

/** @param {[number, number, number]} colour @param {number} [alpha] */
export function css([r, g, b], alpha = 1) {
  return `rgb(${r} ${g} ${b} / ${alpha})`;
}

/** @param {string} text `#rrggbb` @returns {[number, number, number]} */
function rgb(text) {
  const value = Number.parseInt(text.trim().slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}
