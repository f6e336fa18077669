//! The extension protocol (BEP 10), metadata exchange (BEP 9), and who only uploads (BEP 21). Sans-IO.
//!
//! Reading is tolerant where clients in the wild are sloppy (unsorted or unknown keys, bytes after a handshake, a
//! useless `p` or `reqq`) and strict where a value would be used to allocate or to send: `metadata_size`,
//! `total_size`, piece numbers and extension ids out of range are refused.
//!
//! Own keys: `cc_index`, the UDP port of the sender's index node, and in `m` `cc_status`, the id under which the sender
//! takes [status messages](super::status). Stock clients skip unknown keys.

use bendy::encoding::{Encoder, Error as EncodeError};
use bytes::{Bytes, BytesMut};

use crate::bencode::{Malformed, Reader, Token};

/// The id under which we take `ut_metadata` messages.
pub const OUR_UT_METADATA: u8 = 2;

/// The id under which we take `upload_only` messages.
pub const OUR_UPLOAD_ONLY: u8 = 5;

/// Length of a metadata piece in bytes (BEP 9); the last one may be shorter.
pub const METADATA_PIECE: u32 = 16 * 1024;

/// Largest info dict that is believed in, in bytes. // guess: over 3 million SHA-1 hashes
pub const MAX_METADATA: u32 = 64 * 1024 * 1024;

/// Longest extended handshake that is read, in bytes; stock clients send 100 to 400. // guess
pub const MAX_HANDSHAKE: usize = 16 * 1024;

/// Longest client name that is kept, in characters.
pub const MAX_VERSION: usize = 64; // guess

/// What an extended handshake says, as far as we use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// The id under which the sender takes `ut_metadata`; `None` or 0: it does not.
    pub ut_metadata: Option<u8>,
    /// The id under which the sender takes `ut_pex` (BEP 11); `None` or 0: it does not.
    pub ut_pex: Option<u8>,
    /// The id under which the sender takes `cc_status`; `None` or 0: it does not. Only ChunkCast clients say it.
    pub cc_status: Option<u8>,
    /// The id under which the sender takes `upload_only` messages (libtorrent's and µTorrent's way to say that it changed);
    /// `None` or 0: it does not, and hears of it in another handshake.
    pub upload_only_id: Option<u8>,
    /// Whether the sender downloads nothing more (BEP 21); `None`: not said, which is no unless it was said before.
    pub upload_only: Option<bool>,
    /// Size of the info dict in bytes, when the sender has it.
    pub metadata_size: Option<u32>,
    /// TCP port where the sender accepts connections.
    pub port: Option<u16>,
    /// Client name and version.
    pub version: Option<String>,
    /// Requests that the sender queues before it drops some.
    pub reqq: Option<u32>,
    /// UDP port of the sender's index node: only ChunkCast clients say it (key `cc_index`).
    pub index_port: Option<u16>,
}

/// A BEP 9 message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UtMetadata {
    /// Asks for a 16 KiB piece of the info dict.
    Request(u32),
    /// One piece of it.
    Data {
        /// Its number.
        piece: u32,
        /// Size of the whole info dict.
        total_size: u32,
        /// The bytes.
        data: Bytes,
    },
    /// The sender does not have it, or not for you.
    Reject(u32),
}

