//! On large screens and small ones.

use chunkcast_compat_tests::browser::{SMALL, Screen};
use chunkcast_compat_tests::scene::DEADLINE;
use serde_json::{Value, json};

use super::scene::{SOON, Scene};

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
    browser.says(".tspace .progress-cell .num", "100 %", DEADLINE);

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
        browser.go(place);
        // what a view shows at last, and not while it waits
        browser.wait("document.querySelector('main h1, main h2') && !document.querySelector('main .skeleton')", SOON);
        browser.settle();
        let wide = browser.run(
            "const inside = '.scroll-x, .filters, .tabs, .visually-hidden, svg, .names';
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
    browser.go("#/torrents");
    let fills = "Math.abs(document.querySelector('.table').getBoundingClientRect().bottom - innerHeight) < 1";
    browser.wait(fills, SOON);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
