/** What can be done with torrents, one or many, from the list and from a torrent's own page. */

import { patch, post, remove as removeRequest } from "../core/api.js";
import { count } from "../core/format.js";
import { announce, complain } from "../ui/toast.js";

/** Requests under way at a time: a thousand chosen torrents shall not fill the daemon's connections. */
const AT_ONCE = 4;

/** @typedef {import("../core/model.js").Torrent} Torrent */

/** @param {string} hash */
export const path = (hash) => `/torrents/${hash}`;

/** @param {Torrent[]} torrents @param {boolean} [now] whatever the queue says */
export function start(torrents, now = false) {
  return each(torrents, "Started", (t) => post(`${path(t.hash)}/start`, { now }));
}

/** @param {Torrent[]} torrents */
export function pause(torrents) {
  return each(torrents, "Paused", (t) => post(`${path(t.hash)}/pause`));
}

/** @param {Torrent[]} torrents */
export function verify(torrents) {
  return each(torrents, "To be verified:", (t) => post(`${path(t.hash)}/verify`));
}

/** @param {Torrent[]} torrents */
export function reannounce(torrents) {
  return each(torrents, "Trackers are asked for", (t) => post(`${path(t.hash)}/reannounce`));
}

/** @param {Torrent[]} torrents @param {"top" | "up" | "down" | "bottom"} to @param {number} all torrents in the queue */
export function queue(torrents, to, all) {
  // towards the beginning the first goes first, so that they keep their order
  let order = [...torrents].sort((a, b) => a.queue_position - b.queue_position);
  if (to === "top" || to === "down") order.reverse();
  // those that are at the end already stay: the next one would change places with them
  if (to === "up") order = order.filter((t, i) => t.queue_position !== i);
  if (to === "down") order = order.filter((t, i) => t.queue_position !== all - 1 - i);
  return each(order, "Moved in the queue:", (t) => post(`${path(t.hash)}/queue`, { to }), 1);
}

/** @param {Torrent[]} torrents @param {boolean} data */
export function remove(torrents, data) {
  const query = data ? "?data=true" : "";
  return each(torrents, data ? "Removed with data:" : "Removed", (t) => removeRequest(path(t.hash) + query));
}

/** @param {Torrent[]} torrents @param {Record<string, unknown> | ((t: Torrent) => Record<string, unknown>)} change the same of all, or each its own */
export function change(torrents, change) {
  const of = typeof change === "function" ? change : () => change;
  return each(torrents, "Changed", (t) => patch(path(t.hash), of(t)));
}

/** @param {Torrent[]} torrents @param {string} dir @param {boolean} moveData */
export function relocate(torrents, dir, moveData) {
  const body = { dir, move: moveData };
  return each(torrents, "Moving", (t) => post(`${path(t.hash)}/relocate`, body));
}

/**
 * Does something with each, a few at a time; says what it was, and what went wrong.
 * @param {Torrent[]} torrents @param {string} done @param {(t: Torrent) => Promise<unknown>} act @param {number} [atOnce]
 * @returns {Promise<boolean>} whether all went well
 */
async function each(torrents, done, act, atOnce = AT_ONCE) {
  const left = [...torrents];
  /** @type {{torrent: Torrent, error: unknown}[]} */
  const failed = [];
  const worker = async () => {
    for (let t = left.shift(); t !== undefined; t = left.shift()) {
      try {
        await act(t);
      } catch (error) {
        failed.push({ torrent: t, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, torrents.length) }, worker));
  const what = torrents.length === 1 ? torrents[0].name : count(torrents.length, "torrent");
  if (failed.length === 0) announce(`${done} ${what}`);
  else if (failed.length === 1) complain(failed[0].error, failed[0].torrent.name);
  else complain(failed[0].error, `${count(failed.length, "torrent")} of ${torrents.length} refused; the first`);
  return failed.length === 0;
}
