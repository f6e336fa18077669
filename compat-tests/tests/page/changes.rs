//! What is added by dropping it, and what is changed of torrents and of all of them.

use std::path::PathBuf;

use chunkcast_compat_tests::browser::{Browser, key};
use chunkcast_compat_tests::seedbox::Seedbox;
use chunkcast_compat_tests::{Scratch, create, noise, scratch, wait_for, write};
use serde_json::{Value, json};

use super::scene::{SOON, alone, ask};

/// A daemon that knows nobody, and .torrent files of files that it has.
struct Alone {
    browser: Browser,
    /// Infohash and .torrent file by the number of each.
    torrents: Vec<(String, PathBuf)>,
    _daemon: Seedbox,
    // after those whose logs are in it
    dir: Scratch,
}

impl Alone {
    /// With so many torrents, which are not added yet.
    fn start(torrents: usize) -> Option<Self> {
        let dir = scratch();
        let torrents = (0..torrents).map(|i| {
            let file = dir.path().join("data").join(name(i));
            write(&file, &content(i));
            let torrent = dir.path().join(format!("{i}.torrent"));
            (create(&file, &torrent, &[]), torrent)
        });
        let torrents = torrents.collect();
        let (daemon, browser) = alone(&dir)?;
        browser.open(&daemon.url);
        browser.tells(".list-empty h2", "No torrents yet", SOON);
        Some(Self {
            browser,
            torrents,
            _daemon: daemon,
            dir,
        })
    }

    /// Adds all, and waits until they seed.
    fn added(torrents: usize) -> Option<Self> {
        let this = Self::start(torrents)?;
        this.browser.click("#add");
        for (_, file) in &this.torrents {
            let file = file.display().to_string();
            this.browser.fill("dialog input[type=file]", &file);
        }
        this.browser.click("dialog [type=submit]");
        let seeding = format!(
            "document.querySelectorAll('.tspace .state[data-kind=seed]').length === {torrents}"
        );
        this.browser.wait(&seeding, SOON);
        Some(this)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        ask(&self.browser, method, path, body)
    }

    fn torrent(&self, i: usize) -> Value {
        self.ask(
            "GET",
            &format!("/torrents/{}", self.torrents[i].0),
            &Value::Null,
        )
    }

    /// Opens what is in the menu of the torrents that are chosen, by its first letter.
    fn open_in_menu(&self, letter: &str) {
        self.browser
            .click(".acts button[aria-label='More to do with the chosen torrents']");
        self.browser.press(&[letter, key::ENTER]);
        self.browser.wait("document.querySelector('dialog')", SOON);
    }

    /// Does what the dialog asks about.
    fn confirm(&self) {
        self.browser.click("dialog [type=submit]");
        self.browser.wait("!document.querySelector('dialog')", SOON);
    }
}

fn name(i: usize) -> String {
    format!("recording {i}.flac")
}

fn content(i: usize) -> Vec<u8> {
    noise(i as u64, 300_000)
}

/// A field of a dialog by its label, as a selector of CSS.
fn labelled(browser: &Browser, label: &str) -> String {
    let found = browser.wait(
        &format!(
            "[...document.querySelectorAll('dialog label')].find((l) => l.textContent === {})?.htmlFor",
            json!(label)
        ),
        SOON,
    );
    format!("#{}", found.as_str().expect("an id"))
}

