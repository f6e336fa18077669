//! The hashes of a key exchange, and RC4 with the keys that they give.

use std::fmt;

use rc4::{KeyInit, Rc4, StreamCipher};
use sha1::{Digest, Sha1};

use super::dh::KEY_LEN;

/// So much of each key stream is thrown away, as it says something about the key. // MSE
const DISCARDED: usize = 1024;

/// One direction of an encrypted connection.
pub struct Cipher(Rc4);

impl Cipher {
    /// The cipher for what the end of that name says.
    pub(super) fn new(end: End, secret: &[u8; KEY_LEN], info_hash: &[u8; 20]) -> Self {
        let name: &[u8] = match end {
            End::Initiator => b"keyA",
            End::Responder => b"keyB",
        };
        let key = hash([name, secret, info_hash]);
        let mut rc4 = Rc4::new_from_slice(&key).expect("20 bytes are a key");
        rc4.apply_keystream(&mut [0; DISCARDED]);
        Self(rc4)
    }

    /// Encrypts or decrypts what comes next.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Initiator,
    Responder,
}

/// What a caller tells of the torrent that it wants, once the secret is taken off: a responder looks it up among those of
/// its torrents.
pub fn key_hash(info_hash: &[u8; 20]) -> [u8; 20] {
    hash([b"req2", info_hash])
}

/// What follows an initiator's pad.
pub(super) fn sync_hash(secret: &[u8; KEY_LEN]) -> [u8; 20] {
    hash([b"req1", secret])
}

/// A torrent's [`key_hash`] with the secret put on it, or taken off.
pub(super) fn mask(key: [u8; 20], secret: &[u8; KEY_LEN]) -> [u8; 20] {
    let mask = hash([b"req3", secret]);
    std::array::from_fn(|i| key[i] ^ mask[i])
}

fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    parts.iter().for_each(|part| sha1.update(part));
    sha1.finalize().into()
}
