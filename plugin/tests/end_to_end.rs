//! The program as its user sees it: real processes on loopback that know of each other only through the directory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chunkcast_compat_tests::stock::ours;
use chunkcast_compat_tests::{
    ALONE, Proc, Scratch, chunkcast, create, noise, scratch, wait_for, write,
};

const DEADLINE: Duration = Duration::from_secs(120);

/// An index node; its address.
fn index_node(dir: &Path) -> (Proc, String) {
    let mut command = Command::new(chunkcast());
    command.args(["node", "--index-listen", "127.0.0.1:0", "--json"]);
    command.args(ALONE);
    let node = Proc::spawn("node", dir, &mut command);
    let addr = wait_for("the index node listens", DEADLINE, || {
        node.events("listening")
            .pop()
            .and_then(|e| e["index"].as_str().map(str::to_owned))
    });
    (node, addr)
}

/// A file, its torrent, an index node and a seed that is published.
struct Scene {
    dir: Scratch,
    infohash: String,
    index: String,
    seed: Proc,
    _node: Proc,
    data: Vec<u8>,
}

impl Scene {
    fn new(len: usize, more: &[&str]) -> Self {
        let dir = scratch();
        let data = noise(7, len);
        write(&dir.path().join("source/file.bin"), &data);
        let torrent = dir.path().join("t.torrent");
        let infohash = create(&dir.path().join("source/file.bin"), &torrent, more);
        let (node, index) = index_node(dir.path());
        let source = dir.path().join("source/file.bin").display().to_string();
        let seed = ours(
            "seed",
            dir.path(),
            &[
                "seed",
                &torrent.display().to_string(),
                "--data",
                &source,
                "--bootstrap",
                &index,
                "--no-trackers",
            ],
        );
        wait_for("the seed has verified its data", DEADLINE, || {
            seed.events("complete").pop()
        });
        Self {
            dir,
            infohash,
            index,
            seed,
            _node: node,
            data,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn get(&self, name: &str, source: &str, more: &[&str]) -> Proc {
        let out = self.path("copy");
        let mut args = vec![
            "get",
            source,
            "-o",
            &out,
            "--bootstrap",
            &self.index,
            "--no-trackers",
        ];
        args.extend(more);
        ours(name, self.dir.path(), &args)
    }

    fn assert_equal(&self) {
        let copy = std::fs::read(self.dir.path().join("copy/file.bin")).expect("the copy");
        assert!(copy == self.data, "the copy differs from the source");
    }
}

#[test]
fn a_magnet_link_and_an_index_node_are_enough() {
    let scene = Scene::new(3_000_001, &["--piece-length", "64KiB"]);
    let mut get = scene.get(
        "get",
        &format!("magnet:?xt=urn:btih:{}", scene.infohash),
        &[],
    );
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}\n{}", get.log(), scene.seed.log());
    scene.assert_equal();
    let sources: Vec<String> = get
        .events("peers")
        .pop()
        .and_then(|e| e["peers"].as_array().cloned())
        .unwrap_or_default()
        .iter()
        .map(|p| p["source"].as_str().unwrap_or("?").to_owned())
        .collect();
    assert!(
        !sources.is_empty() && sources.iter().all(|s| s == "directory" || s == "incoming"),
        "{sources:?}"
    );
    let first_bytes = get.events("metadata");
    assert_eq!(first_bytes.len(), 1);
    assert_eq!(first_bytes[0]["name"], "file.bin");
}

#[test]
fn a_killed_download_goes_on_without_fetching_verified_pieces_again() {
    let scene = Scene::new(48 << 20, &["--piece-length", "64KiB"]);
    let torrent = scene.path("t.torrent");
    let mut first = scene.get("first", &torrent, &[]);
    let total = scene.data.len() as u64;
    wait_for("a part is verified", DEADLINE, || {
        assert!(
            first.events("complete").is_empty(),
            "too fast to be killed mid-way"
        );
        // looked at on the disk, not in the progress lines: they come once a second
        let path = scene.dir.path().join("copy/file.bin");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).ok()?);
        (blocks * 512 > total / 8).then_some(())
    });
    first.kill();
    let mut second = scene.get("second", &torrent, &[]);
    assert!(second.wait(DEADLINE).success(), "{}", second.log());
    scene.assert_equal();
    let complete = second.events("complete").pop().expect("a complete event");
    let fetched = complete["downloaded"].as_u64().expect("bytes");
    let wasted = complete["wasted"].as_u64().expect("bytes");
    assert!(
        fetched - wasted <= total - total / 8 + (1 << 20),
        "fetched {fetched} of {total} again"
    );
}

