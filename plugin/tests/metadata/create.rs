//! Making .torrent files: what is in them, what is refused, and that the same input gives the same bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use chunkcast_bittorrent::metadata::{CreateError, CreateOptions, Created, Metainfo, create};
use proptest::prelude::*;
use sha1::{Digest, Sha1};

fn data(len: usize, seed: u32) -> Vec<u8> {
    (0u32..)
        .map(|i| (i ^ seed).wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .take(len)
        .collect()
}

fn make(path: &Path, options: &CreateOptions) -> Result<Created, CreateError> {
    create(path, options, |_, _| {})
}

fn pieces(length: u32) -> CreateOptions {
    CreateOptions {
        piece_length: Some(length),
        ..CreateOptions::default()
    }
}

/// Writes files and returns the folder with them, inside a temporary directory.
fn tree(files: &[(&str, &[u8])]) -> (tempfile::TempDir, std::path::PathBuf) {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().join("folder");
    fs::create_dir(&root).unwrap();
    for (path, data) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
    (tmp, root)
}

fn paths(created: &Created) -> Vec<&str> {
    created
        .metainfo
        .layout
        .files
        .iter()
        .map(|f| f.path.to_str().unwrap())
        .collect()
}

/// The hashes are those of the bytes, cut into pieces.
fn check_hashes(created: &Created, bytes: &[u8]) {
    let layout = &created.metainfo.layout;
    let expected: Vec<u8> = bytes
        .chunks(created.piece_length as usize)
        .flat_map(|p| Sha1::digest(p).to_vec())
        .collect();
    assert_eq!(layout.hashes, expected);
    assert_eq!(layout.total_length, bytes.len() as u64);
}

#[test]
fn an_exact_multiple_of_the_piece_length_has_no_hash_too_many() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("file.bin");
    let bytes = data(1 << 20, 1);
    fs::write(&file, &bytes).unwrap();
    let created = make(&file, &pieces(256 << 10)).unwrap();
    assert_eq!(created.metainfo.layout.hashes.len(), 4 * 20);
    assert_eq!((created.total_length, created.files), (1 << 20, 1));
    assert_eq!(paths(&created), ["file.bin"]);
    check_hashes(&created, &bytes);
}

#[test]
fn files_are_in_bytewise_order_of_their_path_components() {
    let files: [(&str, &[u8]); 6] = [
        ("b", b"1"),
        ("a/z", b"2"),
        ("a!", b"3"),
        ("B", b"4"),
        ("a/b/c", b"5"),
        ("ä", b"6"),
    ];
    let (_tmp, root) = tree(&files);
    let created = make(&root, &CreateOptions::default()).unwrap();
    assert_eq!(
        paths(&created),
        [
            "folder/B",
            "folder/a/b/c",
            "folder/a/z",
            "folder/a!",
            "folder/b",
            "folder/ä"
        ]
    );
    check_hashes(&created, b"452316");
}

#[test]
fn empty_files_are_kept_also_the_last() {
    let bytes = data(32 << 10, 2);
    let (_tmp, root) = tree(&[("a", &bytes), ("m", b""), ("z", b"")]);
    fs::create_dir(root.join("empty folder")).unwrap();
    let created = make(&root, &pieces(16 << 10)).unwrap();
    assert_eq!(paths(&created), ["folder/a", "folder/m", "folder/z"]);
    assert_eq!(created.files, 3);
    check_hashes(&created, &bytes);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let big = data(100_000, 3);
    let (_a, first) = tree(&[("x", &big), ("y/z", b"2"), ("a", b"")]);
    let (_b, second) = tree(&[("a", b""), ("y/z", b"2"), ("x", &big)]);
    let options = CreateOptions {
        trackers: vec![
            "http://a.example/announce".into(),
            "udp://b.example:6969".into(),
        ],
        comment: Some("for all".into()),
        created_by: Some("ChunkCast".into()),
        ..CreateOptions::default()
    };
    let (first, second) = (
        make(&first, &options).unwrap(),
        make(&second, &options).unwrap(),
    );
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(first.info_hash, second.info_hash);
    let text = String::from_utf8_lossy(&first.bytes).into_owned();
    assert!(text.starts_with(
        "d8:announce25:http://a.example/announce13:announce-listll25:http://a.example/announceel20:udp://b.example:6969ee\
         7:comment7:for all10:created by9:ChunkCast4:infod5:filesld6:lengthi0e4:pathl1:aee"
    ));
    assert!(!text.contains("creation date"));
}

