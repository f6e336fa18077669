//! Message Stream Encryption (MSE, also PE): what hides a connection from who looks for BitTorrent. No BEP; the
//! specification is Azureus' (now BiglyBT's) wiki page. Sans-IO.
//!
//! Both ends agree on a secret (Diffie-Hellman), show that they know the infohash, and go on in RC4 or in plaintext. It
//! proves nothing about who the other is, and RC4 and the 768 bits are of 2006: it is a disguise, not a protection.
//!
//! [`Initiator`] and [`Responder`] take the bytes of the other end, in parts of any length, and give those to be sent.
//! What they hold is bounded: pads by [`MAX_PAD`], what a caller says first by [`MAX_INITIAL`].

mod cipher;
mod dh;
mod initiator;
mod responder;
#[cfg(test)]
mod tests;

use bytes::{Buf, BytesMut};
use rand::{CryptoRng, RngExt};

pub use self::cipher::{Cipher, key_hash};
pub use self::initiator::Initiator;
pub use self::responder::Responder;

use super::encryption::Methods;

/// Longest pad, in bytes. // MSE
pub const MAX_PAD: usize = 512;

/// Most that a caller may say within the key exchange, in bytes: stock clients put their handshake there, 68 bytes.
pub const MAX_INITIAL: usize = 4096; // guess

/// Verification constant: as many zeros. // MSE
const VC: [u8; 8] = [0; 8];

/// How a connection goes on.
#[derive(Debug)]
pub struct Secured {
    /// The torrent by whose infohash it was opened.
    pub info_hash: [u8; 20],
    /// For what comes in and for what goes out; `None`: plaintext.
    pub ciphers: Option<(Cipher, Cipher)>,
    /// What came behind the key exchange, decrypted.
    pub ahead: BytesMut,
}

/// Why a key exchange failed: the other end's fault, or another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MseError {
    /// It speaks plaintext.
    #[error("the peer answered in plaintext")]
    Plaintext,
    /// A public key that makes the secret known to everybody, or is no number below the modulus.
    #[error("the peer's public key is none")]
    BadKey,
    /// What has to follow the pad did not.
    #[error("nothing that belongs to a key exchange followed the pad")]
    NoSync,
    /// A caller does not name a torrent that is served.
    #[error("the caller asked for a torrent that is not served here")]
    UnknownTorrent,
    /// The verification constant is another.
    #[error("the peer has agreed on another secret")]
    BadConstant,
    /// A pad longer than [`MAX_PAD`].
    #[error("the peer announced a pad of {0} bytes, the limit is {MAX_PAD}")]
    PadTooLong(usize),
    /// More than [`MAX_INITIAL`].
    #[error("the peer announced {0} bytes within the key exchange, the limit is {MAX_INITIAL}")]
    InitialTooLong(usize),
    /// No way to go on that both take.
    #[error("the peer offers or chose {0:#x}, which is not among what we take")]
    NoMethod(u32),
    /// It has ended before.
    #[error("the key exchange is over")]
    Over,
}

/// Drops a pad and the `pattern` behind it from `buf`, of which `looked` bytes have been looked through; `None`: more has
/// to come.
fn find(buf: &mut BytesMut, pattern: &[u8], looked: usize) -> Result<Option<()>, MseError> {
    let mut windows = buf.windows(pattern.len()).take(MAX_PAD + 1).skip(looked);
    if let Some(at) = windows.position(|window| window == pattern) {
        buf.advance(looked + at + pattern.len());
        return Ok(Some(()));
    }
    match buf.len() < MAX_PAD + pattern.len() {
        true => Ok(None),
        false => Err(MseError::NoSync),
    }
}

/// The first `N` bytes; `None` while there are fewer.
fn take<const N: usize>(buf: &mut BytesMut) -> Option<[u8; N]> {
    let bytes = *buf.first_chunk()?;
    buf.advance(N);
    Some(bytes)
}

/// A pad of any length.
fn draw_pad(rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut pad = vec![0; rng.random_range(0..=MAX_PAD)];
    rng.fill_bytes(&mut pad);
    pad
}

/// The length of a pad, and the pad.
fn put_padded(pad: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(pad.len()).expect("at most MAX_PAD");
    out.extend(len.to_be_bytes());
    out.extend(pad);
}

/// The end of a key exchange behind which `rest` has come; `first`, decrypted, came before.
fn secured(
    info_hash: [u8; 20],
    chosen: Methods,
    mut incoming: Cipher,
    outgoing: Cipher,
    first: BytesMut,
    mut rest: BytesMut,
) -> Secured {
    let encrypted = chosen == Methods::RC4;
    if encrypted {
        incoming.apply(&mut rest);
    }
    let mut ahead = first;
    ahead.extend_from_slice(&rest);
    Secured {
        info_hash,
        ciphers: encrypted.then_some((incoming, outgoing)),
        ahead,
    }
}
