/** Places on the ring of ids. Pure. */

/**
 * @param {string} id hexadecimal, its first digits are enough
 * @returns {[number, number]} on a circle of radius 1, 0 at the top, clockwise, y downwards
 */
export function place(id) {
  const digits = id.slice(0, 12);
  const part = Number.parseInt(digits, 16) / 16 ** digits.length;
  const angle = part * 2 * Math.PI;
  return [Math.sin(angle), -Math.cos(angle)];
}
