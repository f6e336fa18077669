//! The part of the peer wire protocol (BEP 3) that a downloader needs that gives nothing.

use std::io::{self, Read};

/// What everybody asks for at once, in bytes.
pub(super) const BLOCK: u32 = 16 << 10;

/// No message is longer: a block, or a bitfield of 8 Mi pieces.
const LONGEST: u32 = 1 << 20;

const NAME: &[u8; 20] = b"\x13BitTorrent protocol";

/// What came; of a block only its place, its `len` bytes are still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Choke,
    Unchoke,
    Have(u32),
    Bitfield(Vec<u8>),
    Block {
        piece: u32,
        begin: u32,
        len: u32,
    },
    /// Whatever else: it is of no use here.
    Other,
}

/// The first 68 bytes of a connection, without any extension.
pub(super) fn handshake(infohash: &[u8; 20], peer_id: &[u8; 20]) -> Vec<u8> {
    [NAME, &[0; 8][..], infohash, peer_id].concat()
}

/// Reads the other side's.
///
/// # Errors
/// When it is another protocol, or another torrent.
pub(super) fn read_handshake(from: &mut impl Read, infohash: &[u8; 20]) -> io::Result<()> {
    let mut bytes = [0; 68];
    from.read_exact(&mut bytes)?;
    if &bytes[..20] != NAME || &bytes[28..48] != infohash {
        return Err(bad("the handshake"));
    }
    Ok(())
}

/// Reads a message; of a block, what comes before its bytes.
///
/// # Errors
/// When it is too long, or too short for what it is.
pub(super) fn read(from: &mut impl Read) -> io::Result<Message> {
    let len = number(from)?;
    if len == 0 {
        return Ok(Message::Other);
    }
    if len > LONGEST {
        return Err(bad("a message's length"));
    }
    let mut id = [0];
    from.read_exact(&mut id)?;
    let body = len - 1;
    match (id[0], body) {
        (0, 0) => Ok(Message::Choke),
        (1, 0) => Ok(Message::Unchoke),
        (4, 4) => Ok(Message::Have(number(from)?)),
        (5, _) => {
            let mut bits = vec![0; body as usize];
            from.read_exact(&mut bits)?;
            Ok(Message::Bitfield(bits))
        }
        (7, 8..) => Ok(Message::Block {
            piece: number(from)?,
            begin: number(from)?,
            len: body - 8,
        }),
        (0 | 1 | 4 | 7, _) => Err(bad("a message")),
        _ => {
            let skipped = io::copy(&mut from.take(body.into()), &mut io::sink())?;
            if skipped < body.into() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(Message::Other)
        }
    }
}

/// Says that it wants something.
pub(super) fn interested(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 1, 2]);
}

/// Says that it has a piece.
pub(super) fn have(out: &mut Vec<u8>, piece: u32) {
    out.extend_from_slice(&[0, 0, 0, 5, 4]);
    out.extend_from_slice(&piece.to_be_bytes());
}

/// Asks for a block.
pub(super) fn request(out: &mut Vec<u8>, piece: u32, begin: u32, len: u32) {
    out.extend_from_slice(&[0, 0, 0, 13, 6]);
    for number in [piece, begin, len] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is malformed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(id: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 1).expect("short");
        [&len.to_be_bytes()[..], &[id], body].concat()
    }

    fn all(mut bytes: &[u8]) -> Vec<Message> {
        let mut out = Vec::new();
        while let Ok(message) = read(&mut bytes) {
            if let Message::Block { len, .. } = message {
                bytes = bytes.get(len as usize..).unwrap_or_default();
            }
            out.push(message);
        }
        out
    }

    #[test]
    fn what_a_seed_says_is_read_and_what_is_not_known_is_passed_over() {
        let stream = [
            vec![0, 0, 0, 0],
            framed(20, b"d1:md6:ut_pexi1eee"),
            framed(5, &[0xff, 0x80]),
            framed(1, &[]),
            framed(7, &[0, 0, 0, 3, 0, 0, 0x40, 0, 9, 9, 9]),
            framed(4, &[0, 0, 0, 7]),
            framed(0, &[]),
        ];
        let block = Message::Block {
            piece: 3,
            begin: 16384,
            len: 3,
        };
        let expected = [
            Message::Other,
            Message::Other,
            Message::Bitfield(vec![0xff, 0x80]),
            Message::Unchoke,
            block,
            Message::Have(7),
            Message::Choke,
        ];
        assert_eq!(all(&stream.concat()), expected);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for bytes in [
            framed(4, &[0, 0, 0]),
            framed(7, &[0; 7]),
            framed(1, &[0]),
            vec![0xff, 0xff, 0xff, 0xff, 5],
            vec![0, 0, 0, 9, 20, 1, 2],
        ] {
            assert!(read(&mut bytes.as_slice()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn another_torrent_is_refused() {
        let hello = handshake(&[1; 20], b"-NL0001-000000000001");
        assert!(read_handshake(&mut hello.as_slice(), &[1; 20]).is_ok());
        assert!(read_handshake(&mut hello.as_slice(), &[2; 20]).is_err());
        assert!(read_handshake(&mut &hello[..67], &[1; 20]).is_err());
        let mut other = hello.clone();
        other[5] ^= 1;
        assert!(read_handshake(&mut other.as_slice(), &[1; 20]).is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            all(&bytes);
        }

        #[test]
        fn what_is_framed_is_read_to_its_end(
            frames in proptest::collection::vec((8u8..=255, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(id, body)| framed(*id, body)).collect();
            prop_assert_eq!(all(&stream), vec![Message::Other; frames.len()]);
        }

        #[test]
        fn what_is_asked_for_has_the_place_and_length(piece: u32, begin: u32, len: u32) {
            let mut out = Vec::new();
            request(&mut out, piece, begin, len);
            // an answer begins with the same two numbers
            prop_assert_eq!(&out[..5], &[0, 0, 0, 13, 6]);
            let numbers: Vec<u32> = out[5..].chunks(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect();
            prop_assert_eq!(numbers, vec![piece, begin, len]);
        }
    }
}
