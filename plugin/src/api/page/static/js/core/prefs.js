/** What this browser remembers of its user: theme, order, filters. Works without storage too. */

const PREFIX = "chunkcast.";

/**
 * @param {string} name @returns {any} what was remembered, which another version may have written; `null`: nothing
 */
export function recall(name) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? null : JSON.parse(text);
  } catch {
    return null; // no storage, or something else wrote there
  }
}

/** @param {string} name @param {unknown} value */
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // private windows and full storage: it holds until the page is closed
  }
}
