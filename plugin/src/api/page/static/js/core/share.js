/** Where bytes came from and went to: near peers, far peers, web seeds. Pure. */

/**
 * @typedef {{near_down: number, near_up: number, far_down: number, far_up: number, web_down: number}} ByDistance
 */

/** @returns {ByDistance} */
export function nothing() {
  return { near_down: 0, near_up: 0, far_down: 0, far_up: 0, web_down: 0 };
}

/**
 * Parts of what came in; of what went out where nothing came in (a seed).
 * @param {ByDistance | undefined} moved
 * @returns {{near: number, far: number, web: number, of: "down" | "up"} | null} parts of 1; `null`: nothing was moved
 */
export function split(moved) {
  if (!moved) return null;
  const down = moved.near_down + moved.far_down + moved.web_down;
  if (down > 0) {
    return { near: moved.near_down / down, far: moved.far_down / down, web: moved.web_down / down, of: "down" };
  }
  const up = moved.near_up + moved.far_up;
  return up > 0 ? { near: moved.near_up / up, far: moved.far_up / up, web: 0, of: "up" } : null;
}

/**
 * The part of all bytes, both ways, that stayed near.
 * @param {ByDistance | undefined} moved
 * @returns {number | null}
 */
export function stayedNear(moved) {
  if (!moved) return null;
  const near = moved.near_down + moved.near_up;
  const all = near + moved.far_down + moved.far_up + moved.web_down;
  return all > 0 ? near / all : null;
}
