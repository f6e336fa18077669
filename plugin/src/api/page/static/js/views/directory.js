/** What our own index node looks like inside: its role, its place in the ring, whom it knows, what it holds. */

import { get } from "../core/api.js";
import { el, replace, setText, svg } from "../core/dom.js";
import * as format from "../core/format.js";
import { every } from "../core/repeat.js";
import { place } from "./ring.js";

const EVERY_MS = 3000;
const OBJECTS = 12;

/** @typedef {import("../core/model.js").Index} Index */

export class DirectoryView {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.body = el("div", { class: "directory" }, el("div", { class: "skeleton tall", "aria-hidden": "true" }));
    root.replaceChildren(el("div", { class: "page" }, el("div", { class: "page-head" }, el("h1", {}, "The directory, from our index node")), this.body));
    this.fetching = every(EVERY_MS, (signal) => this.fetch(signal));
  }

  destroy() {
    this.fetching.end();
  }

  /** @param {AbortSignal} signal */
  async fetch(signal) {
    if (marking(this.body)) return;
    try {
      const index = await get("/directory", signal);
      replace(this.body, ...show(index));
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      replace(this.body, el("div", { class: "card empty small" }, el("h2", {}, "No index node to look at"), el("p", {}, why)));
    }
  }
}

/** Whether somebody has marked text there to copy it. @param {Node} node */
function marking(node) {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && node.contains(selection.anchorNode);
}

/** @param {Index} index */
function show(index) {
  return [
    card("This node", facts(index)),
    card("The ring", ring(index), el("p", { class: "hint" }, "Ids run clockwise from 0 at the top. Large: this node; filled: its ring neighbours (leaf set); small: other contacts of the routing table.")),
    card("Lookups by hops", hops(index.counters)),
    card("Ring neighbours", contacts(index.leaves)),
    card("Routing table", slots(index.slots ?? [])),
    card("Entries that it holds", held(index)),
    card("Thrown away", drops(index.counters.drops ?? {})),
  ];
}

/** @param {string} title @param {import("../core/dom.js").Child[]} children */
function card(title, ...children) {
  return el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, title)), el("div", { class: "card-body" }, ...children));
}