#[test]
fn lookup_names_the_seed() {
    let scene = Scene::new(200_000, &[]);
    let found = wait_for("the seed is found", DEADLINE, || {
        let out = Command::new(chunkcast())
            .args([
                "lookup",
                &scene.infohash,
                "--bootstrap",
                &scene.index,
                "--json",
            ])
            .output()
            .expect("chunkcast runs");
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    });
    let event: serde_json::Value =
        serde_json::from_str(found.lines().next().unwrap_or("")).expect("JSON");
    let listen = scene.seed.events("metadata").pop().expect("metadata")["listen"].clone();
    assert_eq!(event["peers"][0]["addrs"][0], listen, "{found}");
}

#[test]
fn a_private_torrent_is_never_published() {
    let scene = Scene::new(200_000, &["--private"]);
    // a public one through the same nodes is there at once; the private one is not
    write(
        &scene.dir.path().join("source/public.bin"),
        &noise(9, 100_000),
    );
    let torrent = scene.dir.path().join("public.torrent");
    let public = create(&scene.dir.path().join("source/public.bin"), &torrent, &[]);
    let source = scene.path("source/public.bin");
    let _seed = ours(
        "public-seed",
        scene.dir.path(),
        &[
            "seed",
            &torrent.display().to_string(),
            "--data",
            &source,
            "--bootstrap",
            &scene.index,
            "--no-trackers",
        ],
    );
    let lookup = |hash: &str| {
        let mut command = Command::new(chunkcast());
        command.args([
            "lookup",
            hash,
            "--to-root",
            "--bootstrap",
            &scene.index,
            "--json",
        ]);
        command.output().expect("chunkcast runs").status.code()
    };
    wait_for("the public torrent is found", DEADLINE, || {
        (lookup(&public) == Some(0)).then_some(())
    });
    assert_eq!(lookup(&scene.infohash), Some(3), "{}", scene.seed.log());
}

#[test]
fn an_interrupted_download_says_so_and_keeps_what_it_has() {
    let scene = Scene::new(48 << 20, &["--piece-length", "64KiB"]);
    let mut get = scene.get("get", &scene.path("t.torrent"), &[]);
    wait_for("it has begun", DEADLINE, || {
        scene
            .dir
            .path()
            .join("copy/file.bin")
            .exists()
            .then_some(())
    });
    get.terminate();
    let status = get.wait(DEADLINE);
    if get.events("complete").is_empty() {
        assert_eq!(status.code(), Some(7), "{}", get.log());
    }
    let mut again = scene.get("again", &scene.path("t.torrent"), &[]);
    assert!(again.wait(DEADLINE).success(), "{}", again.log());
    scene.assert_equal();
}

#[test]
fn the_demo_shows_equal_copies_and_cleans_up() {
    let dir = scratch();
    let mut command = Command::new(chunkcast());
    command
        .args(["demo", "--peers", "4", "--size", "8MiB"])
        .env("TMPDIR", dir.path());
    let mut demo = Proc::spawn("demo", dir.path(), &mut command);
    let status = demo.wait(DEADLINE);
    let log = demo.log();
    assert!(status.success(), "{log}");
    assert!(
        log.contains("4 of 4 copies are equal to the source"),
        "{log}"
    );
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .expect("the directory")
        .filter_map(Result::ok)
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n.starts_with("chunkcast-demo"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A small file system of its own, unmounted at the end.
struct Tmpfs(String);

impl Tmpfs {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let at = at.display().to_string();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none", &at]);
        if command.output().is_ok_and(|o| o.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED: a full disk: mounting a tmpfs is not permitted here");
        None
    }

    fn resize(&self, size: &str) {
        let mut command = Command::new("mount");
        let grown = command.args(["-o", &format!("remount,size={size}"), &self.0]);
        assert!(grown.status().expect("mount runs").success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_pauses_the_download_until_there_is_room() {
    let scene = Scene::new(3_000_000, &["--piece-length", "64KiB"]);
    let Some(disk) = Tmpfs::mount(&scene.dir.path().join("copy"), "1m") else {
        return;
    };
    let torrent = scene.path("t.torrent");
    let paused = |get: &Proc| {
        wait_for("a pause", DEADLINE, || {
            get.events("paused").first().cloned()
        })
    };
    let mut stopped = scene.get("stopped", &torrent, &[]);
    paused(&stopped);
    stopped.signal("INT");
    assert_eq!(stopped.wait(DEADLINE).code(), Some(7), "{}", stopped.log());

    let mut get = scene.get("get", &torrent, &[]);
    let told = paused(&get);
    let line = told["message"].as_str().unwrap_or_default();
    assert!(
        line.contains("no space left") && line.contains("copy"),
        "{told}"
    );
    disk.resize("16m");
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    assert_eq!(get.events("error").len(), 0, "{}", get.log());
    assert_eq!(get.events("resumed").len(), 1, "{}", get.log());
    scene.assert_equal();
    let fetched = get.events("complete")[0]["downloaded"].as_u64();
    assert!(
        fetched.is_some_and(|bytes| bytes < 3_000_000 - 500_000),
        "{fetched:?} bytes: what was there is used again"
    );
}
