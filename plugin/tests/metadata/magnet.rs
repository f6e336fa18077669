//! Magnet links: what is read from good ones, and the one line that each bad one gets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chunkcast_bittorrent::metadata::{FileSelection, Magnet, MagnetError, Metainfo, PeerHint};
use proptest::prelude::*;

const HEX: &str = "6da95571018e8f8928f049266218f48b05a13081";
/// The same 20 bytes, from python's base64.b32encode.
const BASE32: &str = "NWUVK4IBR2HYSKHQJETGEGHURMC2CMEB";

fn hash() -> [u8; 20] {
    std::array::from_fn(|i| u8::from_str_radix(&HEX[2 * i..2 * i + 2], 16).unwrap())
}

fn magnet(rest: &str) -> Magnet {
    Magnet::parse(&format!("magnet:?xt=urn:btih:{HEX}{rest}")).unwrap()
}

fn refusal(link: &str) -> String {
    let message = Magnet::parse(link).unwrap_err().to_string();
    assert!(
        !message.contains('\n') && message.chars().count() < 250,
        "{message}"
    );
    message
}

#[test]
fn an_infohash_comes_as_hex_base32_or_bare() {
    for link in [
        format!("magnet:?xt=urn:btih:{HEX}"),
        format!("magnet:?xt=urn:btih:{}", HEX.to_uppercase()),
        format!("magnet:?xt=urn:btih:{BASE32}"),
        format!("magnet:?xt=urn:btih:{}", BASE32.to_lowercase()),
        format!("MAGNET:?XT=URN:BTIH:{HEX}"),
        format!("magnet:?dn=x&xt.1=urn:btih:{HEX}"),
        format!("magnet:?xt=urn%3Abtih%3A{HEX}"),
        format!(
            "magnet:?xt=urn:btmh:1220{}&xt=urn:btih:{HEX}",
            "ab".repeat(32)
        ),
        format!("magnet:?xt=urn:sha1:ABC&xt=urn:btih:{HEX}&xt=urn:btih:{HEX}"),
        HEX.to_owned(),
        format!("  {HEX}\n"),
    ] {
        assert_eq!(
            Magnet::parse(&link).map(|m| m.info_hash),
            Ok(hash()),
            "{link}"
        );
        assert!(Magnet::recognises(&link), "{link}");
    }
    for other in [
        "file.torrent",
        "http://a/b.torrent",
        "",
        "magnet",
        "é magnet:",
        BASE32,
    ] {
        assert!(!Magnet::recognises(other), "{other}");
    }
    // what is not recognised as a link is not read as one either
    for other in ["\u{12}magnet", "mag\tnet"] {
        let link = format!("{other}:?xt=urn:btih:{HEX}");
        assert!(!Magnet::recognises(&link), "{link:?}");
        assert_eq!(
            Magnet::parse(&link),
            Err(MagnetError::NotMagnet),
            "{link:?}"
        );
    }
}

#[test]
fn all_fields_are_read() {
    let magnet = magnet(
        "&dn=The+Name%20%C3%A4&tr=udp%3A%2F%2Fa.example%3A6969%2Fannounce&tr.2=http://b.example/a\
         &x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:6882&x.pe=peer.example:6883&so=4,0-2,2&xl=7&ws=http://x/",
    );
    assert_eq!(magnet.display_name.as_deref(), Some("The Name ä"));
    assert_eq!(
        magnet.trackers,
        ["udp://a.example:6969/announce", "http://b.example/a"]
    );
    assert_eq!(
        magnet.peers,
        [
            PeerHint::Addr("192.0.2.1:6881".parse().unwrap()),
            PeerHint::Addr("[2001:db8::1]:6882".parse().unwrap()),
            PeerHint::Host {
                host: "peer.example".into(),
                port: 6883
            },
        ]
    );
    assert_eq!(magnet.select.unwrap().ranges(), [0..=2, 4..=4]);
    assert_eq!(magnet.left_out, 0);
}