/// Why a payload is not the extension message that it claims to be: the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtendedError {
    /// Not bencoded, or not a dictionary.
    #[error(transparent)]
    Bencode(#[from] Malformed),
    /// A handshake longer than [`MAX_HANDSHAKE`].
    #[error("an extended handshake of {0} bytes, the limit is {MAX_HANDSHAKE}")]
    TooLong(usize),
    /// A key is missing, of the wrong type, or out of range.
    #[error("an extension message without a valid {0:?}")]
    Key(&'static str),
    /// A `msg_type` that BEP 9 does not define: to be ignored, says BEP 9.
    #[error("a metadata message of unknown type {0}")]
    UnknownType(i64),
    /// The data of a metadata piece is empty or too long.
    #[error("a metadata piece of {0} bytes, the limit is {METADATA_PIECE}")]
    PieceLength(usize),
}

impl ExtendedHandshake {
    /// The payload of the message with extended id 0.
    pub fn encode(&self) -> Bytes {
        encode_dict(|dict| {
            if let Some(port) = self.index_port {
                dict.emit_pair(b"cc_index", port)?;
            }
            dict.emit_pair_with(b"m", |m| {
                m.emit_dict(|mut m| {
                    if let Some(id) = self.cc_status {
                        m.emit_pair(b"cc_status", id)?;
                    }
                    if let Some(id) = self.upload_only_id {
                        m.emit_pair(b"upload_only", id)?;
                    }
                    if let Some(id) = self.ut_metadata {
                        m.emit_pair(b"ut_metadata", id)?;
                    }
                    if let Some(id) = self.ut_pex {
                        m.emit_pair(b"ut_pex", id)?;
                    }
                    Ok(())
                })
            })?;
            if let Some(size) = self.metadata_size {
                dict.emit_pair(b"metadata_size", size)?;
            }
            if let Some(port) = self.port {
                dict.emit_pair(b"p", port)?;
            }
            if let Some(reqq) = self.reqq {
                dict.emit_pair(b"reqq", reqq)?;
            }
            if let Some(upload_only) = self.upload_only {
                dict.emit_pair(b"upload_only", u8::from(upload_only))?;
            }
            if let Some(version) = &self.version {
                dict.emit_pair(b"v", version)?;
            }
            Ok(())
        })
        .freeze()
    }

    /// Reads the payload of a message with extended id 0.
    ///
    /// A `metadata_size` of 0 means that the sender has no metadata. Ports of 0 or out of range, and a `reqq` that is
    /// not a positive number, count as not said. A version is cut to [`MAX_VERSION`] characters, and its control
    /// characters become `?`: it ends up on a terminal.
    ///
    /// # Errors
    /// [`ExtendedError`] when it is too long or no dictionary, or when `m`, an id in it or `metadata_size` is invalid.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedError> {
        if payload.len() > MAX_HANDSHAKE {
            return Err(ExtendedError::TooLong(payload.len()));
        }
        let mut handshake = Self::default();
        let mut reader = Reader::new(payload);
        reader.dict()?;
        while let Some(key) = reader.key()? {
            let value = reader.next()?;
            match key {
                b"m" => {
                    if value != Token::Dict {
                        return Err(ExtendedError::Key("m"));
                    }
                    while let Some(name) = reader.key()? {
                        let id = reader.next()?;
                        match name {
                            b"cc_status" => {
                                handshake.cc_status = Some(extended_id(id, "cc_status")?);
                            }
                            b"upload_only" => {
                                handshake.upload_only_id = Some(extended_id(id, "upload_only")?);
                            }
                            b"ut_metadata" => {
                                handshake.ut_metadata = Some(extended_id(id, "ut_metadata")?);
                            }
                            b"ut_pex" => handshake.ut_pex = Some(extended_id(id, "ut_pex")?),
                            _ => {}
                        }
                        reader.skip(id)?;
                    }
                    continue;
                }
                b"metadata_size" => {
                    let size = metadata_size(value).ok_or(ExtendedError::Key("metadata_size"))?;
                    handshake.metadata_size = (size > 0).then_some(size);
                }
                b"p" => handshake.port = port(value),
                b"cc_index" => handshake.index_port = port(value),
                b"reqq" => {
                    handshake.reqq = number(value)
                        .and_then(|reqq| u32::try_from(reqq).ok())
                        .filter(|&reqq| reqq > 0);
                }
                b"upload_only" => handshake.upload_only = number(value).map(|n| n != 0),
                b"v" => {
                    if let Token::Bytes(version) = value {
                        handshake.version = printable(version);
                    }
                }
                _ => {}
            }
            reader.skip(value)?;
        }
        Ok(handshake)
    }
}

/// The payload of a message with the receiver's id for `upload_only`.
pub fn encode_upload_only(upload_only: bool) -> Bytes {
    Bytes::copy_from_slice(&[u8::from(upload_only)])
}

/// Reads the payload of a message with our id for `upload_only`: one byte.
///
/// # Errors
/// [`ExtendedError::Key`] when it is not one byte.
pub fn decode_upload_only(payload: &[u8]) -> Result<bool, ExtendedError> {
    match payload {
        [byte] => Ok(*byte != 0),
        _ => Err(ExtendedError::Key("upload_only")),
    }
}

