//! The page of `chunkcast daemon` in headless Chromium, as a person uses it.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped is said on standard output"
)]

mod changes;
mod connection;
mod pictures;
mod scene;
mod screens;
mod torrent;

use chunkcast_compat_tests::scratch;
use serde_json::{Value, json};

#[test]
fn the_parts_that_need_no_page_do_what_they_say() {
    let dir = scratch();
    let Some((daemon, browser)) = scene::alone(&dir) else {
        return;
    };
    browser.open(&daemon.url);
    let failed = browser.run(include_str!("parts.js"), &Value::Null);
    assert_eq!(failed, json!([]));
}
