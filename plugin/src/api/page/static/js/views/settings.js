/** What holds for all torrents and can be changed while the daemon runs. */

import { get, patch } from "../core/api.js";
import { el, replace, setText } from "../core/dom.js";
import * as format from "../core/format.js";
import { check, clockInput, field, numberInput, rateInput, timeInput } from "../dialogs/fields.js";
import { toast } from "../ui/toast.js";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** @typedef {import("../core/model.js").Session} Session */

export class SettingsView {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.body = el("div", { class: "settings" }, el("div", { class: "skeleton tall", "aria-hidden": "true" }));
    root.replaceChildren(el("div", { class: "page" }, el("div", { class: "page-head" }, el("h1", {}, "Settings")), this.body));
    this.ending = new AbortController();
    void this.load();
  }

  destroy() {
    this.ending.abort();
  }

  /**
   * One of the sections, which is made anew by itself once it is saved: the others may have been edited.
   * @param {typeof SECTIONS[number]} make @param {Session} session @returns {HTMLElement}
   */
  section(make, session) {
    const node = make(session, async () => node.replaceWith(this.section(make, await get("/session", this.ending.signal))));
    return node;
  }

  async load() {
    try {
      const session = await get("/session", this.ending.signal);
      const version = el("p", { class: "hint" }, `ChunkCast ${session.version}. What is changed here is kept over a restart; the configuration file has the rest.`);
      replace(this.body, ...SECTIONS.map((make) => this.section(make, session)), version);
    } catch (error) {
      if (this.ending.signal.aborted) return;
      const again = el("button", { type: "button", class: "button" }, "Try again");
      again.addEventListener("click", () => void this.load());
      replace(this.body, el("div", { class: "card empty small" }, el("h2", {}, "The settings did not come"), el("p", {}, error instanceof Error ? error.message : String(error)), again));
    }
  }
}

/** @type {((session: Session, reload: () => Promise<void>) => HTMLElement)[]} */
const SECTIONS = [rates, schedule, queue, seeding, places, connections, blocklist];

/**
 * A part of the settings with a button of its own, so that a fault in one does not hold up another.
 * @param {string} title @param {string} hint @param {import("../core/dom.js").Child[]} fields
 * @param {() => Record<string, unknown>} read @param {() => Promise<void>} reload after it was saved
 */
function section(title, hint, fields, read, reload) {
  const fault = el("p", { class: "fault", role: "alert" });
  const save = el("button", { type: "submit", class: "button primary", disabled: true }, "Save");
  const form = el(
    "form",
    { class: "card", novalidate: true, "aria-label": title },
    el("div", { class: "card-head" }, el("h2", {}, title)),
    el("div", { class: "card-body stacked" }, hint ? el("p", { class: "hint" }, hint) : null, ...fields, fault, el("div", {}, save)),
  );
  form.addEventListener("input", () => {
    save.disabled = false;
  });
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    void (async () => {
      setText(fault, "");
      try {
        const change = read();
        save.disabled = true;
        await patch("/session", change);
        toast(`${title}: saved`);
        await reload();
      } catch (error) {
        save.disabled = false;
        setText(fault, error instanceof Error ? error.message : String(error));
      }
    })();
  });
  return form;
}

/** @param {Session} session @param {() => Promise<void>} reload */
function rates({ settings: s }, reload) {
  const down = rateInput(s.download_limit);
  const up = rateInput(s.upload_limit);
  return section("Rates", "Of all torrents together.", [el("div", { class: "two-fields" }, field("Down", down.node), field("Up", up.node))], () => ({ download_limit: down.read(), upload_limit: up.read() }), reload);
}

