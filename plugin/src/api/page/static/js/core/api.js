/** Asks the daemon. What it says is described by `/api/v1/openapi.json`. */

const ROOT = "/api/v1";
/** A daemon that is there answers sooner; a trace may go through many index nodes. */
const PATIENCE_MS = 30_000;

/** What the daemon said no to, in its words. */
export class Refused extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.name = "Refused";
    this.status = status;
  }
}

/** There was no answer. */
export class Unreachable extends Error {
  constructor() {
    super("the daemon does not answer");
    this.name = "Unreachable";
  }
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export function get(path, signal) {
  return ask("GET", path, undefined, signal);
}

/** @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export function post(path, body) {
  return ask("POST", path, body);
}

/** @param {string} path @param {unknown} body @returns {Promise<any>} */
export function patch(path, body) {
  return ask("PATCH", path, body);
}

/** @param {string} path @returns {Promise<any>} */
export function remove(path) {
  return ask("DELETE", path);
}

/** Events as they happen. @returns {EventSource} */
export function events() {
  return new EventSource(`${ROOT}/events`);
}

/**
 * @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function ask(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = { "X-Chunkcast": "1", Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const late = AbortSignal.timeout(PATIENCE_MS);
  let response;
  let text;
  try {
    response = await fetch(ROOT + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, late]) : late,
      cache: "no-store",
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable();
  }
  const value = parsed(text);
  if (!response.ok) throw new Refused(value?.error ?? `${response.status} ${response.statusText}`, response.status);
  return value;
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // an empty answer, or one of a proxy on the way
  }
}
