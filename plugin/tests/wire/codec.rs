//! Framing of peer messages: round trips, a stock implementation as the oracle, and hostile bytes.

use bytes::{Bytes, BytesMut};
use chunkcast_bittorrent::wire::codec::{Frame, FrameDecoder, FrameError, FrameLimits, MAX_BLOCK};
use chunkcast_bittorrent::wire::message::{BlockRef, Message};
use librqbit_peer_protocol as stock;
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes(len: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), len).prop_map(Bytes::from)
}

fn block() -> impl Strategy<Value = BlockRef> {
    any::<(u32, u32, u32)>().prop_map(|(piece, begin, len)| BlockRef { piece, begin, len })
}

/// Messages of BEP 3, ids 0 to 8: what the stock implementation knows too.
fn basic() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        any::<u32>().prop_map(Message::Have),
        bytes(1..300).prop_map(Message::Bitfield),
        block().prop_map(Message::Request),
        (any::<u32>(), any::<u32>(), bytes(1..3000))
            .prop_map(|(piece, begin, data)| Message::Piece { piece, begin, data }),
        block().prop_map(Message::Cancel),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        6 => basic(),
        1 => any::<u16>().prop_map(Message::Port),
        1 => any::<u32>().prop_map(Message::Suggest),
        1 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        1 => block().prop_map(Message::Reject),
        1 => any::<u32>().prop_map(Message::AllowedFast),
        1 => (any::<u8>(), bytes(0..300)).prop_map(|(id, payload)| Message::Extended { id, payload }),
    ]
}

fn encode(messages: &[Message]) -> BytesMut {
    let mut out = BytesMut::new();
    for message in messages {
        message.encode_into(&mut out);
    }
    out
}

/// Decodes a stream that arrives in chunks of the given sizes; the rest comes in one piece.
fn decode_chunked(
    decoder: &FrameDecoder,
    mut stream: &[u8],
    sizes: &[usize],
) -> (Vec<Frame>, Result<BytesMut, FrameError>) {
    let mut frames = Vec::new();
    let mut buf = BytesMut::new();
    for size in sizes.iter().copied().chain([stream.len()]) {
        let (chunk, rest) = stream.split_at(size.min(stream.len()));
        stream = rest;
        buf.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(buf))
}

/// What the stock implementation makes of one message, in our type.
fn by_stock(buf: &[u8]) -> Option<(Message, usize)> {
    let block = |request: stock::Request| BlockRef {
        piece: request.index,
        begin: request.begin,
        len: request.length,
    };
    let (message, len) = stock::Message::deserialize(buf, &[]).ok()?;
    let message = match message {
        stock::Message::KeepAlive => Message::KeepAlive,
        stock::Message::Choke => Message::Choke,
        stock::Message::Unchoke => Message::Unchoke,
        stock::Message::Interested => Message::Interested,
        stock::Message::NotInterested => Message::NotInterested,
        stock::Message::Have(piece) => Message::Have(piece),
        stock::Message::Bitfield(bits) => Message::Bitfield(Bytes::copy_from_slice(bits.as_ref())),
        stock::Message::Request(request) => Message::Request(block(request)),
        stock::Message::Cancel(request) => Message::Cancel(block(request)),
        stock::Message::Piece(piece) => Message::Piece {
            piece: piece.index,
            begin: piece.begin,
            data: Bytes::copy_from_slice(piece.data().0),
        },
        stock::Message::Extended(_) => return None,
    };
    Some((message, len))
}