/** @param {Session} session @param {() => Promise<void>} reload */
function schedule({ settings: s }, reload) {
  const now = s.schedule;
  const on = check("They hold now", now.on);
  const down = rateInput(now.download_limit);
  const up = rateInput(now.upload_limit);
  const byClock = check("The clock switches them", now.by_clock);
  const from = clockInput(now.from_minute);
  const to = clockInput(now.to_minute);
  const days = DAYS.map((day, i) => ({ ...check(day.slice(0, 3), (now.days >> i) % 2 === 1), bit: 1 << i, day }));
  for (const d of days) d.input.setAttribute("aria-label", d.day);
  const clock = el("div", { class: "stacked" }, el("div", { class: "two-fields" }, field("From", from.node), field("To", to.node)), el("div", { class: "row", role: "group", "aria-label": "Days on which they begin" }, ...days.map((d) => d.node)));
  const show = () => {
    clock.hidden = !byClock.input.checked;
  };
  byClock.input.addEventListener("change", show);
  show();
  return section(
    "Other rates",
    "For working hours, say: they hold in the place of the usual rates while they are switched on, by hand or by the clock.",
    [on.node, el("div", { class: "two-fields" }, field("Down", down.node), field("Up", up.node)), byClock.node, clock],
    () => ({
      schedule: {
        on: on.input.checked,
        download_limit: down.read(),
        upload_limit: up.read(),
        by_clock: byClock.input.checked,
        from_minute: from.read(),
        to_minute: to.read(),
        days: days.reduce((bits, d) => bits | (d.input.checked ? d.bit : 0), 0),
      },
    }),
    reload,
  );
}

/** @param {Session} session @param {() => Promise<void>} reload */
function queue({ settings: s }, reload) {
  const downloads = numberInput(s.active_downloads, { none: "all" });
  const seeds = numberInput(s.active_seeds, { none: "all" });
  const stalled = timeInput(s.stalled_after_seconds, "never");
  return section(
    "Queue",
    "How many torrents are at work at a time; an empty field: all of them.",
    [el("div", { class: "two-fields" }, field("Downloads", downloads.node), field("Seeds", seeds.node)), field("A torrent gives its place up when nothing moved for", stalled.node)],
    () => ({ active_downloads: downloads.read(), active_seeds: seeds.read(), stalled_after_seconds: stalled.read() }),
    reload,
  );
}

/** @param {Session} session @param {() => Promise<void>} reload */
function seeding({ settings: s }, reload) {
  const ratio = numberInput(s.seed_ratio, { none: "never", step: "any" });
  const idle = timeInput(s.seed_idle_seconds, "never");
  const time = timeInput(s.seed_time_seconds, "never");
  return section(
    "When seeding ends",
    "A torrent can have limits of its own.",
    [field("At a ratio", ratio.node, "Bytes sent to bytes of the torrent."), el("div", { class: "two-fields" }, field("When nobody has fetched for", idle.node), field("After", time.node))],
    () => ({ seed_ratio: ratio.read(), seed_idle_seconds: idle.read(), seed_time_seconds: time.read() }),
    reload,
  );
}

/** @param {Session} session @param {() => Promise<void>} reload */
function places({ settings: s, space }, reload) {
  const dir = el("input", { class: "input", spellcheck: "false", value: s.download_dir });
  const start = check("New torrents are started", s.start_added);
  const room = space ? `${format.bytes(space.free)} of ${format.bytes(space.total)} are free there.` : "";
  const watch = s.watch_dir ? el("p", { class: "hint" }, `Files that appear in ${s.watch_dir} are added.`) : null;
  const read = () => ({ download_dir: dir.value.trim(), start_added: start.input.checked });
  return section("New torrents", "", [field("Directory for their data", dir, room), start.node, watch], read, reload);
}

/** @param {Session} session @param {() => Promise<void>} reload */
function connections({ settings: s }, reload) {
  const all = numberInput(s.connections, { min: 1 });
  const each = numberInput(s.peers_per_torrent, { min: 1 });
  return section("Connections", "", [el("div", { class: "two-fields" }, field("Of all torrents", all.node), field("Of one torrent", each.node))], () => ({ connections: all.read(), peers_per_torrent: each.read() }), reload);
}

/** @param {Session} session @param {() => Promise<void>} reload */
function blocklist({ settings: s, blocklist_ranges: ranges }, reload) {
  const on = check("Addresses on the list are not connected to", s.blocklist);
  const source = el("input", { class: "input", spellcheck: "false", value: s.blocklist_source ?? "", placeholder: "a URL or a path" });
  const read = () => ({ blocklist: on.input.checked, blocklist_source: source.value.trim() || null });
  return section("Blocklist", "", [on.node, field("Where it comes from", source, `${format.count(ranges, "range")} now.`)], read, reload);
}
