//! Files to and from stock clients on loopback, found through a stock tracker.

use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{At, Mode, Transmission, aria2, ours};
use chunkcast_compat_tests::wait_for;

const HERE: At<'static> = At::Loopback;

/// A Transmission that seeds and that the tracker knows.
fn transmission_seeds(scene: &Scene<'static>) -> Option<Transmission<'static>> {
    let seed = Transmission::start(scene.dir.path(), HERE)?;
    seed.add(&scene.torrent(), &scene.source());
    scene.announced(1, 0);
    Some(seed)
}

#[test]
fn transmission_seeds_and_we_download() {
    let Some(scene) = Scene::new(HERE, Made::ByUs) else {
        return;
    };
    let Some(_seed) = transmission_seeds(&scene) else {
        return;
    };
    scene.we_get(HERE, &scene.torrent());
}

#[test]
fn a_peer_that_cannot_dial_us_is_dialled_by_our_seed() {
    let Some(scene) = Scene::new(HERE, Made::ByUs) else {
        return;
    };
    let Some(get) = Transmission::start(scene.dir.path(), HERE) else {
        return;
    };
    // Transmission dials no loopback address, as if it were behind a NAT
    get.add(&scene.torrent(), &scene.copy());
    scene.announced(0, 1);
    let _seed = scene.we_start_seeding(HERE);
    wait_for("Transmission is done", DEADLINE, || {
        get.percent().filter(|p| *p >= 100.0)
    });
    scene.assert_equal(false);
}

#[test]
fn aria2_seeds_and_we_download() {
    let Some(scene) = Scene::new(HERE, Made::ByUs) else {
        return;
    };
    let (dir, source) = (scene.dir.path(), scene.source());
    let Some(_seed) = aria2(dir, HERE, &scene.torrent(), &source, Mode::Seed) else {
        return;
    };
    scene.announced(1, 0);
    scene.we_get(HERE, &scene.torrent());
}

#[test]
fn aria2_downloads_from_us() {
    let Some(scene) = Scene::new(HERE, Made::ByUs) else {
        return;
    };
    let seed = scene.we_seed(HERE);
    let (dir, copy) = (scene.dir.path(), scene.copy());
    let Some(mut get) = aria2(dir, HERE, &scene.torrent(), &copy, Mode::Get) else {
        return;
    };
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}\n{}", get.log(), seed.log());
    scene.assert_equal(true);
}

#[test]
fn a_magnet_link_with_a_tracker_is_enough_to_download_from_a_stock_seed() {
    let Some(scene) = Scene::new(HERE, Made::ByUs) else {
        return;
    };
    let Some(_seed) = transmission_seeds(&scene) else {
        return;
    };
    scene.we_get(HERE, &scene.magnet(&scene.urls[1]));
}

#[test]
fn what_is_there_after_a_kill_is_not_downloaded_again() {
    let Some(scene) = Scene::new(HERE, Made::ByUs) else {
        return;
    };
    let (dir, source) = (scene.dir.path(), scene.source());
    let Some(_seed) = aria2(dir, HERE, &scene.torrent(), &source, Mode::SlowSeed) else {
        return;
    };
    scene.announced(1, 0);
    let (torrent, copy) = (scene.torrent(), scene.path("copy"));
    let mut first = ours("first", dir, &["get", &torrent, "-o", &copy]);
    let verified = |p: &serde_json::Value| p["verified_bytes"].as_u64().unwrap_or(0);
    let kept = wait_for("a part is verified", DEADLINE, || {
        let last = first.events("progress").last().map(verified);
        last.filter(|v| *v >= 500_000)
    });
    first.kill();
    assert_eq!(first.events("complete").len(), 0, "killed half-way");
    let second = scene.we_get(HERE, &torrent);
    let done = &second.events("complete")[0];
    let number = |name: &str| done[name].as_u64().expect("a number");
    let (total, downloaded, wasted) = (
        number("total_bytes"),
        number("downloaded"),
        number("wasted"),
    );
    assert!(
        downloaded - wasted <= total - kept,
        "{downloaded} bytes of {total}, though {kept} were there"
    );
    assert!(downloaded > 0, "something was missing");
}
