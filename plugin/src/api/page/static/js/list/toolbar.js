/** The buttons over the list: add, and what can be done with what is chosen. */

import { el, icon, setText } from "../core/dom.js";
import { count } from "../core/format.js";
import { addDialog } from "../dialogs/add.js";
import { removeDialog } from "../dialogs/remove.js";
import { menuButton } from "../ui/menu.js";
import * as actions from "./actions.js";
import { moreItems } from "./more.js";

/** @typedef {import("../core/model.js").Torrent} Torrent */

export class Toolbar {
  /**
   * @param {{chosen: () => Torrent[], clear: () => void, store: import("../core/store.js").Store}} list
   * @param {HTMLElement} finders what is at the other end */
  constructor(list, finders) {
    const add = el("button", { type: "button", class: "button primary", id: "add" }, icon("add"), "Add");
    add.addEventListener("click", () => addDialog(list.store));
    /** @param {string} name @param {string} label @param {(chosen: Torrent[]) => unknown} act */
    const button = (name, label, act) => {
      const b = el("button", { type: "button", class: "button quiet act", title: label, "aria-label": label }, icon(name), el("span", {}, label));
      b.addEventListener("click", () => void act(list.chosen()));
      return b;
    };
    this.buttons = [
      button("start", "Start", (c) => actions.start(c)),
      button("pause", "Pause", actions.pause),
      button("remove", "Remove…", (c) => removeDialog(c)),
    ];
    const more = el("button", { type: "button", class: "button quiet act", "aria-label": "More to do with the chosen torrents", title: "More" }, icon("more"), el("span", {}, "More"));
    this.buttons.push(more);
    this.text = el("span", { class: "chosen-text" });
    this.none = el("button", { type: "button", class: "button quiet square", "aria-label": "Choose none", title: "Choose none" }, icon("close"));
    this.none.addEventListener("click", list.clear);
    this.group = el("div", { class: "acts", role: "toolbar", "aria-label": "The chosen torrents" }, ...this.buttons.slice(0, 3), menuButton(more, () => moreItems(list.chosen(), list.store), { left: true }), this.text, this.none);
    this.node = el("div", { class: "toolbar" }, add, this.group, finders);
  }

  /** @param {number} chosen how many */
  show(chosen) {
    for (const button of this.buttons) button.disabled = chosen === 0;
    setText(this.text, chosen === 0 ? "" : `${count(chosen, "torrent")} chosen`);
    this.none.hidden = chosen === 0;
    this.group.dataset.chosen = String(chosen > 0);
  }
}
