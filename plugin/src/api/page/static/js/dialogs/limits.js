/** Limits of torrents: rates, connections, when seeding ends. */

import { el } from "../core/dom.js";
import * as actions from "../list/actions.js";
import { dialog } from "../ui/dialog.js";
import { check, field, numberInput, rateInput, select, timeInput } from "./fields.js";

/** @typedef {import("../core/model.js").Torrent} Torrent */

/**
 * Of several torrents the first one's are shown; only what is touched is changed, in all.
 * @param {Torrent[]} torrents
 */
export function limitsDialog(torrents) {
  if (torrents.length === 0) return;
  const first = torrents[0];
  const down = rateInput(first.download_limit);
  const up = rateInput(first.upload_limit);
  const session = check("The rates of all torrents hold for this one too", first.session_limits);
  const peers = numberInput(first.max_peers, { min: 1, max: 65535 });
  const ratio = limit(first.seed_ratio, (v) => numberInput(v, { step: "any" }));
  const idle = limit(first.seed_idle_seconds, (v) => timeInput(v, ""));
  const time = limit(first.seed_time_seconds, (v) => timeInput(v, ""));
  /** @type {Record<string, {node: HTMLElement, read: () => unknown}>} */
  const fields = {
    download_limit: down,
    upload_limit: up,
    session_limits: { node: session.node, read: () => session.input.checked },
    max_peers: peers,
    seed_ratio: ratio,
    seed_idle_seconds: idle,
    seed_time_seconds: time,
  };
  const touched = new Set();
  for (const [name, { node }] of Object.entries(fields)) node.addEventListener("input", () => touched.add(name));
  dialog({
    title: torrents.length === 1 ? "Limits" : `Limits of ${torrents.length} torrents`,
    confirm: "Save",
    focus: down.input,
    body: [
      torrents.length > 1 ? el("p", { class: "hint" }, "What is shown is the first one's. What you do not touch stays as it is in each.") : null,
      el("div", { class: "two-fields" }, field("Down", down.node), field("Up", up.node)),
      session.node,
      field("Connections", peers.node),
      field("Seeding ends at a ratio", ratio.node),
      field("Seeding ends when nobody has fetched for", idle.node),
      field("Seeding ends after", time.node),
    ],
    act: async () => {
      const change = Object.fromEntries(Object.keys(fields).filter((name) => touched.has(name)).map((name) => [name, fields[name].read()]));
      if (touched.size > 0) await actions.change(torrents, change);
    },
  });
}

/**
 * A limit of a torrent's own, that of all, or none.
 * @param {import("../core/model.js").Limit} value
 * @param {(v: number | null) => {node: HTMLElement, input: HTMLInputElement, read: () => number | null}} make
 */
function limit(value, make) {
  const own = typeof value === "number" ? value : null;
  const kind = select(
    [
      ["session", "as for all torrents"],
      ["own", "its own:"],
      ["unlimited", "never"],
    ],
    typeof value === "number" ? "own" : value,
  );
  const number = make(own);
  number.input.setAttribute("aria-label", "Its own limit");
  const show = () => {
    number.node.hidden = kind.value !== "own";
  };
  kind.addEventListener("change", () => {
    show();
    if (kind.value === "own") number.input.focus();
  });
  show();
  return {
    node: el("div", { class: "with-unit limit" }, kind, number.node),
    /** @returns {import("../core/model.js").Limit} */
    read: () => {
      if (kind.value !== "own") return /** @type {"session" | "unlimited"} */ (kind.value);
      return number.read() ?? "unlimited";
    },
  };
}
