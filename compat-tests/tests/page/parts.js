// The body of an async function in the page: tests of the modules that need no document, and of the list with many rows.
// It returns what failed, a line each.

const failed = [];
let tests = 0;
const show = (value) => JSON.stringify(value);
const equal = (got, wanted, what) => {
  tests += 1;
  if (show(got) !== show(wanted)) failed.push(`${what}: ${show(got)} in the place of ${show(wanted)}`);
};
const load = (name) => import(`/assets/js/${name}.js`);

const format = await load("core/format");
equal([0, 1023, 1024, 1536, 10 * 1024, 100 * 1024, 1024 ** 2 - 1, 5e12].map(format.bytes), ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "10.0 KiB", "100 KiB", "1.00 MiB", "4.55 TiB"], "bytes");
equal([format.rate(0), format.rate(2048)], ["–", "2.00 KiB/s"], "rates");
equal([0, 0.00001, 0.099, 0.5, 0.9999, 1, NaN].map(format.percent), ["0 %", "0.1 %", "9.9 %", "50 %", "99.9 %", "100 %", "–"], "percent: whole and nothing are said of themselves alone");
equal([0, 59, 60, 3599, 3600, 90061, 4e8].map(format.duration), ["0 s", "59 s", "1 min", "59 min 59 s", "1 h", "1 d 1 h", "12 years"], "durations");
equal([null, 59, 630, 9e6].map(format.eta), ["–", "59 s", "10 min", "–"], "times left");
equal([null, 0.123, 12.34, 150.6].map(format.milliseconds), ["–", "0.12 ms", "12.3 ms", "151 ms"], "milliseconds");
equal([format.ago(null, 9), format.ago(100, 100), format.ago(40, 100), format.ago(160, 100)], ["never", "now", "1 min ago", "in 1 min"], "moments");
equal([format.count(1, "entry", "entries"), format.count(1200, "peer")], ["1 entry", "1,200 peers"], "counts");

const bits = await load("core/bits");
equal([...bits.decode(btoa("\xa0\x80"), 10)], [1, 0, 1, 0, 0, 0, 0, 0, 1, 0], "the first piece is the highest bit");
equal([...bits.decode("", 3)], [0, 0, 0], "what is missing is not there");
equal([...bits.decode("no base64!", 2)], [0, 0], "what makes no sense claims nothing");

const share = await load("core/share");
const moved = { near_down: 60, near_up: 30, far_down: 20, far_up: 10, web_down: 20 };
equal(share.split(moved), { near: 0.6, far: 0.2, web: 0.2, of: "down" }, "parts of what came");
equal(share.split({ ...share.nothing(), near_up: 3, far_up: 1 }), { near: 0.75, far: 0.25, web: 0, of: "up" }, "of a seed: of what went");
equal([share.split(share.nothing()), share.stayedNear(share.nothing())], [null, null], "nothing has no parts");
equal(share.stayedNear(moved), 90 / 140, "what stayed near, both ways");

const pieces = await load("torrent/piece_model");
const set = (text) => Uint8Array.from(text, Number);
const view = { pieces: 6, held: set("100000"), wanted: set("111110"), open: [1] };
const peer = (name, near, rtt, has, connected = true) => ({ name, near, connected, rtt, predicted: null, has: set(has) });
const near = peer("near", true, 1, "111000");
const far = peer("far", false, 80, "011101");
const gone = peer("gone", true, 2, "000010", false);
const own = pieces.ownRow(view, [far, near, gone]);
const { OWN, ROW } = pieces;
equal([...own], [OWN.held, OWN.fetching, OWN.near, OWN.far, OWN.missing, OWN.unwanted], "what each piece is to us");
equal([...pieces.peerRow(own, far.has)], [ROW.lacks, ROW.fetching, ROW.offered, ROW.offered, ROW.lacks, ROW.had], "what a peer's copy is to us");
equal(pieces.tally(own), { unwanted: 1, missing: 1, far: 1, near: 1, fetching: 1, held: 1 }, "how many of each");
const guessed = { name: "b", rtt: null, predicted: 5 };
const unknown = { name: "a", rtt: null, predicted: null };
equal(pieces.byDistance([unknown, far, guessed, near]).map((p) => p.name), ["near", "b", "far", "a"], "measured, else predicted, else last");
for (const [width, count] of [[7, 3], [3, 7], [5, 5], [1, 9], [9, 1]]) {
  const columns = Array.from({ length: width }, (_, x) => pieces.columnPieces(x, width, count));
  const seen = new Set(columns.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i)));
  equal([seen.size, Math.max(...seen)], [count, count - 1], `every piece has a column: ${count} in ${width}`);
}
equal([...pieces.bins(set("0011"), 2, 2)], [1, 0, 0, 1], "columns of several pieces");
equal([...pieces.bins(set("01"), 1, 2)], [0.5, 0.5], "a column of two");

