//! From the first look to the last: a torrent that moves over loopback, with the mouse and with the keyboard alone.

use chunkcast_compat_tests::browser::{Browser, WIDE, key};
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::wait_for;
use serde_json::{Value, json};

use super::scene::{FILES, SOON, Scene, painted, text_of};

/// What a page that parsed it would run.
const HOSTILE: &str = "<img src=x onerror=window.owned=1>";

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
    browser.tells(".toast", "Rates: saved", SOON);

    browser.click(".nav [data-view=torrents]");
    browser.click("#add");
    browser.fill("dialog textarea", &scene.magnet());
    browser.click("dialog [type=submit]");
    browser.wait("!document.querySelector('dialog')", SOON);

    // what it is called is text, whatever it looks like
    let row = ".tspace .name";
    browser.says(row, scene.name, DEADLINE);
    browser.wait(
        &format!("parseFloat({}) > 0", text_of(".tspace .progress-cell .num")),
        DEADLINE,
    );
    browser.click(row);
    browser.says("h1", scene.name, SOON);
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
    browser.tells("#map-reading", "Piece 95", SOON);
    browser.tells("#map-reading", "has it", SOON);
    scene.go(&browser, "peers");
    browser.says("td[data-label='Named by']", "directory", SOON);
    browser.says("td[data-label=Rank]", "1", SOON);
    scene.go(&browser, "swarm");
    browser.wait(&painted("canvas.swarm"), SOON);
    browser.tells(".swarm-most", "127.0.0.1", SOON);
    scene.go(&browser, "lookups");
    browser.click("#trace");
    browser.wait("document.querySelector('.way li')", SOON);

    browser.click("#toggle");
    browser.says(".torrent-head .state", "Paused", SOON);
    assert!(!scene.is_whole(), "it was paused on the way");
    browser.click("#toggle");
    browser.says(".torrent-head .state", "Downloading", SOON);

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
    browser.go("#/settings");
    browser.fill("form[aria-label=Rates] input", "0000");
    browser.click("form[aria-label=Rates] [type=submit]");
    browser.go("#/torrents");
    browser.says(".tspace .progress-cell .num", "100 %", DEADLINE);
    browser.says(".tspace .state", "Seeding", SOON);
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
    browser.says("dialog .names li", scene.name, SOON);
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
    browser.tells("dialog .file-list", "t.torrent", SOON);
    tab_to(&browser, "document.activeElement.type === 'submit'");
    browser.press(&[key::ENTER]);
    browser.says(".tspace .name", "data set", DEADLINE);
    browser.says(".tspace .progress-cell .num", "100 %", DEADLINE);
    assert!(scene.is_whole());

    browser.press(&["l"]);
    focus(".classList.contains('trow')");
    browser.press(&["p"]);
    browser.says(".tspace .state", "Paused", SOON);
    browser.press(&["s"]);
    browser.says(".tspace .state", "Seeding", SOON);

    browser.press(&[key::ENTER]);
    browser.wait("location.hash.endsWith('/pieces')", SOON);
    tab_to(&browser, "document.activeElement.id === 'tab-pieces'");
    browser.press(&[key::RIGHT]);
    browser.wait("location.hash.endsWith('/peers')", SOON);
    focus(".id === 'tab-peers'");
    browser.press(&[key::END]);
    browser.tells(".facts", &scene.hash, SOON);

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
    browser.says(".label-button", "keep, iso", SOON);
    browser.press(&["?"]);
    browser.wait("document.querySelector('dialog .shortcuts')", SOON);
    browser.press(&[key::ESCAPE]);
    browser.wait("!document.querySelector('dialog')", SOON);

    browser.press(&["1"]);
    browser.wait("location.hash === '#/torrents'", SOON);
    browser.press(&["/"]);
    focus(".type === 'search'");
    browser.type_keys("nothing like it");
    browser.says(".list-empty h2", "Nothing here is like that", SOON);
    browser.run("document.activeElement.select();", &Value::Null);
    browser.type_keys("data");
    tab_to(
        &browser,
        "document.activeElement.classList.contains('trow')",
    );
    browser.press(&[key::SPACE]);
    browser.says(".chosen-text", "1 torrent chosen", SOON);
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
