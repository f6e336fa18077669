/** The files of a torrent: which are wanted, how much, and how far they are. */

import { patch } from "../core/api.js";
import { el, setAttribute, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { path } from "../list/actions.js";
import { complain } from "../ui/toast.js";

/** @type {[import("../core/model.js").Priority, string][]} */
const PRIORITIES = [
  ["high", "High"],
  ["normal", "Normal"],
  ["low", "Low"],
  ["skip", "Skip"],
];

/** Rows that are made at once; a torrent of more has them made when asked for. */
const PAGE = 500;

/**
 * @typedef {import("../core/model.js").FileRow} FileRow
 * @typedef {{priority: string, looks: number}} Wish `looks`: answers to come until what they say counts
 */

export class FilesTab {
  constructor() {
    /** @type {import("./view.js").Part[]} */
    this.needs = ["files"];
    this.hash = "";
    /** @type {FileRow[]} */
    this.files = [];
    /** @type {FileLine[]} */
    this.lines = [];
    this.most = PAGE;
    /** What was asked for and not yet seen in an answer, by index. @type {Map<number, Wish>} */
    this.asked = new Map();
    /** The last answer. @type {FileRow[]} */
    this.answer = [];
    this.body = el("tbody", {});
    this.summary = el("p", { class: "hint" });
    this.search = el("input", { class: "input search", type: "search", placeholder: "Search files", "aria-label": "Search files by path" });
    this.search.addEventListener("input", () => this.render());
    const all = el("select", { class: "select", "aria-label": "Priority of all files that are shown" }, el("option", { value: "" }, "All shown…"), ...PRIORITIES.map(([v, text]) => el("option", { value: v }, text)));
    all.addEventListener("change", () => {
      if (all.value !== "") void this.set(this.lines.filter((l) => !l.node.hidden).map((l) => l.file.index), all.value);
      all.value = "";
    });
    this.more = el("button", { type: "button", class: "button", hidden: true }, "Show more files");
    this.more.addEventListener("click", () => {
      this.most += PAGE;
      this.render();
    });
    const head = ["File", "Size", "Done", "Priority"].map((name, i) => el("th", { scope: "col", class: i === 1 || i === 2 ? "num" : "" }, name));
    this.table = el("table", { class: "data files" }, el("thead", {}, el("tr", {}, ...head)), this.body);
    this.nothing = el("div", { class: "empty small", hidden: true }, el("p", {}, "The files are known when the metadata is."));
    this.node = el("div", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Files"), this.summary, el("div", { class: "row" }, this.search, all)), this.table, this.nothing, el("div", { class: "card-body" }, this.more));
  }

  /** @param {import("../core/model.js").Torrent} t @param {import("../core/model.js").Detail} d */
  show(t, d) {
    if (!d.files) return;
    this.hash = t.hash;
    this.files = d.files.filter((f) => !f.padding);
    if (d.files !== this.answer) this.settle();
    this.answer = d.files;
    this.nothing.hidden = this.files.length > 0;
    this.table.hidden = this.files.length === 0;
    const wanted = this.files.filter((f) => f.priority !== "skip");
    setText(this.summary, `${format.integer(wanted.length)} of ${format.count(this.files.length, "file")} wanted`);
    this.render();
  }

  /** Lets go of what was asked for and is so, or is not: another may have asked for something else. */
  settle() {
    for (const f of this.files) {
      const wish = this.asked.get(f.index);
      if (!wish) continue;
      wish.looks -= 1;
      if (wish.priority === f.priority || wish.looks <= 0) this.asked.delete(f.index);
    }
  }

  render() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.files.filter((f) => words.every((w) => f.path.toLowerCase().includes(w)));
    const shown = found.slice(0, this.most);
    while (this.lines.length < shown.length) {
      const line = new FileLine((index, priority) => void this.set([index], priority));
      this.lines.push(line);
      this.body.append(line.node);
    }
    this.lines.forEach((line, i) => {
      line.node.hidden = i >= shown.length;
      if (i < shown.length) line.show(shown[i], this.asked.get(shown[i].index)?.priority);
    });
    this.more.hidden = found.length <= shown.length;
    setText(this.more, `Show more (${format.count(found.length - shown.length, "file")} left)`);
  }

  /** @param {number[]} indices @param {string} priority */
  async set(indices, priority) {
    const wishes = indices.map((index) => ({ index, priority, looks: Infinity }));
    for (const wish of wishes) this.asked.set(wish.index, wish);
    this.render();
    try {
      await patch(path(this.hash), { files: indices.map((index) => ({ index, priority })) });
      // the next answer may be to a question from before
      for (const wish of wishes) wish.looks = 2;
    } catch (error) {
      for (const wish of wishes) if (this.asked.get(wish.index) === wish) this.asked.delete(wish.index);
      this.render();
      complain(error, "Priorities");
    }
  }
}

class FileLine {
  /** @param {(index: number, priority: string) => void} set */
  constructor(set) {
    /** @type {FileRow} */
    this.file = { index: 0, path: "", size: 0, held: 0, priority: "normal", padding: false };
    this.folder = el("span", { class: "folder" });
    this.name = el("span", {});
    this.size = el("td", { class: "num" });
    this.fill = el("span", { class: "fill" });
    this.part = el("span", { class: "num" });
    this.select = el("select", { class: "select" }, ...PRIORITIES.map(([v, text]) => el("option", { value: v }, text)));
    this.select.addEventListener("change", () => set(this.file.index, this.select.value));
    const done = el("div", { class: "progress-cell" }, el("span", { class: "bar-track", "aria-hidden": "true" }, this.fill), this.part);
    this.node = el("tr", {}, el("th", { scope: "row" }, this.folder, this.name), this.size, el("td", { class: "done-cell" }, done), el("td", {}, this.select));
  }

  /** @param {FileRow} file @param {string | undefined} asked */
  show(file, asked) {
    this.file = file;
    const cut = file.path.lastIndexOf("/") + 1;
    setText(this.folder, file.path.slice(0, cut));
    setText(this.name, file.path.slice(cut));
    setText(this.size, format.bytes(file.size));
    const part = file.size > 0 ? Math.min(1, file.held / file.size) : 1;
    this.fill.style.width = `${(part * 100).toFixed(2)}%`;
    setText(this.part, format.percent(part));
    setAttribute(this.select, "aria-label", `Priority of ${file.path}`);
    const priority = asked ?? file.priority;
    if (this.select.value !== priority && document.activeElement !== this.select) this.select.value = priority;
    setAttribute(this.node, "data-skip", priority === "skip" ? "yes" : null);
  }
}
