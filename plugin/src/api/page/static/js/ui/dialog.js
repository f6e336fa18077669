/**
 * Dialogs. The browser's own `<dialog>` keeps the focus inside and ends at Escape; this gives it a head, a form, and
 * puts the focus back where it was.
 */

import { el, icon, setText, uniqueId } from "../core/dom.js";

/**
 * @typedef {object} Asked
 * @property {string} title
 * @property {import("../core/dom.js").Child[]} body
 * @property {string} [confirm] the word on the button that does it; none: the dialog only shows
 * @property {boolean} [danger]
 * @property {() => Promise<void> | void} [act] what the button does; the dialog stays, and says why, when it throws
 * @property {HTMLElement | null} [focus] what has the focus first
 */

/**
 * Shows a dialog.
 * @param {Asked} asked
 * @returns {{close: () => void, closed: Promise<void>}}
 */
export function dialog(asked) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const titleId = uniqueId("dialog");
  const fault = el("p", { class: "fault", role: "alert" });
  const shut = el("button", { class: "button quiet square", type: "button", "aria-label": "Close" }, icon("close"));
  const cancel = el("button", { class: "button", type: "button" }, asked.confirm ? "Cancel" : "Close");
  const confirm = asked.confirm
    ? el("button", { class: asked.danger ? "button danger" : "button primary", type: "submit" }, asked.confirm)
    : null;
  const form = el(
    "form",
    { method: "dialog", novalidate: true },
    el("header", { class: "dialog-head" }, el("h2", { id: titleId }, asked.title), shut),
    el("div", { class: "dialog-body" }, ...asked.body, fault),
    el("footer", { class: "dialog-foot" }, cancel, confirm),
  );
  const box = el("dialog", { class: "dialog", "aria-labelledby": titleId }, form);
  const close = () => box.close();
  shut.addEventListener("click", close);
  cancel.addEventListener("click", close);
  // a press that begins and ends beside the dialog
  let outside = false;
  box.addEventListener("pointerdown", (e) => {
    outside = e.target === box;
  });
  box.addEventListener("click", (e) => {
    if (outside && e.target === box) close();
  });
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    void submit(asked, confirm, fault, close);
  });
  const closed = new Promise((/** @type {(v: void) => void} */ done) => {
    box.addEventListener("close", () => {
      box.remove();
      if (before?.isConnected) before.focus();
      done();
    });
  });
  document.body.append(box);
  box.showModal();
  (asked.focus ?? confirm ?? cancel).focus();
  return { close, closed };
}

/** Whether a dialog is open: shortcuts of the page do nothing then. */
export function dialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

/**
 * @param {Asked} asked @param {HTMLButtonElement | null} confirm @param {HTMLElement} fault @param {() => void} close
 */
async function submit(asked, confirm, fault, close) {
  if (!asked.act) {
    close();
    return;
  }
  if (confirm?.disabled) return;
  setText(fault, "");
  if (confirm) confirm.disabled = true;
  try {
    await asked.act();
    close();
  } catch (error) {
    setText(fault, error instanceof Error ? error.message : String(error));
  } finally {
    if (confirm) confirm.disabled = false;
  }
}
