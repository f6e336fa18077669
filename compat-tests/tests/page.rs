//! The page of `chunkcast daemon` in a browser, as a person uses it: torrents that move over loopback are added, watched,
//! paused and removed, with the mouse and with the keyboard alone, on large screens and small ones.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped is said on standard output"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chunkcast_compat_tests::browser::{Browser, SMALL, Screen, WIDE, key};
use chunkcast_compat_tests::far::Far;
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::seedbox::Seedbox;
use chunkcast_compat_tests::stock::ours;
use chunkcast_compat_tests::{Proc, Scratch, create, noise, scratch, wait_for, write};
use serde_json::{Value, json};

/// What a page that parsed it would run.
const HOSTILE: &str = "<img src=x onerror=window.owned=1>";

/// Bytes of a piece, and pieces of a file.
const PIECE: usize = 64 << 10;
const EACH: usize = 6;

/// Files of the torrent: some seconds at the limits that the tests set.
const FILES: usize = 16;

/// How soon something on the page follows what is clicked.
const SOON: Duration = Duration::from_secs(30);

/// A daemon, the index node that it knows, and peers of a folder of files: near ones that are in the directory and hold
/// some of the files each, far ones that hold everything and are told of by the magnet link.
struct Scene {
    name: &'static str,
    files: usize,
    hash: String,
    daemon: Seedbox,
    /// Where the far ones are.
    far: Vec<Far>,
    _peers: Vec<Proc>,
    // after those whose logs are in it
    dir: Scratch,
}

impl Scene {
    /// One near peer that holds everything.
    fn new(name: &'static str) -> Self {
        Self::with(name, FILES, 1, &[])
    }

    /// So many near peers, and far ones at these round-trip times in milliseconds. Without far ones the near ones hold
    /// everything, each.
    fn with(name: &'static str, files: usize, near: usize, far: &[u64]) -> Self {
        let dir = scratch();
        let source = dir.path().join("source").join(name);
        for file in 0..files {
            write(&source.join(path_of(file)), &content(file));
        }
        let torrent = dir.path().join("t.torrent");
        let hash = create(&source, &torrent, &["--piece-length", "64KiB"]);
        let torrent = torrent.display().to_string();
        let data = source.display().to_string();
        let seeding = |who: &str, more: &[&str]| {
            let args = ["seed", &torrent, "--data", &data];
            ours(who, dir.path(), &[&args, more].concat())
        };
        let mut peers = Vec::new();
        let mut index = String::new();
        for i in 0..near {
            let who = format!("near-{i}");
            let mut known = vec!["--bootstrap", &index];
            known.truncate(if i == 0 { 0 } else { 2 });
            let peer = match far {
                [] => seeding(&who, &known),
                _ => {
                    let copy = dir.path().join(&who);
                    let some: Vec<usize> = (0..files).filter(|f| holds(i, *f)).collect();
                    for file in &some {
                        write(&copy.join(name).join(path_of(*file)), &content(*file));
                    }
                    let some: Vec<String> = some.iter().map(usize::to_string).collect();
                    let (copy, some) = (copy.display().to_string(), some.join(","));
                    let args = ["get", &torrent, "-o", &copy, "--select", &some, "--seed"];
                    ours(&who, dir.path(), &[&args[..], &known].concat())
                }
            };
            if i == 0 {
                index = of_metadata(&peer, "index");
            }
            peers.push(peer);
        }
        let far = far.iter().enumerate().map(|(i, rtt)| {
            // in the directory it would be met without the way to it, and be near
            let peer = seeding(&format!("far-{i}"), &["--no-index"]);
            let listen: SocketAddr = of_metadata(&peer, "listen").parse().expect("an address");
            peers.push(peer);
            Far::to(listen.port(), Duration::from_millis(*rtt))
        });
        let far = far.collect();
        let daemon = Seedbox::start(dir.path(), "127.0.0.1:0", &["--bootstrap", &index]);
        Self {
            dir,
            name,
            files,
            hash,
            daemon,
            far,
            _peers: peers,
        }
    }

