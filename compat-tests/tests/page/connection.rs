//! How the page hears of the daemon: by its stream of events, without that, and again after it was gone.

use chunkcast_compat_tests::browser::{Browser, WIDE};
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::scratch;
use chunkcast_compat_tests::seedbox::Seedbox;

use super::scene::SOON;

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
    browser.tells("#banner", "does not answer", SOON);
    drop(daemon);
    let _again = Seedbox::start(dir.path(), &address, &["--no-index"]);
    browser.wait("document.querySelector('#banner').hidden", DEADLINE);
    browser.wait("document.querySelector('.list-empty h2')", SOON);
    // without an index node there is no directory to look into, and the page says so
    browser.press(&["3"]);
    browser.tells(".directory h2", "No index node", SOON);
}