#[test]
fn private_name_and_trackers_go_in() {
    let (_tmp, root) = tree(&[("a", b"1")]);
    let plain = make(&root, &CreateOptions::default()).unwrap();
    assert!(!plain.metainfo.private && plain.metainfo.trackers.is_empty());
    let options = CreateOptions {
        private: true,
        name: Some("other".into()),
        trackers: vec!["http://a.example/announce".into()],
        ..CreateOptions::default()
    };
    let private = make(&root, &options).unwrap();
    assert!(private.metainfo.private);
    assert_eq!(paths(&private), ["other/a"]);
    assert_eq!(private.metainfo.trackers, [["http://a.example/announce"]]);
    assert_ne!(private.info_hash, plain.info_hash);
}

#[test]
fn web_seeds_go_in_as_a_list_and_only_urls_do() {
    let (_tmp, root) = tree(&[("a", b"1")]);
    let with = |seeds: &[&str]| {
        let web_seeds = seeds.iter().map(|s| (*s).to_owned()).collect();
        let options = CreateOptions {
            web_seeds,
            ..CreateOptions::default()
        };
        make(&root, &options)
    };
    let seeds = ["http://a.example/d/", "https://b.example/"];
    let created = with(&seeds).unwrap();
    assert_eq!(created.metainfo.web_seeds, seeds);
    assert!(
        created
            .bytes
            .ends_with(b"8:url-listl19:http://a.example/d/18:https://b.example/ee")
    );
    assert_eq!(created.info_hash, with(&[]).unwrap().info_hash);
    for bad in [
        &["ftp://a.example/"][..],
        &["a"],
        &["http://a/", "http://a/"],
    ] {
        assert!(matches!(with(bad), Err(CreateError::WebSeed(_))), "{bad:?}");
    }
}

#[test]
fn the_piece_length_follows_the_size() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("f");
    let length = |size: u64| {
        fs::File::create(&file).unwrap().set_len(size).unwrap();
        let created = make(&file, &CreateOptions::default()).unwrap();
        (created.piece_length, created.metainfo.layout.piece_count())
    };
    assert_eq!(length(1), (16 << 10, 1));
    assert_eq!(length(32 << 20), (16 << 10, 2048));
    assert_eq!(length((32 << 20) + 1), (32 << 10, 1025));
    assert_eq!(length(100 << 20), (64 << 10, 1600));
}

#[test]
fn progress_goes_up_to_the_total() {
    let (_tmp, root) = tree(&[("a", &data(700_000, 4)), ("b", b""), ("c", b"1")]);
    let mut seen = Vec::new();
    create(&root, &CreateOptions::default(), |done, total| {
        seen.push((done, total))
    })
    .unwrap();
    assert_eq!(seen.first(), Some(&(0, 700_001)));
    assert_eq!(seen.last(), Some(&(700_001, 700_001)));
    assert!(seen.windows(2).all(|w| w[0].0 < w[1].0));
}

#[test]
fn the_current_folder_and_trailing_slashes_have_a_name() {
    let (tmp, root) = tree(&[("a", b"1"), ("sub/b", b"2")]);
    for path in [
        root.join("."),
        root.join("sub/.."),
        Path::new(&format!("{}/", root.display())).into(),
    ] {
        let created = make(&path, &CreateOptions::default()).unwrap();
        assert_eq!(paths(&created), ["folder/a", "folder/sub/b"], "{path:?}");
    }
    drop(tmp);
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_special_files_are_left_out_and_reported() {
        let (tmp, root) = tree(&[("a", b"1"), ("sub/b", b"2")]);
        symlink("/etc/passwd", root.join("to a file")).unwrap();
        symlink(tmp.path(), root.join("sub/to a folder")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let created = make(&root, &CreateOptions::default()).unwrap();
        assert_eq!(paths(&created), ["folder/a", "folder/sub/b"]);
        let skipped = ["dangling", "socket", "sub/to a folder", "to a file"].map(|p| root.join(p));
        assert_eq!(created.skipped, skipped);
        // the path that is named may itself be a link
        let link = tmp.path().join("link");
        symlink(&root, &link).unwrap();
        assert_eq!(
            paths(&make(&link, &CreateOptions::default()).unwrap()),
            ["link/a", "link/sub/b"]
        );
        let socket = root.join("socket");
        assert_eq!(
            make(&socket, &CreateOptions::default())
                .unwrap_err()
                .to_string(),
            format!(
                "{} is neither a file nor a folder; name one of those",
                socket.display()
            )
        );
    }

    #[test]
    fn names_that_are_not_utf8_are_refused() {
        let (_tmp, root) = tree(&[("a", b"1")]);
        let bad = root.join(OsStr::from_bytes(b"caf\xe9"));
        fs::write(&bad, b"2").unwrap();
        let error = make(&root, &CreateOptions::default())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!("the name of {} is not UTF-8; rename it", bad.display())
        );
        let error = make(&bad, &CreateOptions::default())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!("the name of {} is not UTF-8; rename it", bad.display())
        );
    }
}