const swarm = await load("torrent/swarm_model");
const flat = swarm.plane([[0, 0, 10], [0, 1, -10], [0, -1, 10]]);
const spots = [[0, 0, 10], [0, 0, -10]].map((p) => swarm.project(p, flat));
equal(Math.hypot(...spots[0]) > 9.9, true, "the plane is where they lie apart");
equal(Math.abs(flat[0][0] * flat[1][0] + flat[0][1] * flat[1][1] + flat[0][2] * flat[1][2]) < 1e-6, true, "its directions are at right angles");
equal(swarm.plane([], flat), flat, "without peers nothing turns");
equal(swarm.plane([[0, 0, 10], [0, 1, -10], [0, -1, 10]], flat).map((v) => v.map((c) => c.toFixed(3))), flat.map((v) => v.map((c) => c.toFixed(3))), "the same peers lie where they lay");
equal([swarm.radius(0, 100, false), swarm.radius(100, 100, false), swarm.radius(50, 100, true)], [0, 1, 0.5], "scales");
equal([swarm.reachOf(42), swarm.reachOf(100), swarm.rings(100, false).at(-1)], [100, 100, 100], "round borders");
equal(swarm.byTimeAlone("a", 7), swarm.byTimeAlone("a", 7), "who has no coordinate does not wander");

const area = await load("views/area");
const sample = (at, near_down) => ({ at, moved: { ...share.nothing(), near_down } });
const cells = area.grid([sample(100, 1), sample(110, 2), sample(125, 4), sample(5, 9)], 140, 20, 3);
equal(cells.map((c) => [c.at, c.moved.near_down]), [[80, 0], [100, 3], [120, 4]], "samples in cells, the one that is not over left out");
equal(area.stack([{ at: 0, moved }], 10).map((l) => [l.layer.key, l.lower[0], l.upper[0]]), [["near_down", 0, 6], ["far_down", 6, 8], ["web_down", 8, 10], ["near_up", -0, -3], ["far_up", -3, -4]], "layers over each other");
equal(area.rateMarks(2.5 * 1024 ** 2), [1, 2, 3].map((n) => n * 1024 ** 2), "marks");

const ring = await load("views/ring");
equal(["0", "4", "8", "c"].map((id) => ring.place(id).map(Math.round)), [[0, -1], [1, -0], [0, 1], [-1, 0]], "ids run clockwise");

const { parse, href } = await load("core/router");
const hash = "0123456789abcdef0123456789abcdef01234567";
equal(parse(`#/torrent/${hash}/peers`), { view: "torrent", hash, tab: "peers" }, "a torrent's address");
equal([parse("#/torrent/../x"), parse(""), parse("#/settings")], [{ view: "torrents" }, { view: "torrents" }, { view: "settings" }], "other addresses");
equal(href(parse(`#/torrent/${hash}`)), `#/torrent/${hash}/pieces`, "there and back");

const { sourcesIn, labelsIn } = await load("core/sources");
equal(sourcesIn(`magnet:?xt=urn:btih:x\n${hash} https://a/b.torrent\n${hash}`), { sources: ["magnet:?xt=urn:btih:x", hash, "https://a/b.torrent"], faults: [] }, "sources");
equal(sourcesIn("javascript:alert(1) file:///etc/passwd").faults.length, 2, "what is none");
equal(labelsIn(" a, b ,, a"), ["a", "b"], "labels");

const { Selection } = await load("core/selection");
const chosen = new Selection();
const order = ["a", "b", "c", "d"];
chosen.only("b");
chosen.reach("d", order);
equal([...chosen.chosen], ["b", "c", "d"], "from the anchor on");
chosen.reach("a", order);
equal([...chosen.chosen], ["a", "b"], "to the other side of it");
chosen.toggle("a");
equal([chosen.keep(new Set(["a"])), [...chosen.chosen]], [true, []], "what is gone is not chosen");

