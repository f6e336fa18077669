//! Stock clients read what `create` writes, and see the same infohash: transmission-show, aria2c and libtorrent.
//!
//! A client that is not installed is passed over with a line that says so; with `CHUNKCAST_STOCK=require` it fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chunkcast_bittorrent::metadata::{CreateOptions, Created, create};

/// Runs a client; `None` when it is not installed and need not be.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    let require = std::env::var("CHUNKCAST_STOCK").is_ok_and(|v| v == "require");
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(e) if require => panic!("{program}: {e}"),
        Err(e) => {
            eprintln!("passed over: {program}: {e}");
            None
        }
    }
}

/// Puts the .torrent file beside the data and asks each client about it.
fn accepted(dir: &Path, created: &Created) {
    let file = dir.join("made.torrent");
    fs::write(&file, &created.bytes).unwrap();
    let file = file.to_str().unwrap();
    let hash: String = created
        .info_hash
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let text = |o: &Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&o.stdout),
            String::from_utf8_lossy(&o.stderr)
        )
    };

    if let Some(output) = run("transmission-show", &[file]) {
        assert!(output.status.success(), "{}", text(&output));
        assert!(
            text(&output).contains(&format!("Hash: {hash}")),
            "{}",
            text(&output)
        );
        let private = if created.metainfo.private {
            "Private torrent"
        } else {
            "Public torrent"
        };
        assert!(text(&output).contains(private), "{}", text(&output));
    }
    if let Some(output) = run("aria2c", &["-S", file]) {
        assert!(output.status.success(), "{}", text(&output));
        assert!(
            text(&output).contains(&format!("Info Hash: {hash}")),
            "{}",
            text(&output)
        );
        let pieces = format!(
            "The Number of Pieces: {}",
            created.metainfo.layout.piece_count()
        );
        assert!(text(&output).contains(&pieces), "{}", text(&output));
    }
    // libtorrent reads it, and its own check of the data finds every piece
    let script = r#"
import sys, time
try:
    import libtorrent as lt
except ImportError as e:
    print("no libtorrent", e)
    sys.exit(0)
ti = lt.torrent_info(sys.argv[1])
print("hash", ti.info_hash(), "private" if ti.priv() else "public", ti.num_pieces(), ti.total_size())
s = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False,
                "enable_upnp": False, "enable_natpmp": False})
h = s.add_torrent({"ti": ti, "save_path": sys.argv[2]})
end = time.monotonic() + 60
while time.monotonic() < end and not h.status().is_seeding:
    time.sleep(0.05)
print("seeding", h.status().is_seeding)
"#;
    let save = dir.to_str().unwrap();
    if let Some(output) = run("python3", &["-W", "ignore", "-c", script, file, save]) {
        let said = text(&output);
        if said.starts_with("no libtorrent") {
            assert!(std::env::var("CHUNKCAST_STOCK").is_err(), "{said}");
            return eprintln!("passed over: {said}");
        }
        assert!(output.status.success(), "{said}");
        let privacy = if created.metainfo.private {
            "private"
        } else {
            "public"
        };
        let expected = format!(
            "hash {hash} {privacy} {} {}\n",
            created.metainfo.layout.piece_count(),
            created.total_length
        );
        assert!(said.starts_with(&expected), "{said}");
        assert!(said.contains("seeding True"), "{said}");
    }
}

fn options() -> CreateOptions {
    CreateOptions {
        piece_length: Some(256 << 10),
        trackers: vec![
            "http://127.0.0.1:1/announce".into(),
            "udp://127.0.0.1:1".into(),
        ],
        created_by: Some("ChunkCast".into()),
        ..CreateOptions::default()
    }
}

fn bytes(len: u32) -> Vec<u8> {
    (0..len)
        .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect()
}

#[test]
fn one_mebibyte_in_pieces_of_256_kib() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("file.bin");
    fs::write(&path, bytes(1 << 20)).unwrap();
    let created = create(&path, &options(), |_, _| {}).unwrap();
    assert_eq!(created.metainfo.layout.piece_count(), 4);
    accepted(tmp.path(), &created);
}

#[test]
fn a_folder() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("folder");
    fs::create_dir_all(path.join("sub/sub")).unwrap();
    fs::write(path.join("b ä.bin"), bytes(300_000)).unwrap();
    fs::write(path.join("sub/a"), bytes(1)).unwrap();
    fs::write(path.join("sub/sub/z"), bytes(512 << 10)).unwrap();
    fs::write(path.join("sub!"), b"").unwrap();
    let private = CreateOptions {
        private: true,
        ..options()
    };
    accepted(tmp.path(), &create(&path, &private, |_, _| {}).unwrap());
    accepted(tmp.path(), &create(&path, &options(), |_, _| {}).unwrap());
}

#[test]
fn a_folder_that_ends_in_an_empty_file() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("folder");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("a.bin"), bytes(512 << 10)).unwrap();
    fs::write(path.join("z.bin"), b"").unwrap();
    let created = create(&path, &options(), |_, _| {}).unwrap();
    assert_eq!(created.metainfo.layout.piece_count(), 2);
    accepted(tmp.path(), &created);
}