#[test]
fn useless_trackers_and_peers_are_left_out_and_counted() {
    let magnet = magnet(
        "&tr=wss://a.example&tr=&tr=http://b.example/&tr=http://b.example/&tr=udp://noport.example\
         &x.pe=1.2.3.4:0&x.pe=1.2.3.4&x.pe=:5&x.pe=999.2.3.4:5&x.pe=a/b:5&x.pe=h:99999&x.pe=h:7&dn=",
    );
    assert_eq!(magnet.trackers, ["http://b.example/"]);
    assert_eq!(
        magnet.peers,
        [PeerHint::Host {
            host: "h".into(),
            port: 7
        }]
    );
    assert_eq!(magnet.left_out, 4 + 6);
    assert_eq!((magnet.display_name, magnet.select), (None, None));
}

#[test]
fn web_seeds_are_read_and_written_back() {
    let magnet =
        magnet("&ws=http%3A%2F%2Fa.example%2Ff&ws.1=https://b.example/d/&ws=ftp://c/&ws=x");
    assert_eq!(
        magnet.web_seeds,
        ["http://a.example/f", "https://b.example/d/"]
    );
    assert_eq!(magnet.left_out, 2);
    let again = Magnet::parse(&magnet.to_string()).unwrap();
    assert_eq!(again.web_seeds, magnet.web_seeds);
}

#[test]
fn numbers_of_trackers_and_peers_are_bounded() {
    let many: String = (1..=100)
        .map(|i| format!("&tr=http://t{i}.org/&x.pe=10.0.0.{i}:{i}"))
        .collect();
    let magnet = magnet(&many);
    assert_eq!(
        (magnet.trackers.len(), magnet.peers.len(), magnet.left_out),
        (64, 64, 72)
    );
}

#[test]
fn malformed() {
    let text =
        "not a magnet link: expected magnet:?xt=urn:btih:INFOHASH, or an infohash of 40 hex digits";
    for link in [
        "",
        "x",
        "http://a.example/",
        &HEX[1..],
        "urn:btih:abc",
        "::",
    ] {
        assert_eq!(refusal(link), text, "{link:?}");
    }
}

#[test]
fn no_infohash() {
    let text = "the magnet link has no infohash (xt=urn:btih:…); copy it again, all of it";
    for link in [
        "magnet:",
        "magnet:?",
        "magnet:?dn=x",
        "magnet:?xt=",
        "magnet:?xt=urn:sha1:AB",
    ] {
        assert_eq!(refusal(link), text, "{link:?}");
    }
}

#[test]
fn padded_base32_and_other_wrong_infohashes() {
    // 20 bytes need no padding; `=` after 32 letters, or in their place, is damage
    let short = format!("{}==", &BASE32[..30]);
    for (bad, shown) in [
        (format!("{BASE32}======"), format!("{BASE32}======")),
        (short.clone(), short),
        ("=".repeat(32), "=".repeat(32)),
        (HEX[..39].to_owned(), HEX[..39].to_owned()),
        (format!("{}g", &HEX[..39]), format!("{}g", &HEX[..39])),
        (format!("{}1", &BASE32[..31]), format!("{}1", &BASE32[..31])),
        ("ä".repeat(16), "ä".repeat(16)),
        ("ä".repeat(20), "ä".repeat(20)),
        (String::new(), String::new()),
        ("a".repeat(1000), "a".repeat(64)),
    ] {
        let text = format!(
            "the magnet link's infohash {shown:?} is neither 40 hex digits nor 32 letters of unpadded base32; \
             copy it again, all of it"
        );
        assert_eq!(refusal(&format!("magnet:?xt=urn:btih:{bad}")), text);
    }
}

#[test]
fn v2_only() {
    assert_eq!(
        refusal(&format!("magnet:?xt=urn:btmh:1220{}", "ab".repeat(32))),
        "a magnet link for a BitTorrent v2-only torrent (btmh); ChunkCast needs v1 or hybrid: \
         ask the publisher for a link with btih"
    );
}

#[test]
fn two_infohashes() {
    assert_eq!(
        refusal(&format!(
            "magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{}",
            "ab".repeat(20)
        )),
        "the magnet link names two infohashes; keep one xt=urn:btih:…"
    );
}

#[test]
fn too_long() {
    let link = format!("magnet:?xt=urn:btih:{HEX}&dn={}", "x".repeat(70_000));
    assert_eq!(
        refusal(&link),
        "the magnet link is longer than 65536 bytes; leave trackers out of it"
    );
}

