/** Orders and filters of the list. Pure. */

import { stayedNear } from "../core/share.js";

/** @typedef {import("../core/model.js").Torrent} Torrent */

/**
 * What a list can be ordered by. `jumpy` ones change every second by themselves.
 * @type {Record<string, {label: string, jumpy?: boolean, descending?: boolean, of: (t: Torrent) => number | string}>}
 */
export const ORDERS = {
  queue: { label: "Queue", of: (t) => t.queue_position },
  name: { label: "Name", of: (t) => t.name.toLowerCase() },
  state: { label: "State", of: (t) => (t.trouble?.stopped ? -1 : STATES.indexOf(t.state)) },
  progress: { label: "Progress", jumpy: true, of: (t) => progress(t) },
  down: { label: "Down", jumpy: true, descending: true, of: (t) => t.rate_down },
  up: { label: "Up", jumpy: true, descending: true, of: (t) => t.rate_up },
  eta: { label: "ETA", jumpy: true, of: (t) => t.eta_seconds ?? Infinity },
  near: { label: "Near", descending: true, of: (t) => stayedNear(t.by_distance) ?? -1 },
  peers: { label: "Peers", jumpy: true, descending: true, of: (t) => t.near + t.far },
  size: { label: "Size", descending: true, of: (t) => t.size },
  ratio: { label: "Ratio", descending: true, of: (t) => (t.downloaded > 0 ? t.uploaded / t.downloaded : -1) },
  added: { label: "Added", descending: true, of: (t) => t.added ?? 0 },
};

/** The states as the daemon names them, in the order in which a list sorts them. */
export const STATES = [
  "downloading",
  "metadata",
  "checking",
  "check_queued",
  "download_queued",
  "seeding",
  "seed_queued",
  "paused",
];

/** @type {Record<string, string>} */
const STATE_NAMES = {
  downloading: "Downloading",
  metadata: "Metadata",
  checking: "Checking",
  check_queued: "Check queued",
  download_queued: "Queued",
  seeding: "Seeding",
  seed_queued: "Queued",
  paused: "Paused",
};

/**
 * Kinds of torrents that the list can be narrowed to.
 * @type {Record<string, {label: string, holds: (t: Torrent) => boolean}>}
 */
export const FILTERS = {
  all: { label: "All", holds: () => true },
  active: { label: "Active", holds: (t) => t.rate_down > 0 || t.rate_up > 0 },
  downloading: {
    label: "Downloading",
    holds: (t) => ["downloading", "metadata", "download_queued"].includes(t.state),
  },
  seeding: { label: "Seeding", holds: (t) => ["seeding", "seed_queued"].includes(t.state) },
  paused: { label: "Paused", holds: (t) => t.state === "paused" },
  checking: { label: "Checking", holds: (t) => ["checking", "check_queued"].includes(t.state) },
  trouble: { label: "Trouble", holds: (t) => t.trouble !== null },
};

/** @param {Torrent} t @returns {number} 0 to 1: of the check while there is one, else of what is wanted */
export function progress(t) {
  if (t.state === "checking" && t.checked !== null) return t.checked;
  if (t.wanted > 0) return t.verified / t.wanted;
  return t.has_metadata ? 1 : 0;
}

/** @param {Torrent} t */
export function stateName(t) {
  if (t.moving !== null) return `Moving, ${Math.floor(t.moving * 100)} %`;
  if (t.trouble?.stopped) return "Stopped";
  if (t.state === "paused" && t.finished) return "Done";
  if (t.stalled && (t.state === "downloading" || t.state === "seeding")) {
    return t.state === "downloading" ? "Stalled" : "Seeding";
  }
  return STATE_NAMES[t.state] ?? t.state;
}

/** How a state is coloured. @param {Torrent} t */
export function stateKind(t) {
  if (t.trouble?.stopped) return "bad";
  if (t.state === "downloading" || t.state === "metadata") return t.stalled ? "idle" : "down";
  if (t.state === "seeding") return "seed";
  return t.state === "checking" ? "check" : "idle";
}

/**
 * @param {Iterable<Torrent>} torrents
 * @param {{filter: string, label: string | null, search: string, order: string, descending: boolean}} how
 * @returns {Torrent[]}
 */
export function arrange(torrents, how) {
  const filter = FILTERS[how.filter] ?? FILTERS.all;
  const words = how.search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = [];
  for (const t of torrents) {
    if (!filter.holds(t)) continue;
    if (how.label !== null && !t.labels.includes(how.label)) continue;
    if (words.length > 0 && !matches(t, words)) continue;
    shown.push(t);
  }
  const { of } = ORDERS[how.order] ?? ORDERS.queue;
  const sign = how.descending ? -1 : 1;
  const keyed = shown.map((t) => ({ t, key: of(t) }));
  keyed.sort((a, b) => {
    if (a.key < b.key) return -sign;
    if (a.key > b.key) return sign;
    return a.t.queue_position - b.t.queue_position || (a.t.hash < b.t.hash ? -1 : 1);
  });
  return keyed.map((k) => k.t);
}

/** How many torrents each filter and each label has. @param {Iterable<Torrent>} torrents */
export function tally(torrents) {
  /** @type {Record<string, number>} */
  const filters = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, 0]));
  /** @type {Map<string, number>} */
  const labels = new Map();
  for (const t of torrents) {
    for (const [name, filter] of Object.entries(FILTERS)) if (filter.holds(t)) filters[name] += 1;
    for (const label of t.labels) labels.set(label, (labels.get(label) ?? 0) + 1);
  }
  return { filters, labels: [...labels].sort((a, b) => (a[0] < b[0] ? -1 : 1)) };
}

/** @param {Torrent} t @param {string[]} words */
function matches(t, words) {
  const text = `${t.name} ${t.labels.join(" ")} ${t.hash}`.toLowerCase();
  return words.every((word) => text.includes(word));
}
