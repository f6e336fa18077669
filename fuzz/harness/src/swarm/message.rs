//! Messages of peers with contents that often make sense, out of bytes.

use std::net::SocketAddr;

use bytes::Bytes;
use chunkcast_bittorrent::wire::extended::{ExtendedHandshake, OUR_UT_METADATA, UtMetadata};
use chunkcast_bittorrent::wire::message::{BlockRef, Message};
use chunkcast_bittorrent::wire::pex::{OUR_UT_PEX, PexPeer, UtPex};

use super::{PIECE, PIECES, TORRENT};
use crate::input::Input;

pub(super) fn addr(input: &mut Input<'_>) -> SocketAddr {
    match input.byte() {
        255 => SocketAddr::from((input.array::<16>(), input.u16())),
        254 => SocketAddr::from((input.array::<4>(), input.u16())),
        n => SocketAddr::from(([10, 0, 0, n % 30], 5000)),
    }
}

fn piece(input: &mut Input<'_>) -> u32 {
    match input.byte() {
        255 => input.u32(),
        n => u32::from(n) % (PIECES + 1),
    }
}

fn block(input: &mut Input<'_>) -> BlockRef {
    let piece = piece(input);
    let (begin, len) = match input.byte() {
        255 => (input.u32(), input.u32()),
        254 => (input.u16().into(), input.u16().into()),
        253 => (0, PIECE),
        n => match (piece, n & 1) {
            (3, _) => (0, 5000),
            (_, half) => (u32::from(half) << 14, 1 << 14),
        },
    };
    BlockRef { piece, begin, len }
}

pub(super) fn message(input: &mut Input<'_>) -> Message {
    match input.byte() % 25 {
        0 => Message::KeepAlive,
        1 => Message::Choke,
        2 | 3 => Message::Unchoke,
        4 => Message::Interested,
        5 => Message::NotInterested,
        6 | 7 => Message::Have(piece(input)),
        8 => Message::Bitfield(Bytes::copy_from_slice(&[input.byte() & 0xf0])),
        9 => Message::Bitfield(Bytes::copy_from_slice(input.string())),
        10 | 11 => Message::Request(block(input)),
        12 => Message::Cancel(block(input)),
        13 => Message::Reject(block(input)),
        14 => {
            let r = block(input);
            let data = vec![input.byte(); r.len.clamp(1, 1 << 15) as usize];
            Message::Piece {
                piece: r.piece,
                begin: r.begin,
                data: data.into(),
            }
        }
        15 => Message::HaveAll,
        16 => Message::HaveNone,
        17 => Message::AllowedFast(piece(input)),
        18 => Message::Suggest(piece(input)),
        19 => Message::Port(input.u16()),
        20 => Message::Extended {
            id: input.byte(),
            payload: Bytes::copy_from_slice(input.string()),
        },
        21 | 22 => {
            let size = u32::try_from(TORRENT.1.info.len()).expect("20,000 bytes");
            let port = (input.byte() >= 128).then_some(5000);
            let ids = input.byte();
            let handshake = ExtendedHandshake {
                ut_metadata: Some(ids % 4),
                ut_pex: Some(ids / 16 % 4),
                cc_status: Some(ids / 4 % 4),
                metadata_size: match input.byte() {
                    255 => Some(input.u32()),
                    254 => None,
                    253 => Some(input.u16().into()),
                    _ => Some(size),
                },
                port,
                version: None,
                reqq: port.map(|_| input.small()),
                index_port: port,
                upload_only_id: Some(ids / 16 % 2 * 9),
                upload_only: (ids >= 64).then_some(ids >= 160),
            };
            Message::Extended {
                id: 0,
                payload: handshake.encode(),
            }
        }
        24 => {
            let some = input.byte() % 8;
            let added = (0..some).map(|_| PexPeer {
                addr: addr(input),
                flags: input.byte(),
            });
            let payload = UtPex {
                added: added.collect(),
                dropped: (0..input.byte() % 4).map(|_| addr(input)).collect(),
                cut: 0,
            };
            Message::Extended {
                id: OUR_UT_PEX,
                payload: payload.encode(),
            }
        }
        _ => {
            let piece = input.byte().into();
            let message = match input.byte() % 3 {
                0 => UtMetadata::Request(piece),
                1 => UtMetadata::Reject(piece),
                _ => UtMetadata::Data {
                    piece,
                    total_size: input.u16().into(),
                    data: vec![input.byte(); usize::from(input.u16()).clamp(1, 1 << 14)].into(),
                },
            };
            Message::Extended {
                id: OUR_UT_METADATA,
                payload: message.encode(),
            }
        }
    }
}
