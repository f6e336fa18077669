//! .torrent files from strangers: what is read from good ones, and the one line that each bad one gets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use chunkcast_bittorrent::metadata::{MetadataLimits, Metainfo, MetainfoError};
use proptest::prelude::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/torrents")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(format!("{name}.torrent"))).unwrap()
}

fn good(name: &str) -> Metainfo {
    Metainfo::from_torrent(&fixture(&format!("good/{name}"))).unwrap()
}

fn hex(hash: [u8; 20]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// The message that bytes are refused with.
fn refusal(bytes: &[u8]) -> String {
    let message = Metainfo::from_torrent(bytes).unwrap_err().to_string();
    assert!(
        !message.contains('\n') && message.chars().count() < 250,
        "{message}"
    );
    message
}

const AGAIN: &str = "; get the file again from its source";

/// One test a fixture in bad/, with the text that a person reads.
macro_rules! refused {
    ($($name:ident: $text:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let text = String::from($text).replace('…', AGAIN);
                assert_eq!(refusal(&fixture(concat!("bad/", stringify!($name)))), text);
            }
        )*

        #[test]
        fn every_bad_fixture_has_its_test() {
            let mut tested = vec![$(concat!(stringify!($name), ".torrent")),*];
            tested.sort_unstable();
            let mut there: Vec<String> = std::fs::read_dir(fixtures().join("bad"))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            there.sort_unstable();
            assert_eq!(there, tested);
        }
    };
}

refused! {
    empty: "not a torrent: it is empty…";
    html: "not a torrent: byte 0 cannot stand there in bencoded data…";
    truncated: "not a torrent: it is cut off after 81 bytes, in the middle of a value…";
    trailing: "not a torrent: 10 bytes follow its end…";
    a_list: "not a torrent: the file is not a dict…";
    no_info: "broken torrent: `info` is missing…";
    info_is_a_number: "not a torrent: `info` is not a dict…";
    name_is_a_number: "broken torrent: \"name\": invalid value…";
    files_is_a_dict: "broken torrent: \"files\": invalid value…";
    piece_length_is_text: "broken torrent: \"piece length\": invalid value…";
    pieces_is_a_list: "broken torrent: \"pieces\": invalid value…";
    length_twice: "broken torrent: \"length\": duplicate field `length`…";
    no_name: "broken torrent: `name` is missing…";
    no_pieces: "broken torrent: `pieces` is missing…";
    no_piece_length: "broken torrent: `piece length` is missing…";
    no_length: "broken torrent: it names no file…";
    file_without_length: "broken torrent: `length` is missing…";
    file_without_path: "broken torrent: `path` is missing…";
    no_files: "broken torrent: it names no file…";
    file_and_folder: "broken torrent: it claims to be both one file and a folder…";
    v2_only: "a BitTorrent v2-only torrent; ChunkCast needs v1 or hybrid: ask the publisher for one of those";
    piece_length_0: "broken torrent: a piece length of 0 bytes, which must be 1 to 268435456…";
    piece_length_negative: "broken torrent: a piece length of -16384 bytes, which must be 1 to 268435456…";
    piece_length_absurd: "broken torrent: a piece length of 1099511627776 bytes, which must be 1 to 268435456…";
    length_negative: "broken torrent: file 0 has a length that cannot be (-5 bytes)…";
    length_beyond_64_bits: "not a torrent: the number at byte 16 does not fit 64 bits…";
    lengths_overflow: "broken torrent: file 1 has a length that cannot be (9223372036854775807 bytes)…";
    length_0: "the torrent holds no data at all: every file in it is empty";
    all_files_empty: "the torrent holds no data at all: every file in it is empty";
    too_many_pieces: "the torrent has 1152921504606846976 pieces, more than the 2097152 allowed; create it with larger pieces";
    too_few_hashes: "broken torrent: 20 bytes of piece hashes where 60 are needed…";
    too_many_hashes: "broken torrent: 40 bytes of piece hashes where 20 are needed…";
    half_a_hash: "broken torrent: 10 bytes of piece hashes where 20 are needed…";
    name_dots: "not safe to open: the torrent has a name that stands for a folder above in \"..\"; get another one";
    name_absolute: "not safe to open: the torrent has a path separator inside a name in \"/etc/x\"; get another one";
    name_empty: "not safe to open: the torrent has an empty name in \"\"; get another one";
    name_nul: "not safe to open: the torrent has a NUL byte inside a name in \"a b\"; get another one";
    name_long: format!("not safe to open: the torrent has a name of more than 255 bytes in \"{}\"; get another one", "x".repeat(100));
    path_dots: "not safe to open: the torrent has a name that stands for a folder above in \"a/../../etc/x\"; get another one";
    path_dot: "not safe to open: the torrent has a name that stands for a folder above in \"./x\"; get another one";
    path_absolute: "not safe to open: the torrent has a path separator inside a name in \"/etc/x\"; get another one";
    path_empty_list: "not safe to open: the torrent has an empty name in \"\"; get another one";
    path_empty_part: "not safe to open: the torrent has an empty name in \"a/\"; get another one";
    path_nul: "not safe to open: the torrent has a NUL byte inside a name in \"a \"; get another one";
    path_backslash: "not safe to open: the torrent has a path separator inside a name in \"..\\\\x\"; get another one";
    path_utf8_dots: "not safe to open: the torrent has a name that stands for a folder above in \"../x\"; get another one";
    symlink_attr: "not safe to open: the torrent has a symbolic link, \"file.bin/a\", which may lead out of the output directory; get another one";
    symlink_path: "not safe to open: the torrent has a symbolic link, \"file.bin/a\", which may lead out of the output directory; get another one";
    same_path_twice: "broken torrent: \"file.bin/a\" and \"file.bin/a\" cannot both exist…";
    file_is_a_folder: "broken torrent: \"file.bin/a\" and \"file.bin/a/b\" cannot both exist…";
}

