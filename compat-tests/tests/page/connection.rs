//! How the page hears of the daemon: by its stream of events, without that, and again after it was gone.

use std::io::{Read, Write};
use std::net::TcpStream;

use chunkcast_compat_tests::browser::Browser;
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::scratch;
use chunkcast_compat_tests::seedbox::Seedbox;
use serde_json::json;

use super::scene::{SOON, alone, ask};

#[test]
fn a_daemon_that_goes_away_is_missed_and_found_again() {
    let dir = scratch();
    let Some((daemon, browser)) = alone(&dir) else {
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
    browser.tells("#banner", "does not answer", SOON);
    drop(daemon);
    let _again = Seedbox::start(dir.path(), &address, &["--no-index"]);
    browser.wait("document.querySelector('#banner').hidden", DEADLINE);
    browser.wait("document.querySelector('.list-empty h2')", SOON);
    // without an index node there is no directory to look into, and the page says so
    browser.press(&["3"]);
    browser.tells(".directory h2", "No index node", SOON);
}

/// Where the stream of events does not come, the page asks; once it comes again, it listens.
#[test]
fn a_page_for_which_there_is_no_stream_asks_until_there_is_one() {
    let dir = scratch();
    let Some((daemon, browser)) = alone(&dir) else {
        return;
    };
    let others = listeners(&daemon);
    browser.open(&daemon.url);
    browser.wait(&link("connected"), SOON);
    browser.tells(".list-empty h2", "No torrents yet", SOON);
    add(&browser);
    browser.wait("document.querySelector('.tspace .trow')", SOON);
    // it asks more often than it tries the stream, which it does less and less often
    browser.wait(
        "['/api/v1/torrents', '/api/v1/events']
            .map((path) => performance.getEntriesByType('resource').filter((e) => e.name.endsWith(path)).length)
            .reduce((asked, tried) => tried > 1 && asked > tried + 3)",
        DEADLINE,
    );
    drop(others);
    browser.wait(&link("live"), DEADLINE);
}

#[test]
fn a_page_whose_stream_is_held_back_on_the_way_shows_what_there_is() {
    let dir = scratch();
    let Some((daemon, browser)) = alone(&dir) else {
        return;
    };
    let held = json!({ "patterns": [{ "urlPattern": "*/api/v1/events" }] });
    browser.devtools("Fetch.enable", &held);
    browser.open(&daemon.url);
    browser.tells(".list-empty h2", "No torrents yet", SOON);
    browser.wait(&link("connected"), SOON);
    add(&browser);
    browser.wait("document.querySelector('.tspace .trow')", SOON);
    browser.devtools("Fetch.disable", &json!({}));
    browser.wait(&link("live"), DEADLINE);
}

/// What the page says of its connection, as an expression.
fn link(words: &str) -> String {
    format!("document.querySelector('#link-state').title === '{words}'")
}

/// Adds a torrent that nobody has, beside the page.
fn add(browser: &Browser) {
    let magnet = format!("magnet:?xt=urn:btih:{}", "5a".repeat(20));
    ask(browser, "POST", "/torrents", &json!({ "magnet": magnet }));
}

/// Takes all places for listeners.
fn listeners(daemon: &Seedbox) -> Vec<TcpStream> {
    let address = daemon.url.trim_start_matches("http://");
    let mut all = Vec::new();
    loop {
        let mut stream = TcpStream::connect(address).expect("the daemon is there");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let request =
            format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\nX-Chunkcast: 1\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asked");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("answered");
        if status != *b"HTTP/1.1 200" {
            assert!(!all.is_empty(), "{}", String::from_utf8_lossy(&status));
            return all;
        }
        all.push(stream);
    }
}
