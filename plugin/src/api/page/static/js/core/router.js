/** Which view the address asks for: what follows `#/`, so that links, history and bookmarks work. */

/**
 * @typedef {{view: string, hash?: string, tab?: string}} Place
 */

const VIEWS = ["torrents", "traffic", "directory", "settings"];

/**
 * @param {string} fragment with its `#`
 * @returns {Place}
 */
export function parse(fragment) {
  const [view, hash, tab] = fragment.replace(/^#\/?/, "").split("/");
  if (view === "torrent" && /^[0-9a-f]{40}$/.test(hash ?? "")) return { view, hash, tab: tab || "pieces" };
  return { view: VIEWS.includes(view) ? view : "torrents" };
}

/** @param {Place} place */
export function href(place) {
  if (place.view === "torrent") return `#/torrent/${place.hash}/${place.tab ?? "pieces"}`;
  return `#/${place.view}`;
}

/** @param {Place} place @param {{replace?: boolean}} [how] */
export function go(place, how = {}) {
  if (how.replace) location.replace(href(place));
  else location.hash = href(place);
}