    fn browser(&self, screen: Screen) -> Option<Browser> {
        let browser = Browser::start(self.dir.path(), screen)?;
        browser.open(&self.daemon.url);
        Some(browser)
    }

    fn magnet(&self) -> String {
        let far = self.far.iter().map(|far| format!("&x.pe={}", far.addr));
        format!(
            "magnet:?xt=urn:btih:{}{}",
            self.hash,
            far.collect::<String>()
        )
    }

    /// Where the daemon puts the folder.
    fn copy(&self) -> PathBuf {
        self.dir.path().join("data").join(self.name)
    }

    fn is_whole(&self) -> bool {
        (0..self.files).all(|file| {
            let copy = std::fs::read(self.copy().join(path_of(file)));
            copy.is_ok_and(|bytes| bytes == content(file))
        })
    }

    fn go(&self, browser: &Browser, tab: &str) {
        let place = format!("#/torrent/{}/{tab}", self.hash);
        browser.run("location.hash = args;", &json!(place));
    }
}

fn path_of(file: usize) -> String {
    format!("part-{file:03}.bin")
}

fn content(file: usize) -> Vec<u8> {
    noise(file as u64, EACH * PIECE)
}

/// Whether a near peer holds a file: three of five, other ones for each, and of seven one that none of them has.
fn holds(near: usize, file: usize) -> bool {
    file % 7 != 3 && (file + near * 2) % 5 < 3
}

fn of_metadata(peer: &Proc, field: &str) -> String {
    wait_for(field, DEADLINE, || {
        let event = peer.events("metadata").pop()?;
        event[field].as_str().map(str::to_owned)
    })
}

/// The text of the first such element, as an expression.
fn text_of(css: &str) -> String {
    format!("(document.querySelector({css:?})?.textContent ?? '')")
}

/// Whether a canvas has more than one colour, as an expression.
fn painted(css: &str) -> String {
    format!(
        "(() => {{ const c = document.querySelector({css:?}); if (!c?.width) return false;
           const d = new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer);
           return new Set(d).size > 1; }})()"
    )
}

