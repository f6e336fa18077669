/** A button with a menu, as WAI-ARIA's pattern has it: arrows move, letters find, Escape ends. */

import { el, icon, uniqueId } from "../core/dom.js";

/**
 * @typedef {{label: string, icon?: string, act: () => void} | null} Item `null` is a line
 */

/**
 * @param {HTMLButtonElement} button
 * @param {() => Item[]} items asked for when the menu opens
 * @param {{left?: boolean}} [where]
 * @returns {HTMLElement} the button with its menu around it
 */
export function menuButton(button, items, where = {}) {
  const id = uniqueId("menu");
  const menu = el("div", { class: "menu", role: "menu", id, hidden: true, "aria-label": button.getAttribute("aria-label") ?? button.textContent });
  const anchor = el("div", { class: "menu-anchor" }, button, menu);
  if (where.left) anchor.classList.add("left");
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", id);

  const choices = () => /** @type {HTMLButtonElement[]} */ ([...menu.querySelectorAll("button")]);
  const shut = (/** @type {boolean} */ back) => {
    if (menu.hidden) return;
    menu.hidden = true;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", elsewhere, true);
    if (back) button.focus();
  };
  const elsewhere = (/** @type {Event} */ e) => {
    if (!anchor.contains(/** @type {Node} */ (e.target))) shut(false);
  };
  const open = (/** @type {number} */ at) => {
    menu.replaceChildren(...items().map((item) => (item === null ? el("hr") : entry(item, shut))));
    menu.hidden = false;
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", elsewhere, true);
    choices().at(at)?.focus();
  };

  button.addEventListener("click", () => (menu.hidden ? open(0) : shut(true)));
  button.addEventListener("keydown", (e) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      open(e.key === "ArrowDown" ? 0 : -1);
    }
  });
  menu.addEventListener("keydown", (e) => {
    const all = choices();
    const here = all.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const to = step(e.key, here, all);
    if (to !== null) {
      e.preventDefault();
      e.stopPropagation();
      all[to]?.focus();
    } else if (e.key === "Escape" || e.key === "Tab") {
      e.stopPropagation();
      if (e.key === "Escape") e.preventDefault();
      shut(e.key === "Escape");
    }
  });
  return anchor;
}

/** @param {NonNullable<Item>} item @param {(back: boolean) => void} shut */
function entry(item, shut) {
  const button = el("button", { type: "button", role: "menuitem", tabIndex: -1 });
  if (item.icon) button.append(icon(item.icon));
  button.append(item.label);
  button.addEventListener("click", () => {
    shut(true);
    item.act();
  });
  return button;
}

/** @param {string} key @param {number} here @param {HTMLElement[]} all @returns {number | null} */
function step(key, here, all) {
  if (key === "ArrowDown") return (here + 1) % all.length;
  if (key === "ArrowUp") return (here - 1 + all.length) % all.length;
  if (key === "Home") return 0;
  if (key === "End") return all.length - 1;
  if (key.length !== 1 || key === " ") return null;
  const wanted = key.toLowerCase();
  const order = all.map((_, i) => (here + 1 + i) % all.length);
  return order.find((i) => all[i].textContent?.toLowerCase().startsWith(wanted)) ?? null;
}