proptest! {
    #[test]
    fn messages_survive_the_wire_however_they_are_chunked(
        messages in vec(message(), 0..12),
        sizes in vec(0_usize..40, 0..60),
    ) {
        let stream = encode(&messages);
        prop_assert_eq!(stream.len(), messages.iter().map(Message::encoded_len).sum::<usize>());
        let (frames, rest) = decode_chunked(&FrameDecoder::default(), &stream, &sizes);
        prop_assert_eq!(rest, Ok(BytesMut::new()));
        let sent: Vec<_> = messages.into_iter().map(Frame::Message).collect();
        prop_assert_eq!(frames, sent);
    }

    #[test]
    fn a_stock_client_reads_what_we_write(message in basic()) {
        let stream = encode(std::slice::from_ref(&message));
        prop_assert_eq!(by_stock(&stream), Some((message, stream.len())));
    }

    #[test]
    fn we_read_what_a_stock_client_writes(message in basic()) {
        let request = |block: &BlockRef| stock::Request::new(block.piece, block.begin, block.len);
        let theirs = match &message {
            Message::Choke => stock::Message::Choke,
            Message::Unchoke => stock::Message::Unchoke,
            Message::Interested => stock::Message::Interested,
            Message::NotInterested => stock::Message::NotInterested,
            Message::Have(piece) => stock::Message::Have(*piece),
            Message::Bitfield(bits) => stock::Message::Bitfield(bits.as_ref().into()),
            Message::Request(block) => stock::Message::Request(request(block)),
            Message::Cancel(block) => stock::Message::Cancel(request(block)),
            Message::Piece { piece, begin, data } => {
                stock::Message::Piece(stock::Piece::from_data(*piece, *begin, data))
            }
            _ => stock::Message::KeepAlive,
        };
        let mut out = vec![0; 4096];
        let len = theirs.serialize(&mut out, &Default::default).expect("room enough");
        let (frames, _) = decode_chunked(&FrameDecoder::default(), &out[..len], &[]);
        prop_assert_eq!(frames, vec![Frame::Message(message)]);
    }

    /// Any bytes behind a short length: we never panic, never want more than the limit, and whatever both sides
    /// accept they understand in the same way.
    #[test]
    fn random_frames_agree_with_a_stock_client(
        len in 0_u32..24,
        id in 0_u8..10,
        body in vec(any::<u8>(), 24),
    ) {
        let mut stream = len.to_be_bytes().to_vec();
        stream.push(id);
        stream.extend(body);
        stream.truncate(4 + len as usize);
        let mut buf = BytesMut::from(stream.as_slice());
        match (FrameDecoder::default().decode(&mut buf), by_stock(&stream)) {
            (Ok(Some(Frame::Message(ours))), Some((theirs, len))) => {
                prop_assert_eq!(ours, theirs);
                prop_assert_eq!(buf.len(), stream.len() - len);
            }
            (Ok(Some(Frame::Message(ours))), None) => {
                // Two things only we take: the DHT port, and a bitfield without bits, which magnet clients send.
                let lenient = matches!(&ours, Message::Port(_))
                    || matches!(&ours, Message::Bitfield(bits) if bits.is_empty());
                prop_assert!(lenient, "only we read {:?}", ours);
            }
            (_, Some((theirs, _))) => prop_assert!(false, "only they read {:?}", theirs),
            (Ok(_) | Err(_), None) => {}
        }
    }

    #[test]
    fn random_bytes_never_panic_and_never_claim_more_than_the_limit(
        stream in vec(any::<u8>(), 0..400),
        sizes in vec(1_usize..30, 0..30),
    ) {
        let decoder = FrameDecoder::new(FrameLimits { max_frame: 64 });
        let (_, rest) = decode_chunked(&decoder, &stream, &sizes);
        if let Ok(rest) = rest {
            prop_assert!(rest.len() < 4 + 64);
        }
    }

    /// Real traffic with a few bytes changed: the likeliest way to get deep into a parser.
    #[test]
    fn mutated_traffic_never_panics(
        messages in vec(message(), 1..8),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sizes in vec(1_usize..50, 0..10),
    ) {
        let mut stream = encode(&messages);
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let _ = decode_chunked(&FrameDecoder::default(), &stream, &sizes);
    }
}

