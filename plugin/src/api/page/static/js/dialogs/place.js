/** Labels of torrents, and where their data is. */

import { el } from "../core/dom.js";
import { labelsIn } from "../core/sources.js";
import * as actions from "../list/actions.js";
import { tally } from "../list/columns.js";
import { dialog } from "../ui/dialog.js";
import { check, field, invalid } from "./fields.js";

/** @typedef {import("../core/model.js").Torrent} Torrent */

/** @param {Torrent[]} torrents @param {import("../core/store.js").Store} store */
export function labelsDialog(torrents, store) {
  if (torrents.length === 0) return;
  // of several: those that all have
  const common = torrents[0].labels.filter((label) => torrents.every((t) => t.labels.includes(label)));
  const input = el("input", { class: "input", autocomplete: "off", value: common.join(", ") });
  const known = tally(store.torrents.values()).labels.map(([label]) => label);
  const hint = known.length > 0 ? `Apart by commas. In use: ${known.slice(0, 12).join(", ")}` : "Apart by commas.";
  dialog({
    title: torrents.length === 1 ? "Labels" : `Labels of ${torrents.length} torrents`,
    confirm: "Save",
    focus: input,
    body: [field("Labels", input, hint)],
    act: async () => {
      const wanted = labelsIn(input.value);
      const off = common.filter((label) => !wanted.includes(label));
      await actions.change(torrents, (t) => ({ labels: [...new Set([...t.labels.filter((label) => !off.includes(label)), ...wanted])] }));
    },
  });
}

/** @param {Torrent[]} torrents */
export function moveDialog(torrents) {
  if (torrents.length === 0) return;
  const dirs = new Set(torrents.map((t) => t.dir));
  const input = el("input", { class: "input", spellcheck: "false", autocomplete: "off", value: dirs.size === 1 ? torrents[0].dir : "" });
  const move = check("Move the data there", true, "Without this, the data is looked for there and verified.");
  dialog({
    title: torrents.length === 1 ? "Move data" : `Move the data of ${torrents.length} torrents`,
    confirm: "Move",
    focus: input,
    body: [field("Directory", input, "Below one of the directories that the daemon may use."), move.node],
    act: async () => {
      const dir = input.value.trim();
      if (!dir.startsWith("/")) throw invalid(input, "A directory begins with /");
      await actions.relocate(torrents, dir, move.input.checked);
    },
  });
}
