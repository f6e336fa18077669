//! What two ChunkCast clients tell each other (`cc_status` in `m` of the extended handshake): the pieces that the sender
//! is fetching, and how loaded it is; who else is near; and pings, which measure the round-trip time on while it may
//! be less. Sans-IO.
//!
//! | first byte | then |
//! | --- | --- |
//! | 0 status | load byte; the pieces as bits over all pieces of the torrent (docs/protocol.md 1.2, tags 0 to 4) |
//! | 1 ping | number, 4 bytes, big-endian |
//! | 2 pong | the number of the ping that it answers |
//! | 3 near | how many IPv4 addresses, 1 byte; these, 6 bytes each, then IPv6 addresses, 18 bytes each (as in BEP 5 and BEP 7) |
//!
//! Reading is strict: only our own clients send it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::client::MAX_INTRODUCED;
use chunkcast::wire::{BitsError, decode_bits, encode_bits};

/// The id under which we take `cc_status` messages.
pub const OUR_CC_STATUS: u8 = 3;

/// Most pieces in one message: of more that are being fetched the first are told.
pub const MAX_FETCHING: u32 = 4096; // guess: 64 MiB in the smallest usual pieces, 16 KiB

/// Longest payload, in bytes: [`MAX_FETCHING`] pieces of any torrent take less (11,267 when there are 2^32).
pub const MAX_STATUS: usize = 12 * 1024;

/// A `cc_status` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusMessage {
    /// What is being fetched.
    Status(Status),
    /// To be answered at once.
    Ping(u32),
    /// The answer to the ping of this number.
    Pong(u32),
    /// Where others that are near the sender accept connections; at most [`MAX_INTRODUCED`].
    Near(Vec<SocketAddr>),
}

/// What a client is fetching, and how loaded it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// 0 (idle) ..= 255 (full).
    pub load: u8,
    /// The pieces that it is fetching, over all pieces of the torrent.
    pub fetching: ChunkSet,
}

/// Why a payload is no message of this torrent: the peer's fault unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Longer than [`MAX_STATUS`].
    #[error("a status message of {0} bytes, the limit is {MAX_STATUS}")]
    TooLong(usize),
    /// Too short, or longer than its kind can be.
    #[error("a status message of a length that its kind cannot have")]
    Length,
    /// A kind of a later version: to be ignored.
    #[error("a status message of the unknown kind {0}")]
    Kind(u8),
    /// A status while the number of pieces is not known: nobody's fault, to be ignored.
    #[error("a status before the number of pieces is known")]
    Early,
    /// The pieces cannot be read, or are not as many as the torrent has.
    #[error(transparent)]
    Bits(#[from] BitsError),
    /// More pieces than [`MAX_FETCHING`].
    #[error("a status that names {0} pieces, the limit is {MAX_FETCHING}")]
    TooMany(u32),
    /// More addresses than [`MAX_INTRODUCED`].
    #[error("a message that names {0} near peers, the limit is {MAX_INTRODUCED}")]
    TooManyNear(usize),
}

impl StatusMessage {
    /// The payload of a message with the receiver's id for `cc_status`; at most [`MAX_STATUS`] bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Status(Status { load, fetching }) => {
                out.extend([0, *load]);
                if fetching.count() > MAX_FETCHING {
                    let first = fetching.iter().take(MAX_FETCHING as usize);
                    out.extend(encode_bits(&ChunkSet::from_indices(fetching.len(), first)));
                } else {
                    out.extend(encode_bits(fetching));
                }
            }
            Self::Ping(number) => {
                out.push(1);
                out.extend(number.to_be_bytes());
            }
            Self::Pong(number) => {
                out.push(2);
                out.extend(number.to_be_bytes());
            }
            Self::Near(addrs) => {
                let some = addrs.iter().take(MAX_INTRODUCED);
                let (four, six): (Vec<&SocketAddr>, Vec<_>) = some.partition(|a| a.is_ipv4());
                out.extend([3, u8::try_from(four.len()).unwrap_or(u8::MAX)]);
                for addr in four.into_iter().chain(six) {
                    match addr.ip() {
                        IpAddr::V4(ip) => out.extend(ip.octets()),
                        IpAddr::V6(ip) => out.extend(ip.octets()),
                    }
                    out.extend(addr.port().to_be_bytes());
                }
            }
        }
        out.into()
    }

    /// Reads the payload of a message with our id for `cc_status`, in a torrent of `pieces` pieces, if that is known.
    ///
    /// # Errors
    /// [`StatusError`]; what is allocated is an eighth of `pieces` in bytes at most.
    pub fn decode(payload: &[u8], pieces: Option<u32>) -> Result<Self, StatusError> {
        if payload.len() > MAX_STATUS {
            return Err(StatusError::TooLong(payload.len()));
        }
        let (&kind, rest) = payload.split_first().ok_or(StatusError::Length)?;
        let number = || {
            let bytes = rest.try_into().map_err(|_| StatusError::Length)?;
            Ok(u32::from_be_bytes(bytes))
        };
        match kind {
            0 => {
                let (&load, bits) = rest.split_first().ok_or(StatusError::Length)?;
                let pieces = pieces.ok_or(StatusError::Early)?;
                let fetching = decode_bits(0, pieces, bits, pieces)?;
                if fetching.count() > MAX_FETCHING {
                    return Err(StatusError::TooMany(fetching.count()));
                }
                Ok(Self::Status(Status { load, fetching }))
            }
            1 => number().map(Self::Ping),
            2 => number().map(Self::Pong),
            3 => near(rest).map(Self::Near),
            other => Err(StatusError::Kind(other)),
        }
    }
}

/// The addresses of a near message.
fn near(bytes: &[u8]) -> Result<Vec<SocketAddr>, StatusError> {
    let (&four, rest) = bytes.split_first().ok_or(StatusError::Length)?;
    let split = rest.split_at_checked(6 * usize::from(four));
    let (four, six) = split.ok_or(StatusError::Length)?;
    let (four, _) = four.as_chunks::<6>();
    let (six, odd) = six.as_chunks::<18>();
    if !odd.is_empty() {
        return Err(StatusError::Length);
    }
    let named = four.len() + six.len();
    if named > MAX_INTRODUCED {
        return Err(StatusError::TooManyNear(named));
    }
    let four = four
        .iter()
        .map(|&[a, b, c, d, h, l]| SocketAddr::from(([a, b, c, d], u16::from_be_bytes([h, l]))));
    let six = six.iter().map(|bytes| {
        let (ip, port) = bytes.split_at(16);
        let ip: [u8; 16] = ip.try_into().unwrap_or_default();
        let port = port.try_into().unwrap_or_default();
        SocketAddr::from((Ipv6Addr::from(ip), u16::from_be_bytes(port)))
    });
    Ok(four.chain(six).collect())
}