/** @param {Index} index */
function facts(index) {
  const joined = !index.joined ? "not in a ring yet" : index.home ? `in a ring, asking through ${index.home.addr}` : "in the ring";
  const c = index.coord;
  /** @type {[string, string][]} */
  const rows = [
    ["Role", `${index.index ? "index node" : "client"} (${index.role}); ${joined}`],
    ["Id", index.id],
    ["Listens on", index.listen],
    ["Seen by others as", index.observed ?? "not known yet"],
    ["Coordinate", `(${c.position.map((v) => (v * 1e3).toFixed(1)).join(", ")}) + ${(c.height * 1e3).toFixed(1)} ms, error ${(c.error * 100).toFixed(0)} %`],
    ["Nearest node", index.nearest_rtt_us == null ? format.UNKNOWN : format.milliseconds(index.nearest_rtt_us / 1e3)],
    ["Knows", `${format.count(index.peers, "node")}, ${format.integer(index.suspects)} silent`],
    ["Publishes", format.count(index.publications, "torrent")],
    ["Holds", `${format.count(index.entries, "entry", "entries")} of ${format.count(index.objects, "torrent")}, ${format.bytes(index.cache_bytes)}`],
    ["Under way", `${format.count(index.pending, "request")} of its own, ${format.integer(index.routed)} passed on`],
  ];
  return el("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** @param {Index} index */
function ring(index) {
  const leaves = new Set(index.leaves.map((p) => p.id));
  const others = (index.slots ?? []).flatMap((s) => s.contacts).filter((p) => !leaves.has(p.id));
  const at = (/** @type {string} */ id) => {
    const [x, y] = place(id);
    return { cx: (x * 84).toFixed(2), cy: (y * 84).toFixed(2) };
  };
  const dot = (/** @type {import("../core/model.js").Contact} */ p, /** @type {string} */ kind, /** @type {number} */ r) =>
    svg("circle", { class: `node ${kind}${p.suspect ? " silent" : ""}`, r, ...at(p.id) }, svg("title", {}, `${format.short(p.id, 12)} ${p.addr} ${time(p)}`));
  return svg(
    "svg",
    { class: "ring", viewBox: "-100 -100 200 200", role: "img", "aria-label": `The ring: this node, ${index.leaves.length} ring neighbours, ${others.length} other contacts` },
    svg("circle", { class: "circle", r: 84 }),
    ...[0, 4, 8, 12].map((digit) => {
      const [x, y] = place(digit.toString(16));
      return svg("text", { class: "axis-text", x: x * 95, y: y * 95 + 3, "text-anchor": "middle" }, `${digit.toString(16)}…`);
    }),
    ...others.map((p) => dot(p, "other", 2.2)),
    ...index.leaves.map((p) => dot(p, "leaf", 3.4)),
    svg("circle", { class: "node own", r: 6, ...at(index.id) }),
  );
}

/** @param {import("../core/model.js").Contact} p */
function time(p) {
  return p.rtt_us == null ? `≈ ${format.milliseconds(p.predicted_us / 1e3)}` : format.milliseconds(p.rtt_us / 1e3);
}

/** @param {Index["counters"]} counters */
function hops(counters) {
  const rows = Object.entries(counters.lookup_hops ?? {}).map(([hops, n]) => ({ label: `${hops}`, n }));
  const most = Math.max(1, counters.lookup_timeouts, ...rows.map((r) => r.n));
  if (counters.lookup_timeouts > 0) rows.push({ label: "none", n: counters.lookup_timeouts });
  if (rows.length === 0) return el("p", { class: "hint" }, "Nothing was asked yet.");
  const bars = rows.map(({ label, n }) => {
    const bar = el("i", {});
    bar.style.width = `${(n / most) * 100}%`;
    return el("tr", {}, el("th", { scope: "row", class: "num" }, label), el("td", { class: "bar-cell" }, bar), el("td", { class: "num" }, format.integer(n)));
  });
  const answered = `It answered ${format.count(counters.lookups_answered, "question")} itself: ${format.integer(counters.lookups_answered_as_root)} as the root, ${format.integer(counters.lookups_answered_cached)} with what it had passed on before.`;
  return el("div", { class: "stacked" }, el("table", { class: "bars" }, el("caption", { class: "hint" }, "Index nodes passed until there was an answer"), el("tbody", {}, ...bars)), el("p", { class: "hint" }, answered));
}

/** @param {import("../core/model.js").Contact[]} all */
function contacts(all) {
  if (all.length === 0) return el("p", { class: "hint" }, "None: it is alone, or a client of another node.");
  const rows = all.map((p) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", class: "mono", title: p.id }, format.short(p.id, 12)),
      el("td", { class: "mono", data: { label: "Address" } }, p.addr),
      el("td", { class: "num", data: { label: "RTT" } }, p.rtt_us == null ? format.UNKNOWN : format.milliseconds(p.rtt_us / 1e3)),
      el("td", { class: "num", data: { label: "Predicted" } }, format.milliseconds(p.predicted_us / 1e3)),
    ),
  );
  const head = ["Id", "Address", "RTT", "Predicted"].map((name, i) => el("th", { scope: "col", class: i > 1 ? "num" : "" }, name));
  return el("table", { class: "data cards inset" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

/** The routing table: a row for each number of shared digits, a column for each next digit. @param {Index["slots"]} all */
function slots(all) {
  if (all.length === 0) return el("p", { class: "hint" }, "Empty: nobody far around the ring is known.");
  const rows = [...new Set(all.map((s) => s.row))].sort((a, b) => a - b);
  const digits = Array.from({ length: 16 }, (_, i) => i);
  const cell = (/** @type {number} */ row, /** @type {number} */ column) => {
    const slot = all.find((s) => s.row === row && s.column === column);
    if (!slot) return el("td", {});
    const [first] = slot.contacts;
    const words = `${format.count(slot.contacts.length, "contact")}; ${first.addr}, ${time(first)}`;
    return el("td", { class: "filled", title: words }, el("span", { "aria-label": words }, String(slot.contacts.length)));
  };
  return el(
    "div",
    { class: "scroll-x" },
    el(
      "table",
      { class: "slots" },
      el("caption", { class: "hint" }, "Contacts by digits shared with its id (down) and the next digit (across)"),
      el("thead", {}, el("tr", {}, el("td", {}), ...digits.map((d) => el("th", { scope: "col" }, d.toString(16))))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, el("th", { scope: "row" }, String(row)), ...digits.map((d) => cell(row, d))))),
    ),
  );
}

/** @param {Index} index */
function held(index) {
  const all = Object.entries(index.held ?? {}).sort((a, b) => b[1] - a[1]);
  if (all.length === 0) return el("p", { class: "hint" }, "None yet.");
  const rows = all.slice(0, OBJECTS).map(([object, n]) => el("tr", {}, el("th", { scope: "row", class: "mono", title: object }, format.short(object, 16)), el("td", { class: "num" }, format.count(n, "peer"))));
  const more = all.length > OBJECTS ? el("p", { class: "hint" }, `and ${format.count(all.length - OBJECTS, "torrent")} more`) : null;
  return el("div", {}, el("table", { class: "data inset" }, el("tbody", {}, ...rows)), more);
}

/** @param {Record<string, number>} reasons */
function drops(reasons) {
  const all = Object.entries(reasons).sort((a, b) => b[1] - a[1]);
  if (all.length === 0) return el("p", { class: "hint" }, "Nothing.");
  const list = el("dl", { class: "facts" });
  for (const [reason, n] of all) {
    const name = el("dt", {});
    setText(name, reason.replaceAll("_", " "));
    list.append(name, el("dd", {}, format.integer(n)));
  }
  return list;
}
