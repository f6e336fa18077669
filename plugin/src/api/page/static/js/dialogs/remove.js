/** Asks before torrents are removed. */

import { el } from "../core/dom.js";
import { bytes, count } from "../core/format.js";
import * as actions from "../list/actions.js";
import { dialog } from "../ui/dialog.js";
import { check } from "./fields.js";

/** Names that are shown; of more there is a number. */
const NAMES = 8;

/**
 * @param {import("../core/model.js").Torrent[]} torrents
 * @param {() => void} [removed]
 */
export function removeDialog(torrents, removed) {
  if (torrents.length === 0) return;
  const one = torrents.length === 1;
  const held = torrents.reduce((sum, t) => sum + t.held, 0);
  const data = check(`Delete the data too (${bytes(held)})`, false, "Files that were downloaded are deleted from the disk. This cannot be undone.");
  const names = torrents.slice(0, NAMES).map((t) => el("li", {}, t.name));
  if (torrents.length > NAMES) names.push(el("li", {}, `and ${count(torrents.length - NAMES, "other")}`));
  dialog({
    title: one ? "Remove this torrent?" : `Remove ${count(torrents.length, "torrent")}?`,
    confirm: "Remove",
    danger: true,
    body: [el("ul", { class: "names" }, ...names), data.node],
    focus: data.input,
    act: async () => {
      const done = await actions.remove(torrents, data.input.checked);
      if (done) removed?.();
    },
  });
}