#[test]
fn a_torrent_is_added_by_magnet_watched_paused_and_removed_with_its_data() {
    let scene = Scene::with(HOSTILE, FILES, 1, &[40]);
    let Some(browser) = scene.browser(WIDE) else {
        return;
    };
    browser.wait("document.querySelector('.list-empty h2')", SOON);

    // slow enough to be watched
    browser.click(".nav [data-view=settings]");
    browser.fill("form[aria-label=Rates] input", "64");
    browser.click("form[aria-label=Rates] [type=submit]");
    browser.wait(
        &format!("{}.includes('Rates: saved')", text_of(".toast")),
        SOON,
    );

    browser.click(".nav [data-view=torrents]");
    browser.click("#add");
    browser.fill("dialog textarea", &scene.magnet());
    browser.click("dialog [type=submit]");
    browser.wait("!document.querySelector('dialog')", SOON);

    // what it is called is text, whatever it looks like
    let row = ".tspace .name";
    browser.wait(&format!("{} === {:?}", text_of(row), scene.name), DEADLINE);
    browser.wait(
        &format!("parseFloat({}) > 0", text_of(".tspace .progress-cell .num")),
        DEADLINE,
    );
    browser.click(row);
    browser.wait(&format!("{} === {:?}", text_of("h1"), scene.name), SOON);
    browser.wait("document.title.startsWith('<img')", SOON);

    // the paper's Figure 2, and why the directory's peer is one
    browser.wait(&painted(".map-own"), SOON);
    browser.wait(&painted(".map-peers"), SOON);
    browser.wait(
        "['yes', 'no'].every((near) => document.querySelectorAll(`.map-labels [data-near=${near}]`).length === 1)",
        DEADLINE,
    );
    browser.run("document.querySelector('.map').focus();", &Value::Null);
    browser.press(&[key::END, key::DOWN]);
    browser.wait(
        &format!("{}.includes('Piece 95')", text_of("#map-reading")),
        SOON,
    );
    browser.wait(
        &format!("{}.includes('has it')", text_of("#map-reading")),
        SOON,
    );
    scene.go(&browser, "peers");
    browser.wait(
        &format!("{} === 'directory'", text_of("td[data-label='Named by']")),
        SOON,
    );
    browser.wait(&format!("{} === '1'", text_of("td[data-label=Rank]")), SOON);
    scene.go(&browser, "swarm");
    browser.wait(&painted("canvas.swarm"), SOON);
    browser.wait(
        &format!("{}.includes('127.0.0.1')", text_of(".swarm-most")),
        SOON,
    );
    scene.go(&browser, "lookups");
    browser.click("#trace");
    browser.wait("document.querySelector('.way li')", SOON);

    browser.click("#toggle");
    browser.wait(
        &format!("{} === 'Paused'", text_of(".torrent-head .state")),
        SOON,
    );
    assert!(!scene.is_whole(), "it was paused on the way");
    browser.click("#toggle");
    browser.wait(
        &format!("{} === 'Downloading'", text_of(".torrent-head .state")),
        SOON,
    );

    // who was named by hand is not kept over a pause
    scene.go(&browser, "peers");
    browser.click("#add-peers");
    browser.fill("dialog textarea", &scene.far[0].addr.to_string());
    browser.click("dialog [type=submit]");
    browser.wait(
        "document.querySelector('tr:not(.gone) .chip.far')",
        DEADLINE,
    );

    // as fast as it can now
    browser.run("location.hash = '#/settings';", &Value::Null);
    browser.fill("form[aria-label=Rates] input", "0000");
    browser.click("form[aria-label=Rates] [type=submit]");
    browser.run("location.hash = '#/torrents';", &Value::Null);
    browser.wait(
        &format!("{} === '100 %'", text_of(".tspace .progress-cell .num")),
        DEADLINE,
    );
    browser.wait(
        &format!("{} === 'Seeding'", text_of(".tspace .state")),
        SOON,
    );
    assert!(scene.is_whole(), "what is said to be here is here");

    // most of three fifths came from next door; the rest nobody has there
    let near = browser.wait(
        "parseFloat(document.querySelector('#total-near').textContent)",
        SOON,
    );
    assert!(
        (10.0..80.0).contains(&near.as_f64().expect("a number")),
        "{near} % stayed near"
    );

    let foreign = browser.run(
        "return performance.getEntriesByType('resource').map((e) => e.name)
            .filter((name) => new URL(name).origin !== location.origin);",
        &Value::Null,
    );
    assert_eq!(foreign, json!([]), "nobody else was asked");

    browser.click(".tspace .box");
    browser.click(".acts button[aria-label='Remove…']");
    browser.wait(
        &format!("{} === {:?}", text_of("dialog .names li"), scene.name),
        SOON,
    );
    browser.click("dialog input[type=checkbox]");
    browser.click("dialog [type=submit]");
    browser.wait("document.querySelector('.list-empty h2')", SOON);
    wait_for("the data is gone", SOON, || {
        (!scene.copy().exists()).then_some(())
    });

    let owned = browser.run("return window.owned ?? null;", &Value::Null);
    assert_eq!(owned, Value::Null, "a name was run");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn all_that_is_done_to_a_torrent_can_be_done_with_keys() {
    let scene = Scene::new("data set");
    let Some(browser) = scene.browser(WIDE) else {
        return;
    };
    let focus =
        |expression: &str| browser.wait(&format!("document.activeElement{expression}"), SOON);
    browser.wait("document.querySelector('.list-empty h2')", SOON);

    // a file of the user's: there the system's own dialog is the keyboard's way
    browser.press(&["a"]);
    focus(".matches('dialog textarea')");
    browser.fill(
        "dialog input[type=file]",
        &scene.dir.path().join("t.torrent").display().to_string(),
    );
    browser.wait(
        &format!("{}.includes('t.torrent')", text_of("dialog .file-list")),
        SOON,
    );
    tab_to(&browser, "document.activeElement.type === 'submit'");
    browser.press(&[key::ENTER]);
    browser.wait(
        &format!("{} === 'data set'", text_of(".tspace .name")),
        DEADLINE,
    );
    browser.wait(
        &format!("{} === '100 %'", text_of(".tspace .progress-cell .num")),
        DEADLINE,
    );
    assert!(scene.is_whole());

    browser.press(&["l"]);
    focus(".classList.contains('trow')");
    browser.press(&["p"]);
    browser.wait(&format!("{} === 'Paused'", text_of(".tspace .state")), SOON);
    browser.press(&["s"]);
    browser.wait(
        &format!("{} === 'Seeding'", text_of(".tspace .state")),
        SOON,
    );

    browser.press(&[key::ENTER]);
    browser.wait("location.hash.endsWith('/pieces')", SOON);
    tab_to(&browser, "document.activeElement.id === 'tab-pieces'");
    browser.press(&[key::RIGHT]);
    browser.wait("location.hash.endsWith('/peers')", SOON);
    focus(".id === 'tab-peers'");
    browser.press(&[key::END]);
    browser.wait(
        &format!("{}.includes({:?})", text_of(".facts"), scene.hash),
        SOON,
    );

    // its menu, and the dialog that it leads to; Escape ends it and the focus is where it was
    tab_to(
        &browser,
        "document.activeElement.getAttribute('aria-label') === 'More to do with this torrent'",
    );
    browser.press(&[key::DOWN]);
    focus(".getAttribute('role') === 'menuitem'");
    browser.press(&["l", "l"]);
    browser.wait("document.activeElement.textContent === 'Labels…'", SOON);
    browser.press(&[key::ENTER]);
    focus(".matches('dialog input')");
    browser.type_keys("keep, iso");
    browser.press(&[key::ENTER]);
    browser.wait(
        &format!("{} === 'keep, iso'", text_of(".label-button")),
        SOON,
    );
    browser.press(&["?"]);
    browser.wait("document.querySelector('dialog .shortcuts')", SOON);
    browser.press(&[key::ESCAPE]);
    browser.wait("!document.querySelector('dialog')", SOON);

    browser.press(&["1"]);
    browser.wait("location.hash === '#/torrents'", SOON);
    browser.press(&["/"]);
    focus(".type === 'search'");
    browser.type_keys("nothing like it");
    browser.wait(
        &format!(
            "{} === 'Nothing here is like that'",
            text_of(".list-empty h2")
        ),
        SOON,
    );
    browser.run("document.activeElement.select();", &Value::Null);
    browser.type_keys("data");
    tab_to(
        &browser,
        "document.activeElement.classList.contains('trow')",
    );
    browser.press(&[key::SPACE]);
    browser.wait(
        &format!("{} === '1 torrent chosen'", text_of(".chosen-text")),
        SOON,
    );
    browser.press(&[key::DELETE]);
    focus(".matches('dialog input[type=checkbox]')");
    browser.press(&[key::SPACE]);
    tab_to(&browser, "document.activeElement.type === 'submit'");
    browser.press(&[key::ENTER]);
    browser.wait("document.querySelector('.list-empty h2')", SOON);
    wait_for("the data is gone", SOON, || {
        (!scene.copy().exists()).then_some(())
    });
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn screens_of_any_width_show_all_of_it_without_going_sideways() {
    let scene = Scene::new(
        "a name that is much longer than any telephone is wide, so that it has to be cut somewhere",
    );
    let Some(browser) = scene.browser(SMALL) else {
        return;
    };
    browser.click("#add");
    browser.fill("dialog textarea", &scene.magnet());
    browser.click("dialog [type=submit]");
    browser.wait(
        &format!("{} === '100 %'", text_of(".tspace .progress-cell .num")),
        DEADLINE,
    );

    let mut places = ["torrents", "traffic", "directory", "settings"]
        .map(|view| format!("#/{view}"))
        .to_vec();
    let tabs = [
        "pieces", "peers", "swarm", "files", "trackers", "lookups", "about",
    ];
    places.extend(tabs.map(|tab| format!("#/torrent/{}/{tab}", scene.hash)));
    let widths = [SMALL.width, 768, 1100];
    let all = widths
        .iter()
        .flat_map(|w| places.iter().map(move |p| (*w, p)));
    for (width, place) in all {
        browser.show_on(Screen { width, ..SMALL });
        browser.run("location.hash = args;", &json!(place));
        // what a view shows at last, and not while it waits
        browser.wait("document.querySelector('main h1, main h2') && !document.querySelector('main .skeleton')", SOON);
        let wide = browser.run(
            "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
             const inside = '.scroll-x, .filters, .tabs, .visually-hidden, svg, .names';
             const out = [...document.querySelectorAll('body *')].filter((e) => {
               const box = e.getBoundingClientRect();
               return box.width > 0 && box.right > innerWidth + 0.5 && e.closest(inside) === null;
             });
             const sides = [document.documentElement, document.querySelector('main')].filter((e) => e.scrollWidth > e.clientWidth);
             return [...out, ...sides].map((e) => `${e.tagName} ${e.className}`);",
            &Value::Null,
        );
        assert_eq!(wide, json!([]), "{place} on {width} pixels");
    }
    browser.run("location.hash = '#/torrents';", &Value::Null);
    let fills = "Math.abs(document.querySelector('.table').getBoundingClientRect().bottom - innerHeight) < 1";
    browser.wait(fills, SOON);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_daemon_that_goes_away_is_missed_and_found_again() {
    let dir = scratch();
    let daemon = Seedbox::start(dir.path(), "127.0.0.1:0", &["--no-index"]);
    let Some(browser) = Browser::start(dir.path(), WIDE) else {
        return;
    };
    browser.open(&daemon.url);
    browser.wait(
        "document.querySelector('#link-state').dataset.state === 'live'",
        SOON,
    );
    let address = daemon.url.trim_start_matches("http://").to_owned();
    daemon.proc.terminate();
    browser.wait("!document.querySelector('#banner').hidden", DEADLINE);
    browser.wait(
        &format!("{}.includes('does not answer')", text_of("#banner")),
        SOON,
    );
    drop(daemon);
    let _again = Seedbox::start(dir.path(), &address, &["--no-index"]);
    browser.wait("document.querySelector('#banner').hidden", DEADLINE);
    browser.wait("document.querySelector('.list-empty h2')", SOON);
    // without an index node there is no directory to look into, and the page says so
    browser.press(&["3"]);
    browser.wait(
        &format!("{}.includes('No index node')", text_of(".directory h2")),
        SOON,
    );
}

#[test]
fn the_parts_that_need_no_page_do_what_they_say() {
    let dir = scratch();
    let daemon = Seedbox::start(dir.path(), "127.0.0.1:0", &["--no-index"]);
    let Some(browser) = Browser::start(dir.path(), WIDE) else {
        return;
    };
    browser.open(&daemon.url);
    let failed = browser.run(include_str!("page/parts.js"), &Value::Null);
    assert_eq!(failed, json!([]));
}

/// Not a test: photographs for docs/page.md, of a swarm with near and far peers, into the directory that
/// `CHUNKCAST_PICTURES` names.
#[test]
fn photographs_are_taken_where_they_are_asked_for() {
    let Some(pictures) = std::env::var_os("CHUNKCAST_PICTURES").map(PathBuf::from) else {
        return;
    };
    let scene = Scene::with("survey-2026", 60, 6, &[14, 38, 75, 120]);
    let Some(browser) = scene.browser(WIDE) else {
        return;
    };
    let take = |place: &str, ready: &str, name: &str, screen: Screen| {
        browser.show_on(screen);
        browser.run("location.hash = args;", &json!(place));
        browser.wait(ready, SOON);
        // two frames, so that what was measured has been drawn
        browser.run(
            "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));",
            &Value::Null,
        );
        browser.photograph(&pictures.join(name));
    };
    browser.run("location.hash = '#/settings';", &Value::Null);
    browser.fill("form[aria-label=Rates] input", "700");
    browser.click("form[aria-label=Rates] [type=submit]");
    browser.wait("document.querySelector('.toast')", SOON);
    browser.click(".toast button");

    // others that are here already, and seed
    browser.run("location.hash = '#/torrents';", &Value::Null);
    browser.click("#add");
    for (i, name) in [
        "debian-13.1.0-amd64-netinst.iso",
        "sea-ice-concentration",
        "blender-4.6-linux-x64.tar.xz",
        "lecture recordings",
    ]
    .iter()
    .enumerate()
    {
        let file = scene.dir.path().join("data").join(name);
        write(&file, &noise(900 + i as u64, 3_000_000 + 900_000 * i));
        let torrent = scene.dir.path().join(format!("other-{i}.torrent"));
        create(&file, &torrent, &["--piece-length", "64KiB"]);
        browser.fill("dialog input[type=file]", &torrent.display().to_string());
    }
    browser.fill("dialog textarea", &scene.magnet());
    browser.click("dialog [type=submit]");
    browser.wait(
        "document.querySelectorAll('.tspace .state[data-kind=seed]').length === 4",
        DEADLINE,
    );
    browser.run(
        "for (const b of document.querySelectorAll('.toast button')) b.click();",
        &Value::Null,
    );

    let of = |tab: &str| format!("#/torrent/{}/{tab}", scene.hash);
    let dark = Screen { dark: true, ..WIDE };
    browser.run("location.hash = args;", &json!(of("pieces")));
    browser.wait(
        "parseFloat(document.querySelector('.numbers dd').textContent) > 25",
        DEADLINE,
    );
    browser.wait(
        "document.querySelectorAll('.map-labels [data-near=yes]').length === 6",
        DEADLINE,
    );
    browser.wait(
        "document.querySelectorAll('.map-labels [data-near=no]').length === 4",
        DEADLINE,
    );
    let map = painted(".map-peers");
    take(&of("pieces"), &map, "page-pieces.png", WIDE);
    take(&of("pieces"), &map, "page-pieces-dark.png", dark);
    take(
        &of("peers"),
        "document.querySelector('.peer-name')",
        "page-peers.png",
        WIDE,
    );
    take(
        &of("swarm"),
        &painted("canvas.swarm"),
        "page-swarm.png",
        dark,
    );
    take(
        "#/torrents",
        "document.querySelector('.tspace .trow')",
        "page-torrents.png",
        WIDE,
    );
    take(
        "#/torrents",
        "document.querySelector('.tspace .trow')",
        "page-small-torrents.png",
        SMALL,
    );
    take(
        &of("pieces"),
        &map,
        "page-small-pieces.png",
        Screen {
            dark: true,
            ..SMALL
        },
    );
    take(
        "#/directory",
        "document.querySelector('.ring .leaf')",
        "page-directory.png",
        WIDE,
    );
}

/// Goes on with Tab until something holds; a page has fewer stops than this.
fn tab_to(browser: &Browser, expression: &str) {
    for _ in 0..60 {
        browser.press(&[key::TAB]);
        if browser.run(&format!("return {expression};"), &Value::Null) == json!(true) {
            return;
        }
    }
    panic!("Tab does not lead to where {expression}");
}
