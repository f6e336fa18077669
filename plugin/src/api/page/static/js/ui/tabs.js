/** Tabs, and choices of one among few, as WAI-ARIA's patterns have them: one stop for Tab, arrows inside. */

import { el } from "../core/dom.js";

/**
 * @param {{id: string, label: string}[]} all
 * @param {string} label what they are tabs of
 * @param {(id: string) => void} choose
 * @returns {{list: HTMLElement, show: (id: string) => void}} panels have the id `panel-ID` and are labelled by `tab-ID`
 */
export function tabs(all, label, choose) {
  const list = el("div", { class: "tabs", role: "tablist", "aria-label": label });
  const buttons = all.map((tab) =>
    el(
      "button",
      { type: "button", role: "tab", id: `tab-${tab.id}`, "aria-controls": `panel-${tab.id}`, on: { click: () => choose(tab.id) } },
      tab.label,
    ),
  );
  list.append(...buttons);
  arrows(list, buttons, (i) => choose(all[i].id));
  const show = (/** @type {string} */ id) => {
    buttons.forEach((button, i) => {
      const on = all[i].id === id;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
      if (on) button.scrollIntoView?.({ block: "nearest", inline: "nearest" });
    });
  };
  return { list, show };
}

/**
 * @param {{id: string, label: string}[]} all @param {string} label
 * @param {string} first @param {(id: string) => void} choose
 * @returns {HTMLElement} a group of radio buttons that look like one button in parts
 */
export function segments(all, label, first, choose) {
  const group = el("div", { class: "segments", role: "radiogroup", "aria-label": label });
  const buttons = all.map((one) => el("button", { type: "button", role: "radio" }, one.label));
  const pick = (/** @type {number} */ at, told = true) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-checked", String(i === at));
      button.tabIndex = i === at ? 0 : -1;
    });
    if (told) choose(all[at].id);
  };
  buttons.forEach((button, i) => button.addEventListener("click", () => pick(i)));
  group.append(...buttons);
  arrows(group, buttons, (i) => pick(i));
  pick(Math.max(0, all.findIndex((one) => one.id === first)), false);
  return group;
}

/** @param {HTMLElement} group @param {HTMLButtonElement[]} buttons @param {(i: number) => void} to */
function arrows(group, buttons, to) {
  group.addEventListener("keydown", (e) => {
    const here = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (here < 0) return;
    /** @type {Record<string, number>} */
    const steps = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: buttons.length - 1 };
    if (!(e.key in steps)) return;
    e.preventDefault();
    const at = (steps[e.key] + buttons.length) % buttons.length;
    buttons[at].focus();
    to(at);
  });
}
