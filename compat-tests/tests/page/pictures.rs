//! The pictures of docs/page.md.

use std::path::PathBuf;

use chunkcast_compat_tests::browser::{SMALL, Screen, WIDE};
use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::{create, noise, write};
use serde_json::Value;

use super::scene::{SOON, Scene, painted};

/// Not a test: photographs of a swarm with near and far peers, into the directory that `CHUNKCAST_PICTURES` names.
#[test]
#[ignore = "run for docs/page.md, which says how"]
fn photographs() {
    let pictures = std::env::var_os("CHUNKCAST_PICTURES").map(PathBuf::from);
    let pictures = pictures.expect("CHUNKCAST_PICTURES says into which directory");
    let scene = Scene::with("survey-2026", 60, 6, &[14, 38, 75, 120]);
    let Some(browser) = scene.browser(WIDE) else {
        return;
    };
    let take = |place: &str, ready: &str, name: &str, screen: Screen| {
        browser.show_on(screen);
        browser.go(place);
        browser.wait(ready, SOON);
        browser.settle();
        browser.photograph(&pictures.join(name));
    };
    browser.go("#/settings");
    browser.fill("form[aria-label=Rates] input", "700");
    browser.click("form[aria-label=Rates] [type=submit]");
    browser.wait("document.querySelector('.toast')", SOON);
    browser.click(".toast button");

    // others that are here already, and seed
    browser.go("#/torrents");
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
    browser.go(&of("pieces"));
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
