//! Peer exchange (BEP 11, `ut_pex` in `m` of the extended handshake): who the sender is connected to. Sans-IO.
//!
//! A message is a dictionary of `added`, `added.f`, `dropped` and the same with a 6: addresses with port as in BEP 23 and
//! BEP 7, and for each that is added a byte of flags. Keys that are missing stand for empty lists, and missing flags for 0.
//! What is no list of addresses is refused; of a list that is too long only the beginning is read.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::connect::canonical;
use super::extended::{ExtendedError, encode_dict};
use crate::bencode::{Reader, Token};

/// The id under which we take `ut_pex` messages.
pub const OUR_UT_PEX: u8 = 1;

/// Most addresses that are sent as added in one message, and again as dropped.
pub const MAX_SENT: usize = 50; // BEP 11

/// Most addresses that are read of one message's added, and again of its dropped.
pub const MAX_READ: usize = 200; // guess: BEP 11 lets the first message be longer than 50; libtorrent sends 100

/// An address that the sender is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PexPeer {
    /// Where it accepts connections.
    pub addr: SocketAddr,
    /// What is known of it: [`PexPeer::SEED`], [`PexPeer::REACHABLE`] and others.
    pub flags: u8,
}

impl PexPeer {
    /// It has everything, or uploads only.
    pub const SEED: u8 = 0x02;
    /// It speaks uTP (BEP 29).
    pub const UTP: u8 = 0x04;
    /// The sender's own dial has reached it.
    pub const REACHABLE: u8 = 0x10;

    /// Whether all of these flags are set.
    pub fn is(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// A BEP 11 message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UtPex {
    /// Connected since the last message, IPv4 before IPv6.
    pub added: Vec<PexPeer>,
    /// No longer connected since the last message, IPv4 before IPv6.
    pub dropped: Vec<SocketAddr>,
    /// Addresses that were not read because the lists are too long; nothing on the wire.
    pub cut: usize,
}

impl UtPex {
    /// The payload of a message with the receiver's id for `ut_pex`.
    pub fn encode(&self) -> Bytes {
        let [mut added, mut added6, mut dropped, mut dropped6] = [const { Vec::new() }; 4];
        let [mut flags, mut flags6] = [const { Vec::new() }; 2];
        for peer in &self.added {
            write(peer.addr, &mut added, &mut added6);
            match canonical(peer.addr) {
                SocketAddr::V4(_) => flags.push(peer.flags),
                SocketAddr::V6(_) => flags6.push(peer.flags),
            }
        }
        for addr in &self.dropped {
            write(*addr, &mut dropped, &mut dropped6);
        }
        encode_dict(|dict| {
            // some clients expect every key of IPv4
            dict.emit_pair_with(b"added", |e| e.emit_bytes(&added))?;
            dict.emit_pair_with(b"added.f", |e| e.emit_bytes(&flags))?;
            if !added6.is_empty() {
                dict.emit_pair_with(b"added6", |e| e.emit_bytes(&added6))?;
                dict.emit_pair_with(b"added6.f", |e| e.emit_bytes(&flags6))?;
            }
            dict.emit_pair_with(b"dropped", |e| e.emit_bytes(&dropped))?;
            if !dropped6.is_empty() {
                dict.emit_pair_with(b"dropped6", |e| e.emit_bytes(&dropped6))?;
            }
            Ok(())
        })
        .freeze()
    }

    /// Reads the payload of a message with our id for `ut_pex`. Whether the addresses are worth a connection is for others
    /// to say; those in `added6` that are IPv4 in disguise come as IPv4.
    ///
    /// # Errors
    /// [`ExtendedError`] when it is no dictionary, or one of its lists is no byte string or of a length that no list of
    /// addresses has.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedError> {
        let [mut added, mut added6, mut dropped, mut dropped6] = [&[][..]; 4];
        let [mut flags, mut flags6] = [&[][..]; 2];
        let mut reader = Reader::new(payload);
        reader.dict()?;
        while let Some(key) = reader.key()? {
            let value = reader.next()?;
            match key {
                b"added" => added = list(value, 6, "added")?,
                b"added.f" => flags = list(value, 1, "added.f")?,
                b"added6" => added6 = list(value, 18, "added6")?,
                b"added6.f" => flags6 = list(value, 1, "added6.f")?,
                b"dropped" => dropped = list(value, 6, "dropped")?,
                b"dropped6" => dropped6 = list(value, 18, "dropped6")?,
                _ => {}
            }
            reader.skip(value)?;
        }
        let flagged = |addrs, flags: &'_ [u8]| -> Vec<PexPeer> {
            let flags = flags.iter().copied().chain(std::iter::repeat(0));
            let peers = read(addrs).zip(flags);
            peers.map(|(addr, flags)| PexPeer { addr, flags }).collect()
        };
        let mut message = Self {
            added: flagged(Addrs::V4(added), flags),
            dropped: read(Addrs::V4(dropped)).collect(),
            cut: 0,
        };
        message.added.extend(flagged(Addrs::V6(added6), flags6));
        message.dropped.extend(read(Addrs::V6(dropped6)));
        message.added.truncate(MAX_READ);
        message.dropped.truncate(MAX_READ);
        let named = (added.len() + dropped.len()) / 6 + (added6.len() + dropped6.len()) / 18;
        message.cut = named - message.added.len() - message.dropped.len();
        Ok(message)
    }
}

/// The bytes of a compact list.
enum Addrs<'a> {
    V4(&'a [u8]),
    V6(&'a [u8]),
}

/// The value of a list of entries that are `entry` bytes long.
fn list<'a>(value: Token<'a>, entry: usize, key: &'static str) -> Result<&'a [u8], ExtendedError> {
    match value {
        Token::Bytes(bytes) if bytes.len() % entry == 0 => Ok(bytes),
        _ => Err(ExtendedError::Key(key)),
    }
}

/// At most [`MAX_READ`] addresses.
fn read(addrs: Addrs<'_>) -> Box<dyn Iterator<Item = SocketAddr> + '_> {
    let socket = |ip: IpAddr, port: [u8; 2]| canonical((ip, u16::from_be_bytes(port)).into());
    match addrs {
        Addrs::V4(bytes) => Box::new(
            bytes
                .as_chunks::<6>()
                .0
                .iter()
                .take(MAX_READ)
                .map(move |&[a, b, c, d, p, q]| socket([a, b, c, d].into(), [p, q])),
        ),
        Addrs::V6(bytes) => Box::new(
            bytes
                .as_chunks::<18>()
                .0
                .iter()
                .take(MAX_READ)
                .map(move |&[ip @ .., p, q]| socket(ip.into(), [p, q])),
        ),
    }
}

fn write(addr: SocketAddr, v4: &mut Vec<u8>, v6: &mut Vec<u8>) {
    let out = match canonical(addr).ip() {
        IpAddr::V4(ip) => {
            v4.extend(ip.octets());
            v4
        }
        IpAddr::V6(ip) => {
            v6.extend(ip.octets());
            v6
        }
    };
    out.extend(addr.port().to_be_bytes());
}
