//! Signed entries: in an open network an entry is forwarded by strangers, and only its publisher can make one.
//!
//! A publisher is an Ed25519 key pair; its id is the SHA-1 of the public key, as the target of a BEP 44 item. What it
//! signs is 116 bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 18 | `chunkcast entry 1` and a zero byte |
//! | 20 | object |
//! | 8 | sequence, big-endian as all that follows |
//! | 8 | expiry, seconds since 1970 |
//! | 6 | IPv4 address and port, or zeros |
//! | 18 | IPv6 address and port, or zeros |
//! | 4 | chunks in the object |
//! | 1 | load |
//! | 1 | flags: bit 0 set when the entry is withdrawn (its lifetime is 0), bit 1 when the chunks are not covered |
//! | 32 | SHA-256 of the bits of all chunks, as a BEP 3 bitfield; zeros if they are not covered |
//!
//! The digest is that of all chunks, so that the receiver of a delta checks what comes out. A set that travels in windows
//! is not covered (bit 1): each window comes alone, and whoever downloads reads the peer's real
//! bitfield anyway. Whether others can dial the peer and the coordinate are the first index node's to say, and the
//! remaining lifetime shrinks on the way; the expiry bounds it.
//!
//! Differences from the paper: it trusts everyone.

use std::fmt;
use std::net::{SocketAddrV4, SocketAddrV6};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::id::{Id, ObjectId};

/// What is signed begins with this.
const DOMAIN: &[u8; 18] = b"chunkcast entry 1\0";
/// What the secret of a further publisher is derived with.
const DERIVED: &[u8; 22] = b"chunkcast publisher 1\0";
const WITHDRAWN: u8 = 1;
const UNCOVERED: u8 = 2;
/// Bytes that are signed.
const CLAIM: usize = 116;

/// What a publisher says of itself, in so far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The object.
    pub object: ObjectId,
    /// The entry's sequence.
    pub sequence: u64,
    /// Seconds since 1970 after which nobody takes the entry.
    pub expires: u64,
    /// Where the peer serves.
    pub v4: Option<SocketAddrV4>,
    /// Where the peer serves.
    pub v6: Option<SocketAddrV6>,
    /// Chunks in the object, 0 while unknown.
    pub chunks: u32,
    /// 0 = idle .. 255 = full.
    pub load: u8,
    /// The entry is withdrawn.
    pub withdrawn: bool,
    /// Bits of all chunks as a BEP 3 bitfield; `None` when they travel in windows.
    pub bits: Option<&'a [u8]>,
}

/// What all publishers of one node are derived from. Should survive a restart, as the node's id does.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One publisher: who it is, and what it signs with.
#[derive(Clone)]
pub struct Publisher {
    key: SigningKey,
    id: Id,
}

impl Publisher {
    /// The publisher of a node with this secret; `tag` names a further one of the same node. The same secret and tag
    /// give the same publisher.
    pub fn new(secret: &Secret, tag: Option<&Id>) -> Self {
        let key = match tag {
            None => SigningKey::from_bytes(&secret.0),
            Some(tag) => {
                let derived = Sha256::new()
                    .chain_update(DERIVED)
                    .chain_update(secret.0)
                    .chain_update(tag.0)
                    .finalize();
                SigningKey::from_bytes(&derived.into())
            }
        };
        let id = publisher_id(&key.verifying_key().to_bytes());
        Self { key, id }
    }

    /// Its id: SHA-1 of the public key.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its public key.
    pub fn key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// The signature of a claim.
    pub fn sign(&self, claim: &Claim<'_>) -> [u8; 64] {
        self.key.sign(&claim.bytes()).to_bytes()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({:?})", self.id)
    }
}

/// The id of the publisher with this public key: its SHA-1, as in BEP 44.
pub fn publisher_id(key: &[u8; 32]) -> Id {
    Id(Sha1::digest(key).into())
}

/// Whether the holder of `key` has signed the claim. Says nothing about whose key it is, see [`publisher_id`].
pub fn verify(key: &[u8; 32], signature: &[u8; 64], claim: &Claim<'_>) -> bool {
    // Strict: a key of small order would sign everything.
    VerifyingKey::from_bytes(key).is_ok_and(|key| {
        key.verify_strict(&claim.bytes(), &Signature::from_bytes(signature))
            .is_ok()
    })
}