#[test]
fn what_is_dropped_on_the_page_is_added() {
    let Some(scene) = Alone::start(1) else {
        return;
    };
    let browser = &scene.browser;
    let files = json!({ "items": [], "files": [scene.torrents[0].1], "dragOperationsMask": 1 });
    browser.drag("dragEnter", &files);
    browser.wait("!document.querySelector('.drop').hidden", SOON);
    browser.drag("dragOver", &files);
    browser.drag("drop", &files);
    browser.tells("dialog .file-list", "0.torrent", SOON);
    browser.wait("document.querySelector('.drop').hidden", SOON);
    scene.confirm();
    browser.says(".tspace .name", &name(0), SOON);

    let magnet = format!("magnet:?xt=urn:btih:{}", "5a".repeat(20));
    let item = json!({ "mimeType": "text/uri-list", "data": magnet });
    let link = json!({ "items": [item], "files": [], "dragOperationsMask": 1 });
    for what in ["dragEnter", "dragOver", "drop"] {
        browser.drag(what, &link);
    }
    let text = format!(
        "document.querySelector('dialog textarea')?.value === {}",
        json!(magnet)
    );
    browser.wait(&text, SOON);
    scene.confirm();
    browser.wait(
        "document.querySelectorAll('.tspace .trow').length === 2",
        SOON,
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn data_is_moved_to_where_it_is_asked_for() {
    let Some(scene) = Alone::added(1) else {
        return;
    };
    let browser = &scene.browser;
    let before = scene.dir.path().join("data");
    let after = before.join("archive");
    browser.click(".tspace .box");
    scene.open_in_menu("m");
    let dir = labelled(browser, "Directory");
    browser.wait(
        &format!(
            "document.querySelector({dir:?}).value === {}",
            json!(before)
        ),
        SOON,
    );
    browser.refill(&dir, &after.display().to_string());
    scene.confirm();
    wait_for("the file is there", SOON, || {
        let there = std::fs::read(after.join(name(0))).ok()?;
        (there == content(0) && !before.join(name(0)).exists()).then_some(())
    });
    browser.go(&format!("#/torrent/{}/about", scene.torrents[0].0));
    browser.tells(".facts", &after.display().to_string(), SOON);
    browser.says(".torrent-head .state", "Seeding", SOON);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn limits_are_set_of_one_torrent_and_of_several() {
    let Some(scene) = Alone::added(2) else {
        return;
    };
    let browser = &scene.browser;
    // each has something of its own, which is not touched below
    scene.ask(
        "PATCH",
        &format!("/torrents/{}", scene.torrents[1].0),
        &json!({ "download_limit": 5120, "seed_ratio": 3.5 }),
    );
    browser.go(&format!("#/torrent/{}/pieces", scene.torrents[0].0));
    browser.click(".torrent-head button[aria-label='More to do with this torrent']");
    browser.press(&["l", key::ENTER]);
    browser.fill(&labelled(browser, "Up"), "64");
    scene.confirm();
    wait_for("the limit holds", SOON, || {
        (scene.torrent(0)["upload_limit"] == json!(65536)).then_some(())
    });
    assert_eq!(scene.torrent(1)["upload_limit"], Value::Null, "of that one");

    browser.go("#/torrents");
    for row in [1, 2] {
        browser.click(&format!(".tspace .trow[aria-rowindex='{}'] .box", row + 1));
    }
    browser.says(".chosen-text", "2 torrents chosen", SOON);
    scene.open_in_menu("l");
    let connections = labelled(browser, "Connections");
    browser.refill(&connections, "23");
    scene.confirm();
    wait_for("the limit holds for both", SOON, || {
        let both = [0, 1].map(|i| scene.torrent(i)["max_peers"].clone());
        (both == [json!(23), json!(23)]).then_some(())
    });
    let limits = |i| {
        let torrent = scene.torrent(i);
        ["download_limit", "upload_limit", "seed_ratio"].map(|name| torrent[name].clone())
    };
    assert_eq!(limits(0), [Value::Null, json!(65536), json!("session")]);
    assert_eq!(limits(1), [json!(5120), Value::Null, json!(3.5)]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn saving_a_part_of_the_settings_leaves_the_others_as_they_were_typed() {
    let Some(scene) = Alone::start(0) else {
        return;
    };
    let browser = &scene.browser;
    browser.go("#/settings");
    browser.refill("form[aria-label=Queue] input", "7");
    browser.refill("form[aria-label=Rates] input", "64");
    browser.run(
        "document.querySelector('form[aria-label=Rates]').dataset.before = 'yes';",
        &Value::Null,
    );
    browser.click("form[aria-label=Rates] [type=submit]");
    browser.tells(".toast", "Rates: saved", SOON);
    // what was saved is shown anew, as the daemon has it
    browser.wait(
        "!document.querySelector('form[aria-label=Rates]').dataset.before",
        SOON,
    );
    let queue = "document.querySelector('form[aria-label=Queue] input').value";
    assert_eq!(browser.run(&format!("return {queue};"), &Value::Null), "7");
    browser.click("form[aria-label=Queue] [type=submit]");
    wait_for("both are saved", SOON, || {
        let settings = scene.ask("GET", "/session", &Value::Null)["settings"].take();
        let both = [&settings["download_limit"], &settings["active_downloads"]];
        (both == [&json!(65536), &json!(7)]).then_some(())
    });
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