#[test]
fn ten_megabytes_of_nested_lists() {
    let text = "not a torrent: lists are nested more than 64 deep at byte 64…".replace('…', AGAIN);
    assert_eq!(refusal(&vec![b'l'; 10 << 20]), text);
    let dicts = b"d1:a".repeat(10 << 18);
    assert!(refusal(&dicts).contains("nested more than 64 deep"));
    let balanced = [vec![b'l'; 5 << 20], vec![b'e'; 5 << 20]].concat();
    assert_eq!(refusal(&balanced), text);
    // shallow but many: each would cost a list in memory
    let wide = [b"d4:infol".to_vec(), b"le".repeat(4 << 20), b"ee".to_vec()].concat();
    let text = format!("not a torrent: it holds more than 3000000 values{AGAIN}");
    assert_eq!(refusal(&wide), text);
}

/// What the scan lets through is shallow enough for the recursive parser on a worker's stack.
#[test]
fn the_deepest_torrent_that_passes_the_scan_is_parsed_on_a_small_stack() {
    let deep = |n: usize| [vec![b'l'; n], vec![b'e'; n]].concat();
    let file = fixture("good/private_as_text");
    let torrent = [b"d8:announce", &deep(63)[..], b"1:a", &deep(63), &file[1..]].concat();
    let in_info = [
        b"d1:a",
        &deep(63)[..],
        b"6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:012345678901234567897:private",
        &deep(63),
        b"e",
    ]
    .concat();
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            assert!(
                Metainfo::from_torrent(&torrent)
                    .unwrap()
                    .trackers
                    .is_empty()
            );
            assert!(Metainfo::from_info(in_info.into(), None).unwrap().private);
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_file_beyond_the_size_limit_is_not_even_scanned() {
    let limits = MetadataLimits {
        torrent_bytes: 100,
        ..MetadataLimits::default()
    };
    let error = Metainfo::from_torrent_with(&[b'x'; 101], &limits).unwrap_err();
    assert_eq!(
        error,
        MetainfoError::TooLarge {
            size: 101,
            limit: 100
        }
    );
    assert_eq!(limits.validate(), Ok(()));
    let error = MetadataLimits {
        depth: 1000,
        ..MetadataLimits::default()
    }
    .validate();
    assert_eq!(error, Err("depth must be 4 to 100"));
}

#[test]
fn a_folder_with_an_empty_file_is_read_as_libtorrent_wrote_it() {
    let meta = good("v1");
    assert_eq!(
        hex(meta.info_hash),
        "6da95571018e8f8928f049266218f48b05a13081"
    );
    assert!(!meta.private);
    assert_eq!(meta.trackers, [["http://tracker.example/announce"]]);
    let layout = &meta.layout;
    assert_eq!(layout.name, "folder");
    assert_eq!((layout.piece_length, layout.total_length), (16384, 36385));
    assert_eq!(
        (layout.piece_count(), layout.piece_len(2)),
        (3, 36385 - 2 * 16384)
    );
    let files: Vec<_> = layout
        .files
        .iter()
        .map(|f| (f.path.to_str().unwrap(), f.length, f.offset, f.padding))
        .collect();
    assert_eq!(
        files,
        [
            ("folder/a.bin", 20000, 0, false),
            ("folder/z.bin", 1, 20000, false),
            ("folder/empty", 0, 20001, false),
            ("folder/sub/b.bin", 16384, 20001, false),
        ]
    );
}

#[test]
fn of_a_hybrid_the_v1_part_is_used_with_its_padding() {
    let meta = good("hybrid");
    assert_eq!(
        hex(meta.info_hash),
        "8461c71f3fdcd278be8b06e73a1bfff6c39fb43b"
    );
    let padding: Vec<_> = meta
        .layout
        .files
        .iter()
        .filter(|f| f.padding)
        .map(|f| (f.path.to_str().unwrap(), f.length, f.offset))
        .collect();
    assert_eq!(
        padding,
        [
            ("folder/.pad/12768", 12768, 20000),
            ("folder/.pad/16383", 16383, 49153)
        ]
    );
    assert_eq!(meta.layout.piece_count(), 4);
}

#[test]
fn names_that_are_not_utf8_are_decoded() {
    let layout = good("latin1").layout;
    assert_eq!(layout.name, "müsik");
    let paths: Vec<_> = layout
        .files
        .iter()
        .map(|f| f.path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["müsik/café.txt", "müsik/naïve"]);
    let layout = good("path_utf8").layout;
    assert_eq!(layout.files[0].path, Path::new("名/績"));
}

/// A decoder that takes byte order marks away would make `..` of it.
#[test]
fn a_byte_order_mark_before_two_dots_stays() {
    let layout = good("bom_dots").layout;
    assert_eq!(layout.files[0].path, Path::new("file.bin/\u{feff}../x"));
}

#[test]
fn padding_by_name_and_executables_are_told() {
    let layout = good("bitcomet_padding").layout;
    let flags: Vec<_> = layout
        .files
        .iter()
        .map(|f| (f.padding, f.executable))
        .collect();
    assert_eq!(flags, [(false, false), (true, false), (false, true)]);
}

#[test]
fn a_private_flag_of_the_wrong_type_still_means_private() {
    assert!(good("private_as_text").private);
    let with = |value: &str| {
        let info = format!(
            "d6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:01234567890123456789{value}e"
        );
        Metainfo::from_info(info.into(), None).unwrap().private
    };
    assert!(!with(""));
    assert!(!with("7:privatei0e"));
    for value in ["i1e", "i2e", "i-1e", "i256e", "0:", "le", "de"] {
        assert!(with(&format!("7:private{value}")), "{value}");
    }
}

#[test]
fn usable_trackers_keep_their_tiers_and_replace_announce() {
    let meta = good("trackers");
    assert_eq!(
        meta.trackers,
        [
            vec!["http://a.example/".to_owned()],
            vec!["udp://c.example:6969".to_owned()]
        ]
    );
    // an announce-list with nothing usable does not
    let file = fixture("good/private_as_text");
    let with = [
        &b"d8:announce13:http://h.org/13:announce-listll6:wss://ee"[..],
        &file[1..],
    ]
    .concat();
    assert_eq!(
        Metainfo::from_torrent(&with).unwrap().trackers,
        [["http://h.org/"]]
    );
    for odd in [
        "8:announcei7e",
        "8:announcele",
        "13:announce-listi7e",
        "13:announce-listd1:ai1ee",
    ] {
        let with = [b"d", odd.as_bytes(), &file[1..]].concat();
        assert!(
            Metainfo::from_torrent(&with).unwrap().trackers.is_empty(),
            "{odd}"
        );
    }
}

/// BEP 19: a string or a list; whatever else stands there costs the torrent its web seeds and nothing more.
#[test]
fn web_seeds_are_a_string_or_a_list() {
    let file = fixture("good/private_as_text");
    let end = file.len() - 1;
    let read = |value: &str| {
        let torrent = [&file[..end], b"8:url-list", value.as_bytes(), b"e"].concat();
        Metainfo::from_torrent(&torrent).unwrap().web_seeds
    };
    assert_eq!(read("12:http://a.b/c"), ["http://a.b/c"]);
    assert_eq!(
        read("l10:http://a/x0:10:http://a/x6:ftp://9:file:///xi7ele11:https://b/ye"),
        ["http://a/x", "https://b/y"]
    );
    for none in ["0:", "i7e", "le", "de", "1:\u{7f}", "l2:\u{ff}e"] {
        assert_eq!(read(none), [""; 0], "{none}");
    }
    let many: String = (100..300).map(|i| format!("12:http://a/{i}")).collect();
    assert_eq!(read(&format!("l{many}e")).len(), 64);
}

#[test]
fn an_info_dict_from_peers_must_have_the_hash() {
    let meta = good("v1");
    let from_peers = Metainfo::from_info(meta.info.clone(), Some(meta.info_hash)).unwrap();
    assert_eq!(
        from_peers,
        Metainfo {
            trackers: vec![],
            ..meta.clone()
        }
    );
    let error = Metainfo::from_info(meta.info.clone(), Some([0xab; 20]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "the info dict belongs to another torrent: its infohash is {}, not {}",
            hex(meta.info_hash),
            "ab".repeat(20)
        )
    );
    let longer = Bytes::from([&meta.info[..], b"\n"].concat());
    assert_eq!(
        Metainfo::from_info(longer, None),
        Err(MetainfoError::Trailing { extra: 1 })
    );
    assert!(Metainfo::from_info(Bytes::new(), None).is_err());
    assert!(Metainfo::from_info(Bytes::from_static(b"i1e"), None).is_err());
}

/// What every accepted torrent must keep, whoever wrote it.
fn check(meta: &Metainfo) {
    let layout = &meta.layout;
    assert_eq!(layout.hashes.len(), layout.piece_count() as usize * 20);
    let mut offset = 0;
    for file in &layout.files {
        assert_eq!(file.offset, offset);
        offset += file.length;
        let plain = |c| matches!(c, std::path::Component::Normal(_));
        assert!(file.path.components().all(plain), "{:?}", file.path);
        assert!(file.path.starts_with(&layout.name));
        assert!(!file.path.to_str().unwrap().contains('\0'));
    }
    assert_eq!(offset, layout.total_length);
    assert!(offset > 0 && layout.piece_length > 0);
    let last = layout.piece_count() - 1;
    let pieces =
        u64::from(last) * u64::from(layout.piece_length) + u64::from(layout.piece_len(last));
    assert_eq!(pieces, layout.total_length);
}

fn any_fixture() -> impl Strategy<Value = Vec<u8>> {
    let mut all: Vec<PathBuf> = ["good", "bad"]
        .iter()
        .flat_map(|dir| std::fs::read_dir(fixtures().join(dir)).unwrap())
        .map(|e| e.unwrap().path())
        .collect();
    all.sort();
    proptest::sample::select(all).prop_map(|path| std::fs::read(path).unwrap())
}

/// A change to the bytes: mostly of the kind that keeps the structure whole.
#[derive(Clone, Debug)]
enum Change {
    Byte(prop::sample::Index, u8),
    Digit(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Double(prop::sample::Index, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<prop::sample::Index>;
    let snippets = proptest::sample::select(vec![
        "i-1e",
        "i0e",
        "i9223372036854775807e",
        "2:..",
        "0:",
        "le",
        "de",
        "1:/",
        "4:pathl2:..e",
        "e",
        "d",
        "l",
        "7:privatele",
        "999999999999:",
        "i99999999999999999999999e",
    ]);
    let change = prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Change::Byte(i, b)),
        (at(), b'0'..=b'9').prop_map(|(i, b)| Change::Digit(i, b)),
        at().prop_map(Change::Cut),
        (at(), snippets).prop_map(|(i, s)| Change::Insert(i, s.as_bytes().to_vec())),
        (at(), 1usize..40).prop_map(|(i, n)| Change::Double(i, n)),
    ];
    proptest::collection::vec(change, 1..5)
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Byte(i, b) => {
            let i = i.index(bytes.len());
            bytes[i] = *b;
        }
        Change::Digit(i, b) => {
            let digits: Vec<usize> = (0..bytes.len())
                .filter(|&i| bytes[i].is_ascii_digit())
                .collect();
            if !digits.is_empty() {
                bytes[digits[i.index(digits.len())]] = *b;
            }
        }
        Change::Cut(i) => bytes.truncate(i.index(bytes.len())),
        Change::Insert(i, what) => {
            let i = i.index(bytes.len());
            bytes.splice(i..i, what.iter().copied());
        }
        Change::Double(i, n) => {
            let i = i.index(bytes.len());
            let part = bytes[i..bytes.len().min(i + n)].to_vec();
            bytes.splice(i..i, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A panic means a bug.
    #[test]
    fn changed_torrents_are_refused_or_safe(mut bytes in any_fixture(), changes in changes()) {
        for change in &changes {
            apply(&mut bytes, change);
        }
        match Metainfo::from_torrent(&bytes) {
            Ok(meta) => check(&meta),
            Err(e) => prop_assert!(!e.to_string().contains('\n')),
        }
        let _ = Metainfo::from_info(bytes.into(), None).map(|meta| check(&meta));
    }

    #[test]
    fn any_bytes_are_refused_or_safe(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Metainfo::from_torrent(&bytes).map(|meta| check(&meta));
        let _ = Metainfo::from_info(bytes.into(), None).map(|meta| check(&meta));
    }

    /// Whatever is read is read the same way from the info dict alone.
    #[test]
    fn numbers_in_a_torrent_are_refused_or_safe(
        length in any::<i64>(), piece in any::<i64>(), hashes in 0usize..5,
    ) {
        for piece in [piece, piece % (1 << 30)] {
            for length in [length, length % 100_000] {
                let pieces = "01234567890123456789".repeat(hashes);
                let info = format!(
                    "d6:lengthi{length}e4:name1:a12:piece lengthi{piece}e6:pieces{}:{pieces}e", pieces.len()
                );
                let torrent = format!("d4:info{info}e");
                let alone = Metainfo::from_info(info.into(), None);
                prop_assert_eq!(&alone, &Metainfo::from_torrent(torrent.as_bytes()));
                let right = length > 0 && piece > 0 && piece <= 256 << 20
                    && u64::try_from(length).unwrap().div_ceil(u64::try_from(piece).unwrap()) == hashes as u64;
                prop_assert_eq!(alone.is_ok(), right);
                let _ = alone.map(|meta| check(&meta));
            }
        }
    }
}
