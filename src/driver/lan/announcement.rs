//! What an index node says of itself on the local network: 36 bytes, one form only.
//!
//! | bytes | |
//! | --- | --- |
//! | 4 | `CCLN` |
//! | 1 | version, 1 |
//! | 1 | kind: 0 an index node is here; 1 one has just come and wants to hear of others; 2 a client wants to |
//! | 8 | network tag: nodes of other networks are none of ours |
//! | 20 | ring id |
//! | 2 | UDP port of the index node (or client), big-endian, not 0 |

use sha1::{Digest, Sha1};

use crate::id::Id;
use crate::node::Network;

/// Bytes of an announcement: an answer is never larger than what it answers.
pub const ANNOUNCEMENT_LEN: usize = 36;

const MAGIC: [u8; 4] = *b"CCLN";
const VERSION: u8 = 1;

/// Tells apart the networks that share a medium. It reveals nothing of a closed network's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkTag(pub [u8; 8]);

impl NetworkTag {
    /// The tag of a network.
    pub fn of(network: &Network) -> Self {
        let mut hash = Sha1::new();
        hash.update(b"chunkcast network tag 1");
        if let Network::Closed(key) = network {
            hash.update(key.0);
        }
        let digest = hash.finalize();
        let mut tag = [0; 8];
        tag.copy_from_slice(&digest[..8]);
        Self(tag)
    }
}

/// What an announcement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An index node is here.
    Here,
    /// An index node has just come and wants to hear of others.
    Newcomer,
    /// A client wants to hear of index nodes; it is none.
    Client,
}

impl Kind {
    /// Whether an answer is wanted.
    pub fn asks(self) -> bool {
        self != Self::Here
    }
}

/// An index node as it presents itself. Its IP address is that of the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What for.
    pub kind: Kind,
    /// Its network.
    pub network: NetworkTag,
    /// Its ring id.
    pub id: Id,
    /// Its UDP port, not 0.
    pub port: u16,
}

impl Announcement {
    /// The datagram.
    pub fn encode(&self) -> [u8; ANNOUNCEMENT_LEN] {
        let mut out = [0; ANNOUNCEMENT_LEN];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5] = match self.kind {
            Kind::Here => 0,
            Kind::Newcomer => 1,
            Kind::Client => 2,
        };
        out[6..14].copy_from_slice(&self.network.0);
        out[14..34].copy_from_slice(&self.id.0);
        out[34..].copy_from_slice(&self.port.to_be_bytes());
        out
    }

    /// Reads a datagram; `None` for anything but an announcement of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ANNOUNCEMENT_LEN] = bytes.try_into().ok()?;
        if bytes[..4] != MAGIC || bytes[4] != VERSION {
            return None;
        }
        let port = u16::from_be_bytes([bytes[34], bytes[35]]);
        Some(Self {
            kind: match bytes[5] {
                0 => Kind::Here,
                1 => Kind::Newcomer,
                2 => Kind::Client,
                _ => return None,
            },
            network: NetworkTag(bytes[6..14].try_into().ok()?),
            id: Id::from_slice(&bytes[14..34])?,
            port,
        })
        .filter(|a| a.port != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::seal::NetworkKey;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_announcement_is_read_as_it_was_written(
            kind in 0usize..3, network: [u8; 8], id: [u8; 20], port in 1u16..
        ) {
            let kind = [Kind::Here, Kind::Newcomer, Kind::Client][kind];
            let said = Announcement { kind, network: NetworkTag(network), id: Id(id), port };
            prop_assert_eq!(Announcement::decode(&said.encode()), Some(said));
        }

        #[test]
        fn what_is_read_has_one_form(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80), head in 0usize..7
        ) {
            // random bytes hardly ever begin like an announcement
            for (byte, wanted) in bytes.iter_mut().zip(b"CCLN\x01\x01").take(head) {
                *byte = *wanted;
            }
            if let Some(read) = Announcement::decode(&bytes) {
                prop_assert_eq!(read.encode().to_vec(), bytes);
                prop_assert_ne!(read.port, 0);
            }
        }
    }

    #[test]
    fn other_lengths_versions_kinds_and_port_0_are_refused() {
        let said = Announcement {
            kind: Kind::Newcomer,
            network: NetworkTag::of(&Network::Open),
            id: Id([7; 20]),
            port: 4240,
        };
        let good = said.encode();
        assert_eq!(Announcement::decode(&good[..35]), None);
        assert_eq!(Announcement::decode(&[&good[..], &[0]].concat()), None);
        for (at, byte) in [(0, b'c'), (4, 2), (5, 3)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(Announcement::decode(&bad), None, "byte {at}");
        }
        let mut bad = good;
        bad[34..].copy_from_slice(&[0, 0]);
        assert_eq!(Announcement::decode(&bad), None);
    }

    #[test]
    fn every_key_is_a_network_of_its_own() {
        let closed = |byte| Network::Closed(NetworkKey([byte; 32]));
        let tags = [Network::Open, closed(0), closed(1)].map(|n| NetworkTag::of(&n));
        assert_ne!(tags[0], tags[1]);
        assert_ne!(tags[1], tags[2]);
    }
}
