//! Files to and from stock clients, found through a stock tracker.

use std::path::Path;
use std::time::Duration;

use chunkcast_compat_tests::stock::{
    Tracker, Transmission, announce_http, announce_udp, aria2, ours,
};
use chunkcast_compat_tests::{Scratch, create, free_port, noise, scratch, wait_for, write};

/// Long enough for a slow tracker round and a debug build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(150);

/// A folder with a short last piece, an empty file and a file across piece borders; its torrent; a tracker.
struct Scene {
    dir: Scratch,
    infohash: String,
    tracker: Option<Tracker>,
    urls: [String; 2],
}

const FILES: [(&str, usize); 4] = [
    ("a.bin", 700_000),
    ("deep/b.bin", 2_500_000),
    ("deep/empty", 0),
    ("z.bin", 1),
];

impl Scene {
    fn new() -> Self {
        let dir = scratch();
        for (i, (name, len)) in FILES.iter().enumerate() {
            write(
                &dir.path().join("source/data").join(name),
                &noise(i as u64, *len),
            );
        }
        let port = free_port();
        let urls = [announce_http(port), announce_udp(port)];
        let infohash = create(
            &dir.path().join("source/data"),
            &dir.path().join("t.torrent"),
            &["--tracker", &urls[0], "--piece-length", "64KiB"],
        );
        let tracker = Tracker::start(dir.path(), port, &[&infohash]);
        Self {
            dir,
            infohash,
            tracker,
            urls,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn torrent(&self) -> String {
        self.path("t.torrent")
    }

    /// Waits until the tracker knows that many complete and incomplete peers.
    fn announced(&self, complete: u32, incomplete: u32) {
        let tracker = self
            .tracker
            .as_ref()
            .expect("checked at the start of the test");
        wait_for("the tracker has heard of everyone", DEADLINE, || {
            tracker
                .peers(&self.infohash)
                .filter(|(c, i)| *c >= complete && *i >= incomplete)
        });
    }

    fn assert_equal(&self, copy: &str) {
        for (i, (name, len)) in FILES.iter().enumerate() {
            let path = Path::new(&self.path(copy)).join("data").join(name);
            let got = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(
                got == noise(i as u64, *len),
                "{} differs from the source",
                path.display()
            );
        }
    }

    /// Downloads with `chunkcast get` and compares.
    fn we_get(&self, source: &str) {
        let mut get = ours(
            "get",
            self.dir.path(),
            &["get", source, "-o", &self.path("copy")],
        );
        let status = get.wait(DEADLINE);
        assert!(status.success(), "{}", get.log());
        assert_eq!(get.events("complete").len(), 1, "{}", get.log());
        self.assert_equal("copy");
    }
}

#[test]
fn transmission_seeds_and_we_download() {
    let scene = Scene::new();
    if scene.tracker.is_none() {
        return;
    }
    let Some(seed) = Transmission::start(scene.dir.path()) else {
        return;
    };
    seed.add(&scene.torrent(), Path::new(&scene.path("source")));
    wait_for("Transmission has verified its data", DEADLINE, || {
        seed.percent().filter(|p| *p >= 100.0)
    });
    scene.announced(1, 0);
    scene.we_get(&scene.torrent());
}

#[test]
fn transmission_downloads_from_us() {
    let scene = Scene::new();
    if scene.tracker.is_none() {
        return;
    }
    let Some(get) = Transmission::start(scene.dir.path()) else {
        return;
    };
    // Transmission dials no loopback address, so it is there first and we dial it
    get.add(&scene.torrent(), Path::new(&scene.path("copy")));
    scene.announced(0, 1);
    let data = scene.path("source/data");
    let _seed = ours(
        "seed",
        scene.dir.path(),
        &["seed", &scene.torrent(), "--data", &data],
    );
    wait_for("Transmission is done", DEADLINE, || {
        get.percent().filter(|p| *p >= 100.0)
    });
    scene.assert_equal("copy");
}

#[test]
fn aria2_seeds_and_we_download() {
    let scene = Scene::new();
    if scene.tracker.is_none() {
        return;
    }
    let Some(_seed) = aria2(
        scene.dir.path(),
        &scene.torrent(),
        Path::new(&scene.path("source")),
        true,
    ) else {
        return;
    };
    scene.announced(1, 0);
    scene.we_get(&scene.torrent());
}

#[test]
fn aria2_downloads_from_us() {
    let scene = Scene::new();
    if scene.tracker.is_none() {
        return;
    }
    let data = scene.path("source/data");
    let seed = ours(
        "seed",
        scene.dir.path(),
        &["seed", &scene.torrent(), "--data", &data],
    );
    scene.announced(1, 0);
    let Some(mut get) = aria2(
        scene.dir.path(),
        &scene.torrent(),
        Path::new(&scene.path("copy")),
        false,
    ) else {
        return;
    };
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}\n{}", get.log(), seed.log());
    scene.assert_equal("copy");
}

#[test]
fn a_magnet_link_with_a_tracker_is_enough_to_download_from_a_stock_seed() {
    let scene = Scene::new();
    if scene.tracker.is_none() {
        return;
    }
    let Some(seed) = Transmission::start(scene.dir.path()) else {
        return;
    };
    seed.add(&scene.torrent(), Path::new(&scene.path("source")));
    wait_for("Transmission has verified its data", DEADLINE, || {
        seed.percent().filter(|p| *p >= 100.0)
    });
    scene.announced(1, 0);
    let tracker = scene.urls[1].replace(':', "%3A").replace('/', "%2F");
    scene.we_get(&format!(
        "magnet:?xt=urn:btih:{}&tr={tracker}",
        scene.infohash
    ));
}