impl UtMetadata {
    /// The payload of a message with the receiver's id for `ut_metadata`.
    pub fn encode(&self) -> Bytes {
        let (kind, piece, data) = match self {
            Self::Request(piece) => (0_u8, *piece, None),
            Self::Data {
                piece,
                total_size,
                data,
            } => (1, *piece, Some((*total_size, data))),
            Self::Reject(piece) => (2, *piece, None),
        };
        let mut out = encode_dict(|dict| {
            dict.emit_pair(b"msg_type", kind)?;
            dict.emit_pair(b"piece", piece)?;
            if let Some((total_size, _)) = data {
                dict.emit_pair(b"total_size", total_size)?;
            }
            Ok(())
        });
        if let Some((_, data)) = data {
            out.extend_from_slice(data);
        }
        out.freeze()
    }

    /// Reads the payload of a message with our id for `ut_metadata`. Of a data message, what follows the dictionary
    /// is the data: 1 to [`METADATA_PIECE`] bytes. Whether the length fits the piece's number is for the assembly.
    ///
    /// # Errors
    /// [`ExtendedError`] when it is no dictionary or a number in it is missing or out of range.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedError> {
        let (mut kind, mut piece, mut total_size) = (None, None, None);
        let mut reader = Reader::new(payload);
        reader.dict()?;
        while let Some(key) = reader.key()? {
            let value = reader.next()?;
            match key {
                b"msg_type" => kind = number(value),
                b"piece" => piece = number(value).and_then(|piece| u32::try_from(piece).ok()),
                b"total_size" => total_size = metadata_size(value).filter(|&size| size > 0),
                _ => {}
            }
            reader.skip(value)?;
        }
        let kind = kind.ok_or(ExtendedError::Key("msg_type"))?;
        let piece = piece
            .filter(|&piece| piece < MAX_METADATA / METADATA_PIECE)
            .ok_or(ExtendedError::Key("piece"))?;
        match kind {
            0 => Ok(Self::Request(piece)),
            1 => {
                let total_size = total_size.ok_or(ExtendedError::Key("total_size"))?;
                if piece >= total_size.div_ceil(METADATA_PIECE) {
                    return Err(ExtendedError::Key("piece"));
                }
                let data = reader.rest();
                if data.is_empty() || data.len() > METADATA_PIECE as usize {
                    return Err(ExtendedError::PieceLength(data.len()));
                }
                Ok(Self::Data {
                    piece,
                    total_size,
                    data: Bytes::copy_from_slice(data),
                })
            }
            2 => Ok(Self::Reject(piece)),
            other => Err(ExtendedError::UnknownType(other)),
        }
    }
}

pub(super) fn encode_dict(
    content: impl FnOnce(&mut bendy::encoding::SortedDictEncoder<'_>) -> Result<(), EncodeError>,
) -> BytesMut {
    let mut encoder = Encoder::new();
    encoder
        .emit_dict(|mut dict| content(&mut dict))
        .expect("keys are emitted in sorted order and once each");
    let bytes = encoder.get_output().expect("the dictionary is closed");
    BytesMut::from(bytes.as_slice())
}

fn number(value: Token<'_>) -> Option<i64> {
    match value {
        Token::Int(number) => Some(number),
        _ => None,
    }
}

fn extended_id(value: Token<'_>, name: &'static str) -> Result<u8, ExtendedError> {
    let id = number(value).and_then(|id| u8::try_from(id).ok());
    id.ok_or(ExtendedError::Key(name))
}

fn metadata_size(value: Token<'_>) -> Option<u32> {
    number(value)
        .and_then(|size| u32::try_from(size).ok())
        .filter(|&size| size <= MAX_METADATA)
}

fn port(value: Token<'_>) -> Option<u16> {
    number(value)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|&port| port > 0)
}

fn printable(version: &[u8]) -> Option<String> {
    // A character takes at most four bytes: what is beyond cannot be among the first.
    let version = &version[..version.len().min(4 * MAX_VERSION)];
    let version: String = String::from_utf8_lossy(version)
        .chars()
        .take(MAX_VERSION)
        .map(|char| if char.is_control() { '?' } else { char })
        .collect();
    (!version.is_empty()).then_some(version)
}