const columns = await load("list/columns");
const torrent = (i, more = {}) => ({
  hash: i.toString(16).padStart(40, "0"), name: `torrent ${i}`, state: "downloading", trouble: null, labels: i % 2 ? ["odd"] : [], has_metadata: true, private: false,
  size: i, wanted: 100, verified: i % 100, held: 0, pieces: 1, checked: null, moving: null, rate_down: i, rate_up: 0, eta_seconds: i, downloaded: 10, uploaded: i,
  by_distance: moved, near: 1, far: 1, web_seeds: 0, queue_position: i, added: i, stalled: false, finished: false, ...more,
});
const some = [torrent(2), torrent(1, { state: "paused" }), torrent(3, { name: "Zebra" })];
const how = { filter: "all", label: null, search: "", order: "down", descending: true };
const names = (rows) => rows.map((t) => t.name);
equal(names(columns.arrange(some, how)), ["Zebra", "torrent 2", "torrent 1"], "by rate, downwards");
equal(names(columns.arrange(some, { ...how, filter: "paused" })), ["torrent 1"], "of a kind");
equal(names(columns.arrange(some, { ...how, label: "odd", search: "zeb" })), ["Zebra"], "of a label and a name");
equal(columns.tally(some).filters.downloading, 2, "how many of a kind");

// a thousand rows: only those in sight are made, wherever one goes
const { Table } = await load("list/table");
let opened = null;
const table = new Table({ open: (key) => { opened = key; }, chosen: () => {}, order: () => {}, act: () => false });
const holder = document.createElement("div");
holder.style.cssText = "position: fixed; inset: 0; height: 600px";
table.node.style.height = "600px";
holder.append(table.node);
document.body.append(holder);
const thousand = Array.from({ length: 1000 }, (_, i) => torrent(i));
table.measure();
table.show(thousand);
const made = () => table.node.querySelectorAll(".tspace .trow").length;
equal(made() > 5 && made() < 60, true, `rows that are made: ${made()}`);
const press = (key, more = {}) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
table.focus();
press("End");
equal(document.activeElement.querySelector(".name")?.textContent, "torrent 999", "the keyboard at the end");
equal(document.activeElement.getAttribute("aria-rowindex"), "1001", "which row that is");
equal(made() < 60, true, `rows at the end: ${made()}`);
press("ArrowUp", { shiftKey: true });
equal([...table.selection.chosen].length, 2, "two are chosen");
press("Enter");
equal(opened, thousand[998].hash, "which one is opened");
table.show(thousand.map((t) => torrent(Number.parseInt(t.hash, 16), { name: `new ${t.name}` })));
equal(document.activeElement.querySelector(".name")?.textContent, "new torrent 998", "it stays where it is while numbers change");
holder.remove();
table.destroy();

// beyond here a daemon is played: what is asked of it, in the order of the questions, and what it says
const realFetch = window.fetch;
const asked = [];
let says = () => null;
window.fetch = async (url, { method = "GET", body } = {}) => {
  const question = { method, path: String(url).replace("/api/v1", ""), body: body === undefined ? null : JSON.parse(body) };
  asked.push(question);
  return new Response(JSON.stringify(await says(question)));
};
const until = async (what, holds) => {
  for (let i = 0; i < 200 && !holds(); i += 1) await new Promise((done) => setTimeout(done, 20));
  equal(holds(), true, what);
};

// several torrents in the queue, each by a request of its own, end where the daemon would move them together
const actions = await load("list/actions");
for (const [which, to, wanted] of [["352", "top", "23514"], ["352", "bottom", "14235"], ["352", "up", "23154"], ["352", "down", "14235"], ["12", "up", "12345"], ["31", "up", "13245"], ["45", "down", "12345"]]) {
  const places = [..."12345"];
  says = ({ path, body }) => {
    const at = places.indexOf(path.split("/")[2]);
    const end = { top: 0, bottom: 4, up: Math.max(0, at - 1), down: Math.min(4, at + 1) }[body.to];
    places.splice(end, 0, ...places.splice(at, 1));
  };
  const chosen = [...which].map((hash) => torrent(0, { hash, queue_position: Number(hash) - 1 }));
  await actions.queue(chosen, to, 5);
  equal(places.join(""), wanted, `${which} of 12345 go ${to}`);
}

const { FilesTab } = await load("torrent/files");
const files = new FilesTab();
const answer = (priority) => ({ files: [{ index: 0, path: "a", size: 1, held: 0, priority, padding: false }] });
const priority = () => files.node.querySelector("tbody select").value;
const mine = torrent(7);
files.show(mine, answer("normal"));
let answered = () => {};
says = () => new Promise((done) => { answered = done; });
const setting = files.set([0], "high");
await until("the priority is asked for", () => asked.at(-1)?.body?.files !== undefined);
for (let i = 0; i < 3; i += 1) files.show(mine, answer("normal"));
equal(priority(), "high", "what is asked for is shown until it is answered");
answered(null);
await setting;
const late = answer("normal");
for (let i = 0; i < 3; i += 1) files.show(mine, late);
equal(priority(), "high", "and over an answer that may be older");
files.show(mine, answer("low"));
equal(priority(), "low", "but not over what another has asked for since");

