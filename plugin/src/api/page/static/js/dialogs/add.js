/** Adds torrents: text with magnet links, infohashes and URLs, and .torrent files, chosen or dropped. */

import { post } from "../core/api.js";
import { el, icon, replace } from "../core/dom.js";
import { bytes, count } from "../core/format.js";
import { base64, FILE_LIMIT, labelsIn, sourcesIn } from "../core/sources.js";
import { dialog } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";
import { check, field } from "./fields.js";

/**
 * @param {import("../core/store.js").Store} store
 * @param {{text?: string, files?: File[]}} [given] what was dropped
 */
export function addDialog(store, given = {}) {
  const text = el("textarea", {
    class: "textarea",
    rows: 4,
    spellcheck: "false",
    placeholder: "magnet:?xt=urn:btih:…",
    value: given.text ?? "",
  });
  /** @type {File[]} */
  let files = [...(given.files ?? [])];
  const chosen = el("ul", { class: "file-list" });
  const picker = el("input", { type: "file", class: "visually-hidden", multiple: true, accept: ".torrent,application/x-bittorrent", "aria-label": ".torrent files" });
  const pick = el("button", { type: "button", class: "button" }, icon("file"), "Choose .torrent files…");
  pick.addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    files.push(...(picker.files ?? []));
    picker.value = "";
    showFiles();
  });
  const showFiles = () => {
    replace(
      chosen,
      ...files.map((file) => {
        const drop = el("button", { type: "button", class: "button quiet square", "aria-label": `Without ${file.name}` }, icon("close"));
        drop.addEventListener("click", () => {
          files = files.filter((f) => f !== file);
          showFiles();
          pick.focus();
        });
        return el("li", {}, el("span", { class: "grow" }, file.name), el("span", { class: "hint" }, bytes(file.size)), drop);
      }),
    );
  };
  showFiles();
  const dir = el("input", { class: "input", spellcheck: "false", placeholder: "the usual directory", autocomplete: "off" });
  const labels = el("input", { class: "input", placeholder: "linux, iso", autocomplete: "off" });
  const begin = check("Start at once", true);
  const { node: beginNode, input: beginInput } = begin;

  dialog({
    title: "Add torrents",
    confirm: "Add",
    focus: text,
    body: [
      field("Magnet links, URLs of .torrent files, or infohashes", text, "One a line. Files can also be dropped anywhere on the page."),
      el("div", {}, el("div", { class: "row" }, pick, picker), chosen),
      el("div", { class: "two-fields" }, field("Directory", dir), field("Labels", labels)),
      beginNode,
    ],
    act: async () => {
      const { sources, faults } = sourcesIn(text.value);
      if (faults.length > 0) throw new Error(`“${faults[0].slice(0, 80)}” is no magnet link, http(s) URL or infohash`);
      if (sources.length + files.length === 0) throw new Error("There is nothing to add yet");
      const options = { dir: dir.value.trim() || null, labels: labelsIn(labels.value), start: beginInput.checked };
      const left = await addAll(sources, files, options);
      files = left.files;
      text.value = left.sources.join("\n");
      showFiles();
      if (left.why !== null) throw new Error(left.why);
    },
  });
}

/**
 * Adds one after the other; what could not be added is left in the dialog.
 * @param {string[]} sources @param {File[]} files @param {{dir: string | null, labels: string[], start: boolean}} options
 * @returns {Promise<{sources: string[], files: File[], why: string | null}>}
 */
async function addAll(sources, files, options) {
  /** @type {{sources: string[], files: File[], why: string | null}} */
  const left = { sources: [], files: [], why: null };
  /** @type {string[]} */
  const added = [];
  /** @type {string[]} */
  const known = [];
  const more = { dir: options.dir ?? undefined, start: options.start, options: { labels: options.labels } };
  const one = async (/** @type {() => Promise<Record<string, string>>} */ make, /** @type {string} */ name, /** @type {() => void} */ keep) => {
    try {
      const answer = await post("/torrents", { ...(await make()), ...more });
      (answer.duplicate ? known : added).push(answer.name);
    } catch (error) {
      keep();
      left.why ??= `${name}: ${error instanceof Error ? error.message : error}`;
    }
  };
  for (const source of sources) {
    const kind = /^https?:/i.test(source) ? "url" : "magnet";
    await one(async () => ({ [kind]: source }), source.slice(0, 60), () => left.sources.push(source));
  }
  for (const file of files) {
    const read = async () => {
      if (file.size > FILE_LIMIT) throw new Error(`larger than ${bytes(FILE_LIMIT)}: this is no .torrent file`);
      return { torrent: await base64(file) };
    };
    await one(read, file.name, () => left.files.push(file));
  }
  if (added.length > 0) toast(added.length === 1 ? `Added ${added[0]}` : `Added ${count(added.length, "torrent")}`);
  if (known.length > 0) toast(known.length === 1 ? `${known[0]} was here already` : `${count(known.length, "torrent")} were here already`);
  return left;
}