impl Claim<'_> {
    /// What is signed.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CLAIM);
        out.extend(DOMAIN);
        out.extend(self.object.0.0);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.expires.to_be_bytes());
        let v4 = self.v4.map(|a| (a.ip().octets(), a.port()));
        let (ip, port) = v4.unwrap_or_default();
        out.extend(ip);
        out.extend(port.to_be_bytes());
        let v6 = self.v6.map(|a| (a.ip().octets(), a.port()));
        let (ip, port) = v6.unwrap_or_default();
        out.extend(ip);
        out.extend(port.to_be_bytes());
        out.extend(self.chunks.to_be_bytes());
        out.push(self.load);
        let flag = |set: bool, bit| if set { bit } else { 0 };
        out.push(flag(self.withdrawn, WITHDRAWN) | flag(self.bits.is_none(), UNCOVERED));
        let digest: [u8; 32] = self
            .bits
            .map_or([0; 32], |bits| Sha256::digest(bits).into());
        out.extend(digest);
        debug_assert_eq!(out.len(), CLAIM);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: Secret = Secret([7; 32]);

    fn claim(bits: Option<&[u8]>) -> Claim<'_> {
        Claim {
            object: ObjectId::from_name(b"o"),
            sequence: 0x0102_0304_0506_0708,
            expires: 1_700_000_300,
            v4: Some(SocketAddrV4::new([192, 0, 2, 1].into(), 6881)),
            v6: None,
            chunks: 12,
            load: 3,
            withdrawn: false,
            bits,
        }
    }

    #[test]
    fn what_is_signed_is_as_documented() {
        let bytes = claim(Some(&[0xff, 0xf0])).bytes();
        let mut expected = b"chunkcast entry 1\0".to_vec();
        expected.extend(ObjectId::from_name(b"o").0.0);
        expected.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        expected.extend([0, 0, 0, 0, 0x65, 0x53, 0xf2, 0x2c]);
        expected.extend([192, 0, 2, 1, 0x1a, 0xe1]);
        expected.extend([0; 18]);
        expected.extend([0, 0, 0, 12, 3, 0]);
        expected.extend(Sha256::digest([0xff, 0xf0]));
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len(), 116);
        let windows = Claim {
            withdrawn: true,
            ..claim(None)
        }
        .bytes();
        assert_eq!(windows[83], 3);
        assert_eq!(windows[84..], [0; 32]);
    }

    #[test]
    fn every_field_is_signed() {
        let me = Publisher::new(&SECRET, None);
        let bits = [0xff, 0xf0];
        let good = claim(Some(&bits));
        let signature = me.sign(&good);
        assert!(verify(&me.key(), &signature, &good));
        let v6 = Some(SocketAddrV6::new([1; 16].into(), 1, 0, 0));
        let forged = [
            Claim {
                object: ObjectId::from_name(b"p"),
                ..good
            },
            Claim {
                sequence: good.sequence + 1,
                ..good
            },
            Claim {
                expires: good.expires + 1,
                ..good
            },
            Claim {
                v4: Some(SocketAddrV4::new([192, 0, 2, 1].into(), 6882)),
                ..good
            },
            Claim {
                v4: Some(SocketAddrV4::new([192, 0, 2, 2].into(), 6881)),
                ..good
            },
            Claim { v4: None, ..good },
            Claim { v6, ..good },
            Claim { chunks: 13, ..good },
            Claim { load: 4, ..good },
            Claim {
                withdrawn: true,
                ..good
            },
            Claim {
                bits: Some(&[0xff, 0xe0]),
                ..good
            },
            Claim { bits: None, ..good },
        ];
        for claim in forged {
            assert!(!verify(&me.key(), &signature, &claim), "{claim:?}");
        }
        let other = Publisher::new(&Secret([8; 32]), None);
        assert!(!verify(&other.key(), &signature, &good));
        for byte in 0..64 {
            let mut bent = signature;
            bent[byte] ^= 1;
            assert!(!verify(&me.key(), &bent, &good), "byte {byte}");
        }
    }

    #[test]
    fn a_node_has_as_many_publishers_as_tags_and_the_same_ones_after_a_restart() {
        let (a, b) = (Id([1; 20]), Id([2; 20]));
        let id = |tag| Publisher::new(&SECRET, tag).id();
        assert_eq!(id(Some(&a)), id(Some(&a)));
        assert_ne!(id(Some(&a)), id(Some(&b)));
        assert_ne!(id(Some(&a)), id(None));
        assert_ne!(
            Publisher::new(&Secret([8; 32]), Some(&a)).id(),
            id(Some(&a))
        );
        let me = Publisher::new(&SECRET, None);
        assert_eq!(me.id(), publisher_id(&me.key()));
        assert_eq!(
            format!("{me:?}"),
            format!("Publisher({:?})", me.id()),
            "no secret shown"
        );
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The neutral element: with R = 0 and s = 0 a lax verifier takes it for everything.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!verify(&neutral, &signature, &claim(None)));
    }

    proptest! {
        #[test]
        fn random_keys_and_signatures_verify_nothing(key: [u8; 32], a: [u8; 32], b: [u8; 32]) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&a);
            signature[32..].copy_from_slice(&b);
            prop_assert!(!verify(&key, &signature, &claim(Some(&[1, 2]))));
        }
    }
}