#[test]
fn a_selection_of_10_to_the_12_files_costs_nothing() {
    let huge = magnet("&so=0-999999999999").select.unwrap();
    assert_eq!(huge.ranges(), [0..=999_999_999_999]);
    assert_eq!(huge.files(3).collect::<Vec<_>>(), [0, 1, 2]);
    let endless = magnet("&so=1-99999999999999999999999999,18446744073709551615")
        .select
        .unwrap();
    assert_eq!(endless.ranges(), [1..=u64::MAX]);
    assert_eq!(endless.files(3).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn selections_that_cannot_be_read() {
    for (so, shown) in [
        ("abc", "abc"),
        ("1,x", "x"),
        ("5-2", "5-2"),
        ("-3", "-3"),
        ("3-", "3-"),
        ("1-2-3", "1-2-3"),
        (",", ","),
    ] {
        assert_eq!(
            refusal(&format!("magnet:?xt=urn:btih:{HEX}&so={so}")),
            format!(
                "the magnet link's file selection (so=): {shown:?} is no file number and no range of them; \
                 write it like 0,2,5-9"
            )
        );
    }
    let many = vec!["1"; 1025].join(",");
    assert_eq!(
        refusal(&format!("magnet:?xt=urn:btih:{HEX}&so={many}")),
        "the magnet link's file selection (so=): more than 1024 ranges of files; join some"
    );
}

#[test]
fn a_torrent_tells_its_magnet_link() {
    let meta = |file: &[u8]| Metainfo::from_torrent(file).unwrap();
    let v1 = meta(include_bytes!("../../../fixtures/torrents/good/v1.torrent"));
    assert_eq!(
        v1.magnet(),
        format!("magnet:?xt=urn:btih:{HEX}&dn=folder&tr=http%3A%2F%2Ftracker.example%2Fannounce")
    );
    for file in [
        &include_bytes!("../../../fixtures/torrents/good/latin1.torrent")[..],
        include_bytes!("../../../fixtures/torrents/good/trackers.torrent"),
    ] {
        let meta = meta(file);
        let magnet = Magnet::parse(&meta.magnet()).unwrap();
        assert_eq!(magnet.info_hash, meta.info_hash);
        assert_eq!(
            magnet.display_name.as_deref(),
            Some(meta.layout.name.as_str())
        );
        assert_eq!(magnet.trackers, meta.trackers.concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A panic means a bug.
    #[test]
    fn any_text_is_refused_or_read_back_the_same(
        tail in "(&(xt|dn|tr|ws|x\\.pe|so|xt\\.1)=(urn:btih:|http://|udp://h:|[0-9a-z,-]{0,40}|\\PC{0,12})){0,6}",
        text in "\\PC{0,60}",
    ) {
        for link in [text.clone(), format!("magnet:?{text}"), format!("magnet:?xt=urn:btih:{text}"),
                     format!("magnet:?xt=urn:btih:{HEX}{tail}")] {
            if let Ok(magnet) = Magnet::parse(&link) {
                let again = Magnet::parse(&magnet.to_string());
                prop_assert_eq!(again, Ok(Magnet { left_out: 0, ..magnet }));
            }
        }
    }

    #[test]
    fn names_survive(name in "\\PC{1,40}") {
        let magnet = Magnet { display_name: Some(name), ..Magnet::new(hash()) };
        prop_assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
    }

    #[test]
    fn selections_match_a_list_of_files(ranges in proptest::collection::vec((0u64..50, 0u64..10), 1..20), count in 0usize..70) {
        let text: Vec<String> = ranges.iter().map(|(a, n)| format!("{a}-{}", a + n)).collect();
        let selection = FileSelection::parse(&text.join(",")).unwrap();
        let naive: Vec<usize> = (0..count)
            .filter(|&i| ranges.iter().any(|(a, n)| (*a..=a + n).contains(&(i as u64))))
            .collect();
        prop_assert_eq!(selection.files(count).collect::<Vec<_>>(), naive.clone());
        for i in 0..count {
            prop_assert_eq!(selection.contains(i as u64), naive.contains(&i));
        }
        prop_assert_eq!(FileSelection::parse(&selection.to_string()), Ok(selection));
    }
}

#[test]
fn the_error_says_what_kind_it_is() {
    assert_eq!(Magnet::parse("magnet:?dn=x"), Err(MagnetError::NoInfoHash));
}