const { TrackersTab } = await load("torrent/trackers");
const trackers = new TrackersTab();
const edit = [...trackers.node.querySelectorAll("button")].find((b) => b.textContent === "Edit…");
trackers.show(mine, {});
equal(edit.disabled, true, "trackers that did not come yet cannot be edited");
trackers.show(mine, { trackers: [] });
equal(edit.disabled, false, "once it is known that there are none they can");

const { Store } = await load("core/store");
const { TorrentView } = await load("torrent/view");
const store = new Store();
const place = document.createElement("div");
document.body.append(place);
const row = { id: 0, tier: 0, announce: "udp://tracker.invalid:1", last_announce: null, ok: false, message: "", peers: 0, next_announce: null, asking: false, seeders: null, leechers: null };
says = () => ({ trackers: [row] });
store.setAll([mine, torrent(8)]);
const torrentView = new TorrentView(place, store, mine.hash);
torrentView.open("trackers");
const line = () => place.querySelector("tbody tr");
await until("the tab shows what was fetched", () => line() !== null);
const first = line();
store.patch([torrent(8, { rate_down: 9 })], []);
equal(line() === first, true, "news of another torrent draws nothing anew");
store.patch([torrent(7, { name: "new" })], []);
equal([line() === first, place.querySelector("h1").textContent], [false, "new"], "its own do");
torrentView.open("peers");
says = () => ({ peers: [] });
await until("a tab is fetched for as soon as it is opened", () => asked.at(-1).path.endsWith("/peers"));
torrentView.destroy();
place.remove();

// a stream that is open and says nothing, as behind a proxy that gathers what it passes on
const { Live } = await load("core/live");
const RealSource = window.EventSource;
window.EventSource = class extends EventTarget {
  static OPEN = 1;
  static CLOSED = 2;
  static made = 0;
  readyState = 1;
  constructor() {
    super();
    window.EventSource.made += 1;
  }
  close() {}
};
const totals = { rate_down: 0 };
says = ({ path }) => (path === "/session" ? { totals } : { torrents: [mine] });
const held = new Store();
const live = new Live(held, { heard: () => {} });
live.start();
live.watch();
await until("the list comes where the stream says nothing", () => held.loaded);
equal(held.link.state, "polling", "and it is asked for again");
live.source.dispatchEvent(new MessageEvent("listing", { data: JSON.stringify({ all: true, torrents: [], removed: [], totals }) }));
equal([held.link.state, held.torrents.size], ["live", 0], "until the stream says something");
const passed = [];
says = () => new Promise((done) => passed.push(done));
const asking = live.poll();
const since = Date.now();
await until("the list and the session are asked for", () => passed.length === 2 && Date.now() > since);
live.source.dispatchEvent(new MessageEvent("listing", { data: JSON.stringify({ all: false, torrents: [], removed: [], totals }) }));
live.source.readyState = 2;
live.source.dispatchEvent(new Event("error"));
for (const done of passed) done({ totals, torrents: [] });
await asking;
says = ({ path }) => (path === "/session" ? { totals } : { torrents: [mine] });
await until("a stream that breaks off while the list is on its way is tried again", () => window.EventSource.made === 2);
window.EventSource = RealSource;
window.fetch = realFetch;

// what is read has to be readable: WCAG 2, 4.5 : 1 for text and 3 : 1 for what is not
const luminance = (hex) => {
  const [r, g, b] = [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
};
const texts = ["ink", "ink-soft", "ink-faint", "accent", "accent-strong", "danger", "near-text", "far-text", "web-text"].flatMap((ink) => ["bg", "surface"].map((under) => [ink, under, 4.5]));
texts.push(["ink-soft", "sunken", 4.5], ["ink-faint", "sunken", 4.5], ["ink", "selected", 4.5], ["ink-soft", "selected", 4.5], ["ink-faint", "selected", 4.5], ["accent-strong", "selected", 4.5], ["on-accent", "accent", 4.5], ["ink", "near-tint", 4.5], ["ink", "far-tint", 4.5], ["ink", "danger-tint", 4.5], ["web-text", "sunken", 4.5]);
const shapes = ["near", "far", "web", "held", "fetching", "line-strong", "accent", "good"].map((shape) => [shape, "surface", 3]);
for (const theme of ["light", "dark"]) {
  document.documentElement.dataset.theme = theme;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  for (const [a, b, least] of [...texts, ...shapes]) {
    const ratio = contrast(colour(a), colour(b));
    equal(ratio >= least, true, `${theme}: ${a} on ${b} is ${ratio.toFixed(2)} : 1`);
  }
}

if (tests < 100) failed.push(`only ${tests} were run`);
return failed;