#[test]
fn every_split_of_a_stream_gives_the_same_messages() {
    let messages = [
        Message::HaveAll,
        Message::KeepAlive,
        Message::Piece {
            piece: 1,
            begin: 2,
            data: Bytes::from_static(b"block"),
        },
        Message::Extended {
            id: 2,
            payload: Bytes::from_static(b"de"),
        },
        Message::Port(6881),
    ];
    let stream = encode(&messages);
    let whole = decode_chunked(&FrameDecoder::default(), &stream, &[]);
    assert_eq!(whole.0.len(), messages.len());
    for first in 0..=stream.len() {
        for second in 0..=stream.len() - first {
            let split = decode_chunked(&FrameDecoder::default(), &stream, &[first, second]);
            assert_eq!(split, whole, "split at {first} and {second} more");
        }
    }
}

#[test]
fn a_length_of_4_gib_is_refused_on_sight_and_nothing_is_allocated() {
    let mut buf = BytesMut::from(&[0xff; 4][..]);
    let capacity = buf.capacity();
    let error = FrameDecoder::default().decode(&mut buf);
    assert_eq!(
        error,
        Err(FrameError::TooLong {
            len: u32::MAX,
            max: 1024 * 1024 + 1
        })
    );
    assert_eq!(buf.capacity(), capacity);
}

#[test]
fn a_wrong_length_is_refused_with_the_id_before_the_body_arrives() {
    for (id, len) in [
        (0_u8, 2_u32),
        (3, 1000),
        (4, 4),
        (4, 6),
        (6, 12),
        (7, 9), // a block without bytes
        (7, MAX_BLOCK + 10),
        (8, 14),
        (9, 2),
        (13, 1),
        (14, 2),
        (15, 100),
        (16, 17),
        (17, 4),
        (20, 1), // no extended id
    ] {
        let mut buf = BytesMut::from(&len.to_be_bytes()[..]);
        buf.extend_from_slice(&[id]);
        let decoded = FrameDecoder::default().decode(&mut buf);
        assert_eq!(decoded, Err(FrameError::WrongLength { id, len }));
    }
}

#[test]
fn unknown_ids_are_skipped_and_the_next_message_is_read() {
    let mut stream = BytesMut::new();
    for id in [10_u8, 11, 12, 18, 19, 21, 22, 255] {
        stream.extend_from_slice(&[0, 0, 0, 4, id, 1, 2, 3]);
    }
    stream.extend_from_slice(&[0, 0, 0, 1, 255]); // an id and nothing else
    Message::Unchoke.encode_into(&mut stream);
    let (frames, rest) = decode_chunked(&FrameDecoder::default(), &stream, &[]);
    assert_eq!(rest, Ok(BytesMut::new()));
    assert_eq!(frames.len(), 10);
    assert_eq!(frames[7], Frame::Unknown(255));
    assert_eq!(frames[9], Frame::Message(Message::Unchoke));
}

#[test]
fn the_limit_follows_the_piece_count() {
    assert_eq!(FrameLimits::for_pieces(1).max_frame, 128 * 1024 + 9);
    let many = FrameLimits::for_pieces(2_000_001);
    assert_eq!(many.max_frame, 1 + 250_001);
    let _ = FrameLimits::for_pieces(u32::MAX);

    // An oversized bitfield is refused once the piece count is known.
    let mut decoder = FrameDecoder::default();
    let stream = encode(&[Message::Bitfield(Bytes::from(vec![0xff; 500_000]))]);
    assert!(
        decoder
            .decode(&mut stream.clone())
            .is_ok_and(|frame| frame.is_some())
    );
    decoder.set_limits(FrameLimits::for_pieces(100));
    assert!(decoder.decode(&mut stream.clone()).is_err());
}

#[test]
fn a_block_shares_the_read_buffer() {
    let mut stream = encode(&[Message::Piece {
        piece: 0,
        begin: 0,
        data: vec![1; 100].into(),
    }]);
    let block = stream[13..].as_ptr();
    let frame = FrameDecoder::default().decode(&mut stream);
    let Ok(Some(Frame::Message(Message::Piece { data, .. }))) = frame else {
        panic!("a piece message")
    };
    assert_eq!(data.as_ptr(), block);
}
