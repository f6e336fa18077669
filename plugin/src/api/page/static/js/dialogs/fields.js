/** Fields of forms: a label, a control, and what it means; and numbers with units. */

import { el, uniqueId } from "../core/dom.js";

/**
 * @param {string} label @param {HTMLElement} control an input, select or textarea, or what is around one
 * @param {string} [hint]
 */
export function field(label, control, hint) {
  const input = control.matches("input, select, textarea") ? control : control.querySelector("input, select, textarea");
  const id = uniqueId("field");
  if (input) input.id = id;
  const note = hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  if (note && input) input.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { for: id }, label), control, note);
}

/** @param {string} label @param {boolean} checked @param {string} [hint] */
export function check(label, checked, hint) {
  const input = el("input", { type: "checkbox", checked });
  const text = hint ? el("span", {}, label, el("br"), el("span", { class: "hint" }, hint)) : el("span", {}, label);
  return { input, node: el("label", { class: "check" }, input, text) };
}

/** @param {[string, string][]} options value and text @param {string} value */
export function select(options, value) {
  const node = el("select", { class: "select" }, ...options.map(([v, text]) => el("option", { value: v }, text)));
  node.value = value;
  return node;
}

/** @type {[string, number][]} */
const RATES = [
  ["KiB/s", 1024],
  ["MiB/s", 1024 ** 2],
  ["GiB/s", 1024 ** 3],
];

/** @type {[string, number][]} */
const TIMES = [
  ["min", 60],
  ["h", 3600],
  ["d", 86400],
];

/** A number of bytes a second, or none. @param {number | null} value @param {string} [none] */
export function rateInput(value, none = "no limit") {
  return measured(value, RATES, none);
}

/** A number of seconds, or none. @param {number | null} value @param {string} [none] */
export function timeInput(value, none = "no limit") {
  return measured(value, TIMES, none);
}

/**
 * A plain number, or none.
 * @param {number | null} value @param {{none?: string, step?: string, min?: number, max?: number}} [how]
 */
export function numberInput(value, how = {}) {
  const input = el("input", {
    class: "input",
    type: "number",
    inputmode: how.step ? "decimal" : "numeric",
    min: how.min ?? 0,
    max: how.max,
    step: how.step ?? "1",
    placeholder: how.none ?? "",
    value: value === null ? "" : String(value),
  });
  return { node: input, input, read: () => readNumber(input, how.none !== undefined) };
}

/** Minutes after midnight. @param {number} minutes */
export function clockInput(minutes) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const input = el("input", { class: "input", type: "time", value: `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}` });
  return {
    node: input,
    input,
    read: () => {
      const found = /^(\d\d):(\d\d)/.exec(input.value);
      if (!found) throw invalid(input, "a time is hours and minutes");
      return Number(found[1]) * 60 + Number(found[2]);
    },
  };
}

/** @param {HTMLElement} input @param {string} message */
export function invalid(input, message) {
  input.setAttribute("aria-invalid", "true");
  input.focus();
  input.addEventListener("input", () => input.removeAttribute("aria-invalid"), { once: true });
  return new Error(message);
}

/**
 * @param {number | null} value @param {[string, number][]} units @param {string} none what an empty field stands for
 * @returns {{node: HTMLElement, input: HTMLInputElement, read: () => number | null}}
 */
function measured(value, units, none) {
  const fits = [...units].reverse().find(([, size]) => value !== null && value >= size && value % (size / 4) === 0);
  const [name, size] = fits ?? units[0];
  const input = el("input", {
    class: "input",
    type: "number",
    inputmode: "decimal",
    min: 0,
    step: "any",
    placeholder: none,
    value: value === null ? "" : String(Number((value / size).toFixed(3))),
  });
  const unit = el("select", { class: "select", "aria-label": "Unit" }, ...units.map(([u]) => el("option", { value: u }, u)));
  unit.value = name;
  return {
    node: el("div", { class: "with-unit" }, input, unit),
    input,
    read: () => {
      const n = readNumber(input, true);
      const each = units.find(([u]) => u === unit.value)?.[1] ?? 1;
      return n === null ? null : Math.round(n * each);
    },
  };
}

/** @param {HTMLInputElement} input @param {boolean} optional @returns {number | null} */
function readNumber(input, optional) {
  if (input.value === "" && !input.validity.badInput && optional) return null;
  const value = input.valueAsNumber;
  if (!Number.isFinite(value) || value < 0) throw invalid(input, "a number that is not negative is needed");
  const max = Number(input.max);
  if (input.max !== "" && value > max) throw invalid(input, `${max} is the most`);
  if (input.step === "1" && !Number.isInteger(value)) throw invalid(input, "a whole number is needed");
  return value;
}
