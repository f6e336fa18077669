/** What can be added: magnet links, infohashes and URLs out of text; files. Pure but for reading files. */

/** The most that the daemon takes. */
export const FILE_LIMIT = 10 << 20;

/**
 * The lines of a text, each a source or a fault.
 * @param {string} text
 * @returns {{sources: string[], faults: string[]}}
 */
export function sourcesIn(text) {
  const sources = [];
  const faults = [];
  for (const line of text.split(/\s+/).filter(Boolean)) {
    if (isSource(line)) sources.push(line);
    else faults.push(line);
  }
  return { sources: [...new Set(sources)], faults };
}

/** @param {string} word */
export function isSource(word) {
  return /^magnet:\?/i.test(word) || /^https?:\/\/[^/]/i.test(word) || /^[0-9a-f]{40}$/i.test(word);
}

/** @param {Blob} file @returns {Promise<string>} base64 */
export async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  const part = 0x8000; // arguments of a call are limited
  for (let i = 0; i < bytes.length; i += part) text += String.fromCharCode(...bytes.subarray(i, i + part));
  return btoa(text);
}

/** The labels of a text with commas. @param {string} text @returns {string[]} */
export function labelsIn(text) {
  return [...new Set(text.split(",").map((word) => word.trim()).filter(Boolean))];
}
