//! Status messages: round trips, the bytes of docs/protocol.md, and hostile ones.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::wire::status::{
    MAX_FETCHING, MAX_STATUS, Status, StatusError, StatusMessage,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

fn status(load: u8, pieces: u32, fetching: impl IntoIterator<Item = u32>) -> StatusMessage {
    StatusMessage::Status(Status {
        load,
        fetching: ChunkSet::from_indices(pieces, fetching),
    })
}

/// A message, and the piece count of its torrent.
fn message() -> impl Strategy<Value = (StatusMessage, u32)> {
    let some = (any::<u8>(), 0..5000_u32, btree_set(any::<u32>(), 0..200));
    prop_oneof![
        4 => some.prop_map(|(load, pieces, fetching)| {
            let within = fetching.into_iter().map(|i| i % pieces.max(1));
            (status(load, pieces, within), pieces)
        }),
        1 => any::<u32>().prop_map(|n| (StatusMessage::Ping(n), 7)),
        1 => any::<u32>().prop_map(|n| (StatusMessage::Pong(n), 7)),
        1 => (vec(any::<Ipv4Addr>(), 0..9), vec(any::<Ipv6Addr>(), 0..8), any::<u16>()).prop_map(|(four, six, port)| {
            let four = four.into_iter().map(|ip| SocketAddr::from((ip, port)));
            let six = six.into_iter().map(|ip| SocketAddr::from((ip, port)));
            (StatusMessage::Near(four.chain(six).collect()), 7)
        }),
    ]
}

/// The pieces as docs/protocol.md has it, read naively: of the raw form only.
fn naive(pieces: u32, bits: &[u8]) -> Option<Vec<u32>> {
    let (2, raw) = (*bits.first()?, &bits[1..]) else {
        return None;
    };
    let set = |i: u32| raw[i as usize / 8] >> (7 - i % 8) & 1 == 1;
    (raw.len() == pieces.div_ceil(8) as usize).then(|| (0..pieces).filter(|i| set(*i)).collect())
}

proptest! {
    #[test]
    fn messages_survive_the_wire((message, pieces) in message()) {
        let payload = message.encode();
        let short = payload.len() <= 3 + pieces.div_ceil(8) as usize || payload.len() == 5;
        prop_assert!(short || matches!(message, StatusMessage::Near(_)) && payload.len() <= 2 + 16 * 18);
        prop_assert_eq!(StatusMessage::decode(&payload, Some(pieces)), Ok(message));
    }

    #[test]
    fn any_bytes_are_refused_or_read_within_bounds(bytes in vec(any::<u8>(), 0..80), pieces in 0..600_u32) {
        if let Ok(read) = StatusMessage::decode(&bytes, Some(pieces)) {
            if let StatusMessage::Status(status) = &read {
                prop_assert_eq!((status.fetching.start(), status.fetching.len()), (0, pieces));
            }
            prop_assert!(read.encode().len() <= bytes.len());
        }
    }

    #[test]
    fn raw_bits_are_read_as_a_bitfield(load: u8, pieces in 1..100_u32, raw in vec(any::<u8>(), 0..14)) {
        let mut bytes = vec![0, load, 2];
        bytes.extend(raw);
        let spare = bytes.last().is_some_and(|b| b.trailing_zeros() < (8 - pieces % 8) % 8);
        let read = StatusMessage::decode(&bytes, Some(pieces));
        match naive(pieces, &bytes[2..]) {
            Some(fetching) if !spare => prop_assert_eq!(read, Ok(status(load, pieces, fetching))),
            _ => prop_assert!(read.is_err()),
        }
    }
}

#[test]
fn messages_have_the_form_of_the_protocol() {
    let cases: [(&[u8], StatusMessage); 5] = [
        (&[0, 7, 0], status(7, 12, [])),
        (&[0, 0, 2, 0x80, 0x10], status(0, 12, [0, 11])),
        (&[0, 255, 1], status(255, 12, 0..12)),
        (&[1, 0, 0, 1, 2], StatusMessage::Ping(258)),
        (&[2, 0xff, 0, 0, 1], StatusMessage::Pong(0xff00_0001)),
    ];
    for (bytes, message) in cases {
        assert_eq!(&message.encode()[..], bytes);
        assert_eq!(StatusMessage::decode(bytes, Some(12)), Ok(message));
    }
}

#[test]
fn wrong_lengths_kinds_and_forms_are_refused() {
    let cases: [(&[u8], Option<StatusError>); 13] = [
        (&[], Some(StatusError::Length)),
        (&[0], Some(StatusError::Length)),
        (&[1, 0, 0, 0], Some(StatusError::Length)),
        (&[2, 0, 0, 0, 0, 0], Some(StatusError::Length)),
        (&[3], Some(StatusError::Length)),
        (&[3, 1], Some(StatusError::Length)), // an address that is not there
        (&[3, 0, 1], Some(StatusError::Length)), // a part of one
        (&[4, 1], Some(StatusError::Kind(4))),
        (&[0, 0], None),                // no tag
        (&[0, 0, 0, 0], None),          // something behind an empty set
        (&[0, 0, 2, 0x80], None),       // too short
        (&[0, 0, 2, 0x80, 0x08], None), // a piece beyond the last
        (&[0, 0, 5, 0], None),          // a delta
    ];
    for (bytes, error) in cases {
        let read = StatusMessage::decode(bytes, Some(12));
        match error {
            Some(error) => assert_eq!(read, Err(error), "{bytes:?}"),
            None => assert!(matches!(read, Err(StatusError::Bits(_))), "{bytes:?}"),
        }
    }
    let mut many = vec![3, 17];
    many.extend([1; 17 * 6]);
    assert_eq!(
        StatusMessage::decode(&many, Some(12)),
        Err(StatusError::TooManyNear(17))
    );
    let early = StatusMessage::decode(&[0, 0, 0], None);
    assert_eq!(early, Err(StatusError::Early));
    let ping = StatusMessage::decode(&[1, 0, 0, 0, 9], None);
    assert_eq!(ping, Ok(StatusMessage::Ping(9)));
    let long = StatusMessage::decode(&[0; MAX_STATUS + 1], Some(12));
    assert_eq!(long, Err(StatusError::TooLong(MAX_STATUS + 1)));
    // "everything" in one byte
    let all = StatusMessage::decode(&[0, 0, 1], Some(MAX_FETCHING + 1));
    assert_eq!(all, Err(StatusError::TooMany(MAX_FETCHING + 1)));
}

#[test]
fn of_too_many_pieces_the_first_are_told_and_a_message_stays_short() {
    // the worst for the length: as many as there may be, far apart
    let pieces = 1 << 24;
    let step = pieces / MAX_FETCHING;
    let spread = |n: u32| (0..n).map(move |i| i * step + step / 2 + i * 7 % (step / 2));
    let worst = status(1, pieces, spread(MAX_FETCHING));
    let payload = worst.encode();
    assert!(payload.len() <= MAX_STATUS, "{} bytes", payload.len());
    assert_eq!(StatusMessage::decode(&payload, Some(pieces)), Ok(worst));

    let more = status(1, 10_000, 100..10_000).encode();
    let first = status(1, 10_000, 100..100 + MAX_FETCHING);
    assert_eq!(StatusMessage::decode(&more, Some(10_000)), Ok(first));
}
