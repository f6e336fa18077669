//! Peer exchange messages: round trips, stock clients' bytes, and hostile ones.

use std::net::SocketAddr;

use chunkcast_bittorrent::wire::extended::ExtendedError;
use chunkcast_bittorrent::wire::pex::{MAX_READ, PexPeer, UtPex};
use librqbit_peer_protocol::{Message as StockMessage, extended as stock};
use proptest::collection::vec;
use proptest::prelude::*;

fn addr() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u8; 16], u16)>().prop_map(SocketAddr::from);
    prop_oneof![v4, v6].prop_map(|a| SocketAddr::new(a.ip().to_canonical(), a.port()))
}

fn message() -> impl Strategy<Value = UtPex> {
    let peer = (addr(), any::<u8>()).prop_map(|(addr, flags)| PexPeer { addr, flags });
    (vec(peer, 0..60), vec(addr(), 0..60)).prop_map(|(mut added, mut dropped)| {
        // stable: as they come back
        added.sort_by_key(|p| p.addr.is_ipv6());
        dropped.sort_by_key(SocketAddr::is_ipv6);
        UtPex {
            added,
            dropped,
            cut: 0,
        }
    })
}

/// `keys` in a dictionary, each with its value's bytes.
fn dict(keys: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"d".to_vec();
    for (key, value) in keys {
        out.extend(format!("{}:{key}{}:", key.len(), value.len()).bytes());
        out.extend(value);
    }
    out.push(b'e');
    out
}

proptest! {
    #[test]
    fn messages_survive_the_wire(message in message()) {
        prop_assert_eq!(UtPex::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_stock_client_reads_ours(message in message()) {
        let payload = message.encode();
        let mut frame = u32::try_from(payload.len() + 2).expect("short").to_be_bytes().to_vec();
        frame.extend([20, 1]); // the id that it gives out
        frame.extend(&payload);
        let (read, _) = StockMessage::deserialize(&frame, &[]).expect("a stock client reads it");
        let StockMessage::Extended(stock::ExtendedMessage::UtPex(theirs)) = read else {
            panic!("a peer exchange message: {read:?}")
        };
        let added: Vec<_> = theirs.added_peers().map(|p| (p.addr, p.flags)).collect();
        let ours: Vec<_> = message.added.iter().map(|p| (p.addr, p.flags)).collect();
        prop_assert_eq!(added, ours);
        let dropped: Vec<_> = theirs.dropped_peers().map(|p| p.addr).collect();
        prop_assert_eq!(dropped, message.dropped);
    }

    #[test]
    fn any_bytes_are_refused_or_read_within_the_bounds(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(read) = UtPex::decode(&bytes) {
            prop_assert!(read.added.len() <= MAX_READ && read.dropped.len() <= MAX_READ);
        }
    }

    #[test]
    fn any_bencode_like_text_is_refused_or_read_but_never_a_panic(
        text in "(d|l|e|i|-|:|0|6|5:added|6:abcdef|7:added.f|6:added6|7:dropped|i1e|de|le){0,60}",
    ) {
        let _ = UtPex::decode(text.as_bytes());
        let _ = UtPex::decode(format!("d{text}e").as_bytes());
    }
}

/// The keys of libtorrent and Transmission, empty lists included; an entry without flags has none set.
#[test]
fn a_stock_message_is_read() {
    let bytes = dict(&[
        (
            "added",
            b"\x0a\x00\x00\x01\x1a\xe1\x0a\x00\x00\x02\x1a\xe2".to_vec(),
        ),
        ("added.f", vec![0x12]),
        ("added6", vec![]),
        ("added6.f", vec![]),
        ("dropped", b"\x0a\x00\x00\x03\x1a\xe3".to_vec()),
        ("dropped6", vec![]),
    ]);
    let read = UtPex::decode(&bytes).expect("a message");
    let peer = |text: &str, flags| PexPeer {
        addr: text.parse().expect("an address"),
        flags,
    };
    assert_eq!(
        read.added,
        [peer("10.0.0.1:6881", 0x12), peer("10.0.0.2:6882", 0)]
    );
    assert!(read.added[0].is(PexPeer::SEED) && read.added[0].is(PexPeer::REACHABLE));
    assert_eq!(read.dropped, [peer("10.0.0.3:6883", 0).addr]);
    assert_eq!(UtPex::decode(b"de"), Ok(UtPex::default()));
}

#[test]
fn what_is_no_list_of_addresses_is_refused() {
    for (key, len) in [
        ("added", 7),
        ("added", 5),
        ("dropped", 11),
        ("added6", 6),
        ("dropped6", 17),
    ] {
        let read = UtPex::decode(&dict(&[(key, vec![1; len])]));
        assert!(
            matches!(read, Err(ExtendedError::Key(k)) if k == key),
            "{key} of {len}: {read:?}"
        );
    }
    for wrong in [
        "d5:addedi1ee",
        "d5:addedlee",
        "d5:addeddee",
        "d7:added.fi7ee",
    ] {
        assert!(
            matches!(UtPex::decode(wrong.as_bytes()), Err(ExtendedError::Key(_))),
            "{wrong}"
        );
    }
    for broken in [
        "",
        "le",
        "d5:added",
        "d5:added6:abc",
        "d5:addedllllllllllllllllllllllll",
    ] {
        assert!(UtPex::decode(broken.as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn of_lists_that_are_too_long_the_beginning_is_read_and_the_rest_counted() {
    let many: Vec<u8> = (0..10_000_u32)
        .flat_map(|n| [(10 << 24 | n).to_be_bytes().to_vec(), vec![0x1a, 0xe1]].concat())
        .collect();
    let read = UtPex::decode(&dict(&[("added", many.clone()), ("dropped", many)])).expect("read");
    assert_eq!((read.added.len(), read.dropped.len()), (MAX_READ, MAX_READ));
    assert_eq!(read.cut, 20_000 - 2 * MAX_READ);
}

#[test]
fn ipv4_in_disguise_is_ipv4() {
    let mut entry = [0; 18];
    entry[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
    entry[16..].copy_from_slice(&7_u16.to_be_bytes());
    let read = UtPex::decode(&dict(&[("added6", entry.to_vec())])).expect("a message");
    assert_eq!(
        read.added[0].addr,
        "192.0.2.1:7".parse().expect("an address")
    );
}