#[test]
fn names_that_clients_refuse_are_refused_before_anything_is_read() {
    let (_tmp, root) = tree(&[("a\\b", b"1")]);
    let error = make(&root, &CreateOptions::default())
        .unwrap_err()
        .to_string();
    let path = root.join("a\\b");
    assert_eq!(
        error,
        format!(
            "{} cannot be in a torrent: it has a path separator inside a name; rename it",
            path.display()
        )
    );
    for name in ["", "..", "a/b", "a\0b"] {
        let options = CreateOptions {
            name: Some(name.into()),
            ..CreateOptions::default()
        };
        assert!(
            matches!(make(&root, &options), Err(CreateError::Name { .. })),
            "{name:?}"
        );
    }
    assert!(matches!(
        make(Path::new("/"), &CreateOptions::default()),
        Err(CreateError::Name { .. })
    ));
}

#[test]
fn nothing_to_share() {
    let (tmp, root) = tree(&[("a", b""), ("sub/b", b"")]);
    for path in [root.clone(), root.join("a")] {
        assert_eq!(
            make(&path, &CreateOptions::default())
                .unwrap_err()
                .to_string(),
            format!(
                "{} holds no data: a torrent needs at least one file that is not empty",
                path.display()
            )
        );
    }
    let missing = tmp.path().join("missing");
    assert_eq!(
        make(&missing, &CreateOptions::default())
            .unwrap_err()
            .to_string(),
        format!(
            "cannot read {}: No such file or directory (os error 2); check that it exists and that you may read it",
            missing.display()
        )
    );
}

#[test]
fn options_that_cannot_be() {
    let (_tmp, root) = tree(&[("a", b"1")]);
    for length in [0, 1, 8192, 16385, 48 << 10, 512 << 20, u32::MAX] {
        assert_eq!(
            make(&root, &pieces(length)).unwrap_err().to_string(),
            format!(
                "a piece length of {length} bytes; use a power of two from 16 KiB (16384) to 256 MiB (268435456)"
            )
        );
    }
    assert_eq!(
        make(&root, &pieces(256 << 20)).unwrap().piece_length,
        256 << 20
    );
    let options = CreateOptions {
        trackers: vec!["tracker.example".into()],
        ..CreateOptions::default()
    };
    assert_eq!(
        make(&root, &options).unwrap_err().to_string(),
        "\"tracker.example\" is not a tracker's URL; use http://…, https://… or udp://HOST:PORT/…"
    );
}

#[test]
fn a_file_that_changes_meanwhile_is_not_published() {
    for change in [0, 600_000, 900_000] {
        let (_tmp, root) = tree(&[("a", &data(600_000, 5)), ("b", &data(700_000, 6))]);
        let b = root.join("b");
        let error = create(&root, &CreateOptions::default(), |_, _| {
            fs::File::options()
                .write(true)
                .open(&b)
                .unwrap()
                .set_len(change)
                .unwrap();
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} changed while it was read; try again when nobody writes to it",
                b.display()
            )
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_created_reads_back(
        files in proptest::collection::btree_map(
            "[a-cA-Cä!. ]{0,3}x(/[a-c]{1,2}y)?z", prop_oneof![Just(0usize), 0usize..50_000, Just(16384), Just(32768)], 1..6,
        ),
        private in any::<bool>(),
        piece_length in proptest::sample::select(vec![None, Some(16384), Some(65536)]),
    ) {
        let contents: Vec<(String, Vec<u8>)> = files
            .iter()
            .enumerate()
            .map(|(i, (path, len))| (path.clone(), data(*len, u32::try_from(i).unwrap())))
            .collect();
        let borrowed: Vec<(&str, &[u8])> =
            contents.iter().map(|(p, d)| (p.as_str(), d.as_slice())).collect();
        let (_tmp, root) = tree(&borrowed);
        let options = CreateOptions { private, piece_length, ..CreateOptions::default() };
        let total: usize = contents.iter().map(|(_, d)| d.len()).sum();
        if total == 0 {
            prop_assert!(matches!(make(&root, &options), Err(CreateError::Empty(_))));
            return Ok(());
        }
        let created = make(&root, &options).unwrap();
        let meta = Metainfo::from_torrent(&created.bytes).unwrap();
        prop_assert_eq!(&meta, &created.metainfo);
        prop_assert_eq!(meta.private, private);
        let mut sorted = contents.clone();
        sorted.sort_by(|a, b| a.0.split('/').cmp(b.0.split('/')));
        let listed: Vec<(String, u64)> = meta.layout.files.iter()
            .map(|f| (f.path.to_str().unwrap().to_owned(), f.length)).collect();
        let expected: Vec<(String, u64)> =
            sorted.iter().map(|(p, d)| (format!("folder/{p}"), d.len() as u64)).collect();
        prop_assert_eq!(listed, expected);
        check_hashes(&created, &sorted.into_iter().flat_map(|(_, d)| d).collect::<Vec<u8>>());
    }
}
