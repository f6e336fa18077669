//! What BitTorrent peers say, message by message.

use bytes::BytesMut;
use chunkcast_bittorrent::wire::codec::{Frame, FrameDecoder, FrameError, FrameLimits, MAX_BLOCK};
use chunkcast_bittorrent::wire::extended::{
    ExtendedHandshake, MAX_METADATA, MAX_VERSION, METADATA_PIECE, UtMetadata,
};
use chunkcast_bittorrent::wire::handshake::check_protocol;
use chunkcast_bittorrent::wire::message::{Handshake, Message};
use chunkcast_bittorrent::wire::pex::{MAX_READ, UtPex};
use chunkcast_bittorrent::wire::reader::FrameReader;
use chunkcast_bittorrent::wire::status::{MAX_FETCHING, MAX_STATUS, StatusError, StatusMessage};

use crate::input::Input;

/// Piece count (2 bytes, 0: unknown), the length of the parts in which the bytes arrive (1 byte), and a byte stream:
/// how it is split changes nothing, and what is read can be written and reads the same.
pub fn peer_frames(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = match input.u16() {
        0 => FrameLimits::UNKNOWN_PIECES,
        pieces => FrameLimits::for_pieces(pieces.into()),
    };
    let part = usize::from(input.byte()).max(1);
    let stream = input.take(usize::MAX);

    let whole = read(limits, std::iter::once(stream));
    assert_eq!(whole, read(limits, stream.chunks(part)), "in {part}s");
    assert_eq!(
        whole,
        read_apart(limits, stream.chunks(part)),
        "in {part}s, apart"
    );
    let (frames, _) = whole;
    for frame in frames {
        if let Frame::Message(message) = frame {
            write_and_read(&message, limits);
        }
    }
}

/// The message comes back from its own bytes.
pub(crate) fn write_and_read(message: &Message, limits: FrameLimits) {
    let mut out = BytesMut::new();
    message.encode_into(&mut out);
    assert_eq!(out.len(), message.encoded_len());
    let again = FrameDecoder::new(limits).decode(&mut out);
    assert_eq!(again, Ok(Some(Frame::Message(message.clone()))));
    assert!(out.is_empty());
}

fn read<'a>(
    limits: FrameLimits,
    parts: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<FrameError>) {
    let decoder = FrameDecoder::new(limits);
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for part in parts {
        buf.extend_from_slice(part);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => {
                    if let Frame::Message(Message::Piece { data, .. }) = &frame {
                        assert!((1..=MAX_BLOCK as usize).contains(&data.len()));
                    }
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(e) => return (frames, Some(e)),
            }
        }
    }
    (frames, None)
}

/// The same as a connection reads them, each block in memory of its own.
fn read_apart<'a>(
    limits: FrameLimits,
    parts: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<FrameError>) {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for mut part in parts {
        loop {
            match reader.next(limits, &mut part) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(e) => return (frames, Some(e)),
            }
        }
        assert!(part.is_empty() && reader.held() < 4 + limits.max_frame as usize);
    }
    (frames, None)
}

/// The bytes that open a connection; a beginning that is accepted never becomes a handshake that is not.
pub fn handshake(data: &[u8]) {
    let begun = check_protocol(&data[..data.len().min(Handshake::LEN)]);
    let Some(bytes) = data.first_chunk::<{ Handshake::LEN }>() else {
        return;
    };
    let read = Handshake::from_bytes(bytes);
    assert_eq!(read.is_ok(), begun.is_ok());
    if let Ok(handshake) = read {
        assert_eq!(&handshake.to_bytes(), bytes);
    }
}

/// The payload of an extended handshake.
pub fn extended_handshake(data: &[u8]) {
    let Ok(read) = ExtendedHandshake::decode(data) else {
        return;
    };
    assert!(
        read.metadata_size
            .is_none_or(|n| (1..=MAX_METADATA).contains(&n))
    );
    assert!(read.port != Some(0) && read.index_port != Some(0) && read.reqq != Some(0));
    if let Some(version) = &read.version {
        assert!(version.chars().count() <= MAX_VERSION && !version.chars().any(char::is_control));
    }
    assert_eq!(ExtendedHandshake::decode(&read.encode()), Ok(read));
}

/// The payload of a `ut_metadata` message.
pub fn ut_metadata(data: &[u8]) {
    let Ok(read) = UtMetadata::decode(data) else {
        return;
    };
    if let UtMetadata::Data {
        piece,
        total_size,
        data,
    } = &read
    {
        assert!(*total_size <= MAX_METADATA && *piece < total_size.div_ceil(METADATA_PIECE));
        assert!((1..=METADATA_PIECE as usize).contains(&data.len()));
    }
    assert_eq!(UtMetadata::decode(&read.encode()), Ok(read));
}

/// The payload of a `ut_pex` message.
pub fn ut_pex(data: &[u8]) {
    let Ok(mut read) = UtPex::decode(data) else {
        return;
    };
    assert!(read.added.len() <= MAX_READ && read.dropped.len() <= MAX_READ);
    assert!(read.cut <= data.len() / 6);
    // IPv4 in disguise comes back in the list where it belongs
    read.cut = 0;
    read.added.sort_by_key(|p| p.addr.is_ipv6());
    read.dropped.sort_by_key(std::net::SocketAddr::is_ipv6);
    assert_eq!(UtPex::decode(&read.encode()), Ok(read));
}

/// Piece count (3 bytes; 0: unknown) and the payload of a `cc_status` message: what is read is within the torrent and
/// the limits, is written no longer, and reads the same.
pub fn cc_status(data: &[u8]) {
    let mut input = Input::new(data);
    let count = u32::from(input.byte()) << 16 | u32::from(input.u16());
    let pieces = Some(count).filter(|n| *n > 0);
    let payload = input.take(usize::MAX);
    let read = match StatusMessage::decode(payload, pieces) {
        Ok(read) => read,
        Err(e) => {
            assert!(pieces.is_none() || e != StatusError::Early);
            return;
        }
    };
    if let StatusMessage::Status(status) = &read {
        assert_eq!(Some(status.fetching.end()), pieces);
        assert!(status.fetching.count() <= MAX_FETCHING);
    }
    let written = read.encode();
    assert!(written.len() <= payload.len().min(MAX_STATUS));
    assert_eq!(StatusMessage::decode(&written, pieces), Ok(read));
}
