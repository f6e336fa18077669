/** What can be done with torrents beside starting, pausing and removing them: the items of a menu. */

import { labelsDialog, moveDialog } from "../dialogs/place.js";
import { limitsDialog } from "../dialogs/limits.js";
import * as actions from "./actions.js";

/**
 * @param {import("../core/model.js").Torrent[]} chosen @param {import("../core/store.js").Store} store
 * @returns {import("../ui/menu.js").Item[]}
 */
export function moreItems(chosen, store) {
  return [
    { label: "Start now", icon: "start", act: () => void actions.start(chosen, true) },
    { label: "Verify", icon: "verify", act: () => void actions.verify(chosen) },
    { label: "Ask trackers again", icon: "announce", act: () => void actions.reannounce(chosen) },
    null,
    { label: "Limits…", icon: "limits", act: () => limitsDialog(chosen) },
    { label: "Labels…", icon: "label", act: () => labelsDialog(chosen, store) },
    { label: "Move data…", icon: "folder", act: () => moveDialog(chosen) },
    null,
    { label: "First in the queue", icon: "top", act: () => void actions.queue(chosen, "top", store.torrents.size) },
    { label: "Up in the queue", icon: "up", act: () => void actions.queue(chosen, "up", store.torrents.size) },
    { label: "Down in the queue", icon: "down", act: () => void actions.queue(chosen, "down", store.torrents.size) },
    { label: "Last in the queue", icon: "bottom", act: () => void actions.queue(chosen, "bottom", store.torrents.size) },
  ];
}
