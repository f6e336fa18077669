/** Notes that come and go, told to readers of the screen too. */

import { el, icon } from "../core/dom.js";

/** Notes on the screen at a time. */
const MOST = 4;
const SECONDS = 7;

/** @param {string} text told, not shown */
export function announce(text) {
  const live = document.getElementById("live");
  if (live) live.textContent = text;
}

/**
 * @param {string} text
 * @param {{bad?: boolean}} [how] what is bad stays until it is closed
 */
export function toast(text, how = {}) {
  const holder = document.getElementById("toasts");
  if (!holder) return;
  const note = el("div", { class: how.bad ? "toast bad" : "toast" });
  const close = el("button", { class: "button quiet square", type: "button", "aria-label": "Close this note" }, icon("close"));
  close.addEventListener("click", () => note.remove());
  note.append(el("p", {}, text), close);
  holder.append(note);
  while (holder.childElementCount > MOST) holder.firstElementChild?.remove();
  announce(text);
  if (!how.bad) setTimeout(() => note.remove(), SECONDS * 1000);
}

/** Says what went wrong. @param {unknown} error @param {string} [what] */
export function complain(error, what) {
  const message = error instanceof Error ? error.message : String(error);
  toast(what ? `${what}: ${message}` : message, { bad: true });
}
