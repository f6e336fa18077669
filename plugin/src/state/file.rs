//! The form of the state file.
//!
//! | bytes | |
//! | --- | --- |
//! | 16 | `chunkcast-state` and a line feed |
//! | 20 | SHA-1 of all that follows: a file that was cut or damaged is none |
//! | 1 | version, 1 |
//! | 20 | ring id of the index node |
//! | 32 | the publisher's secret |
//! | 8 | the highest sequence number used, big-endian |
//! | 8 | the clock when it was written, microseconds since 1970, big-endian |
//! | 8 | tag of the network that the contacts belong to |
//! | 2 | number of contacts, big-endian, at most 256 |
//! | 7 or 19 each | `4` or `6`, IP address, port, big-endian |

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use chunkcast::driver::lan::NetworkTag;
use chunkcast::id::Id;
use sha1::{Digest, Sha1};

/// Contacts that are kept, the nearest ones.
pub const MAX_CONTACTS: usize = 256; // guess: more than a table of a ring of thousands has
/// Bytes of a state file at most.
pub const MAX_LEN: usize = HEAD + FIXED + MAX_CONTACTS * 19;

const MAGIC: &[u8; 16] = b"chunkcast-state\n";
const VERSION: u8 = 1;
/// Magic and digest.
const HEAD: usize = 16 + 20;
/// Version to number of contacts.
const FIXED: usize = 1 + 20 + 32 + 8 + 8 + 8 + 2;

/// What an index node keeps from one run to the next.
#[derive(Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its ring id.
    pub id: Id,
    /// What its publisher key is made from; never printed.
    pub secret: [u8; 32],
    /// The highest sequence number of its publications.
    pub sequence: u64,
    /// When that was: microseconds since 1970, as the clock was then.
    pub clock: u64,
    /// The network that `contacts` belong to.
    pub network: NetworkTag,
    /// Index nodes that answered, the nearest first; at most [`MAX_CONTACTS`] are written.
    pub contacts: Vec<SocketAddr>,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved")
            .field("id", &self.id)
            .field("sequence", &self.sequence)
            .field("clock", &self.clock)
            .field("network", &self.network)
            .field("contacts", &self.contacts)
            .finish_non_exhaustive()
    }
}

/// The bytes are no state file of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotState {
    /// It begins like something else.
    #[error("not a state file of chunkcast")]
    Foreign,
    /// Cut or damaged.
    #[error("damaged")]
    Damaged,
    /// Of a later program.
    #[error("written by a later version")]
    Version,
}

impl Saved {
    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let contacts = &self.contacts[..self.contacts.len().min(MAX_CONTACTS)];
        let mut body = Vec::with_capacity(FIXED + contacts.len() * 19);
        body.push(VERSION);
        body.extend(self.id.0);
        body.extend(self.secret);
        body.extend(self.sequence.to_be_bytes());
        body.extend(self.clock.to_be_bytes());
        body.extend(self.network.0);
        let count = u16::try_from(contacts.len()).expect("cut to 256 above");
        body.extend(count.to_be_bytes());
        for contact in contacts {
            match contact.ip() {
                IpAddr::V4(ip) => {
                    body.push(b'4');
                    body.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    body.push(b'6');
                    body.extend(ip.octets());
                }
            }
            body.extend(contact.port().to_be_bytes());
        }
        seal(&body)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`NotState`]: something else, cut or damaged, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotState> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(NotState::Foreign)?;
        let (digest, body) = rest.split_at_checked(20).ok_or(NotState::Damaged)?;
        if Sha1::digest(body).as_slice() != digest {
            return Err(NotState::Damaged);
        }
        let mut rest = body;
        if take::<1>(&mut rest)? != [VERSION] {
            return Err(NotState::Version);
        }
        let mut saved = Self {
            id: Id(take(&mut rest)?),
            secret: take(&mut rest)?,
            sequence: u64::from_be_bytes(take(&mut rest)?),
            clock: u64::from_be_bytes(take(&mut rest)?),
            network: NetworkTag(take(&mut rest)?),
            contacts: Vec::new(),
        };
        let count = usize::from(u16::from_be_bytes(take(&mut rest)?));
        if count > MAX_CONTACTS {
            return Err(NotState::Damaged);
        }
        for _ in 0..count {
            let ip: IpAddr = match take::<1>(&mut rest)? {
                [b'4'] => Ipv4Addr::from(take::<4>(&mut rest)?).into(),
                [b'6'] => Ipv6Addr::from(take::<16>(&mut rest)?).into(),
                _ => return Err(NotState::Damaged),
            };
            let port = u16::from_be_bytes(take(&mut rest)?);
            saved.contacts.push(SocketAddr::new(ip, port));
        }
        match rest {
            [] => Ok(saved),
            _ => Err(NotState::Damaged),
        }
    }
}

/// Magic and digest before what follows them.
pub fn seal(body: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(Sha1::digest(body));
    out.extend(body);
    out
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], NotState> {
    let (head, rest) = bytes.split_first_chunk().ok_or(NotState::Damaged)?;
    *bytes = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn saved() -> impl Strategy<Value = Saved> {
        let contacts = proptest::collection::vec(any::<SocketAddr>(), 0..300);
        let head = any::<([u8; 20], [u8; 32], u64, u64, [u8; 8])>();
        (head, contacts).prop_map(|((id, secret, sequence, clock, network), contacts)| Saved {
            id: Id(id),
            secret,
            sequence,
            clock,
            network: NetworkTag(network),
            contacts: (contacts.into_iter())
                .map(|c| SocketAddr::new(c.ip(), c.port()))
                .collect(),
        })
    }

    proptest! {
        #[test]
        fn what_was_kept_is_read_again(mut saved in saved()) {
            let file = saved.encode();
            prop_assert!(file.len() <= MAX_LEN);
            saved.contacts.truncate(MAX_CONTACTS);
            prop_assert_eq!(Saved::decode(&file), Ok(saved));
        }

        #[test]
        fn a_file_that_was_cut_or_damaged_is_none(saved in saved(), at: prop::sample::Index, bit in 0u8..8) {
            let file = saved.encode();
            let at = at.index(file.len());
            prop_assert!(Saved::decode(&file[..at]).is_err());
            let mut damaged = file;
            damaged[at] ^= 1u8 << bit;
            prop_assert!(Saved::decode(&damaged).is_err());
        }

        #[test]
        fn any_body_has_one_form(mut body in proptest::collection::vec(any::<u8>(), 0..200), count in 0u8..3) {
            if let Some(version) = body.first_mut() {
                *version = VERSION;
            }
            if let Some(at) = body.get_mut(FIXED - 2..FIXED) {
                at.copy_from_slice(&[0, count]);
            }
            let file = seal(&body);
            if let Ok(read) = Saved::decode(&file) {
                prop_assert_eq!(read.encode(), file);
            }
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let saved = Saved {
            id: Id([1; 20]),
            secret: [0xa5; 32],
            sequence: 7,
            clock: 7,
            network: NetworkTag([0; 8]),
            contacts: Vec::new(),
        };
        let shown = format!("{saved:?}");
        assert!(!shown.contains("165") && !shown.contains("a5"), "{shown}");
    }

    #[test]
    fn a_later_version_is_named() {
        let mut body = vec![2];
        body.extend([0; 100]);
        assert_eq!(Saved::decode(&seal(&body)), Err(NotState::Version));
        assert_eq!(Saved::decode(b"hello"), Err(NotState::Foreign));
    }
}
