/** Files, and links, that are dropped anywhere on the page. */

import { el } from "../core/dom.js";
import { dialogOpen } from "./dialog.js";

/** @param {(given: {files: File[], text: string}) => void} dropped */
export function listenForDrops(dropped) {
  const cover = el("div", { class: "drop", hidden: true, "aria-hidden": "true" }, "Drop to add");
  document.body.append(cover);
  let depth = 0; // leaving one element is entering another
  const shut = () => {
    depth = 0;
    cover.hidden = true;
  };
  document.addEventListener("dragenter", (e) => {
    if (!carries(e)) return;
    depth += 1;
    cover.hidden = false;
  });
  document.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) shut();
  });
  document.addEventListener("dragover", (e) => {
    if (carries(e)) e.preventDefault();
  });
  document.addEventListener("drop", (e) => {
    if (!carries(e)) return;
    e.preventDefault();
    shut();
    if (dialogOpen()) return;
    const files = [...(e.dataTransfer?.files ?? [])];
    const text = files.length > 0 ? "" : (e.dataTransfer?.getData("text/uri-list") || e.dataTransfer?.getData("text/plain") || "");
    dropped({ files, text: text.trim() });
  });
}

/** @param {DragEvent} e */
function carries(e) {
  const types = e.dataTransfer?.types ?? [];
  return types.includes("Files") || types.includes("text/uri-list");
}
