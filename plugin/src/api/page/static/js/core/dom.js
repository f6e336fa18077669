/** Elements made in code. Text is only ever text: nothing here parses HTML, so no name can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, any>} Props `class`, `on` (handlers by event), `data` (data attributes), attributes, and
 *   properties of the element where it has one of that name and it is no attribute (`value`, `checked`, `disabled`)
 */

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "indeterminate", "multiple", "required", "htmlFor", "tabIndex"]);

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Props} [props] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (PROPERTIES.has(name)) /** @type {any} */ (node)[name] = value;
    else if (value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  fill(node, children);
  return node;
}

/** @param {string} tag @param {Record<string, string | number>} [attributes] @param {Child[]} children */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  fill(node, children);
  return node;
}

/** One of the pictures in index.html, for the eye alone. @param {string} name */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#icon-${name}` }));
}

/** Puts `children` in the place of what is in `node`. @param {Element} node @param {Child[]} children */
export function replace(node, ...children) {
  node.replaceChildren();
  fill(node, children);
}

/** Sets the text if it is another: an unchanged node costs no layout. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute if it is another. @param {Element} node @param {string} name @param {string | null} value */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

let ids = 0;
/** An id that no other element has. @param {string} prefix */
export function uniqueId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

/**
 * Calls `draw` with the size of `node` now and whenever it changes, once a frame at most.
 * @param {Element} node @param {() => void} draw
 * @returns {() => void} ends it
 */
export function onResize(node, draw) {
  let frame = 0;
  const observer = new ResizeObserver(() => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  });
  observer.observe(node);
  return () => {
    observer.disconnect();
    cancelAnimationFrame(frame);
  };
}

/** @param {Element} node @param {Child[]} children */
function fill(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}
