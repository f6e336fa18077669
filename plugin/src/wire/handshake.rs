//! The 68 bytes that open a connection (BEP 3), and the peer id in them (BEP 20). Sans-IO.

use rand::{Rng, RngExt};

use super::message::Handshake;

/// Length byte and protocol name: the first 20 bytes of every connection.
pub const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

/// Bytes up to and including the infohash: enough to know which torrent a caller wants. The peer id follows.
pub const ASK_LEN: usize = 48;

/// Why 68 bytes are not a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not speak the BitTorrent protocol")]
pub struct NotBitTorrent;

impl Handshake {
    /// The handshake as it goes over the wire.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..20].copy_from_slice(&PROTOCOL);
        out[20..28].copy_from_slice(&self.reserved);
        out[28..48].copy_from_slice(&self.info_hash);
        out[48..].copy_from_slice(&self.peer_id);
        out
    }

    /// Reads a handshake.
    ///
    /// # Errors
    /// [`NotBitTorrent`] when the length byte or the protocol name differ.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, NotBitTorrent> {
        check_protocol(bytes)?;
        let mut handshake = Self {
            reserved: [0; 8],
            info_hash: [0; 20],
            peer_id: [0; 20],
        };
        handshake.reserved.copy_from_slice(&bytes[20..28]);
        handshake.info_hash.copy_from_slice(&bytes[28..48]);
        handshake.peer_id.copy_from_slice(&bytes[48..]);
        Ok(handshake)
    }
}

/// Checks as much of the protocol name as `received` holds, so that a web server's greeting is refused at its first
/// byte and not after a timeout.
///
/// # Errors
/// [`NotBitTorrent`] when the bytes cannot be the start of a handshake.
pub fn check_protocol(received: &[u8]) -> Result<(), NotBitTorrent> {
    let len = received.len().min(PROTOCOL.len());
    if received[..len] == PROTOCOL[..len] {
        Ok(())
    } else {
        Err(NotBitTorrent)
    }
}

/// A fresh peer id in Azureus style (BEP 20): `-CC`, four characters of the version, `-`, 12 random alphanumerics.
pub fn our_peer_id(rng: &mut impl Rng) -> [u8; 20] {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let version = |number: &str| {
        let number = number.parse::<usize>().unwrap_or(0);
        ALPHABET[number.min(35)]
    };
    let mut id = *b"-CC0000-000000000000";
    id[3] = version(env!("CARGO_PKG_VERSION_MAJOR"));
    id[4] = version(env!("CARGO_PKG_VERSION_MINOR"));
    id[5] = version(env!("CARGO_PKG_VERSION_PATCH"));
    for byte in &mut id[8..] {
        *byte = ALPHABET[rng.random_range(0..ALPHABET.len())];
    }
    id
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_handshake_survives_the_wire() {
        let ours = Handshake::ours([7; 20], [9; 20]);
        let bytes = ours.to_bytes();
        assert_eq!(&bytes[..20], b"\x13BitTorrent protocol");
        assert_eq!(Handshake::from_bytes(&bytes), Ok(ours));
        assert!(ours.extended() && ours.fast() && !ours.dht());
        assert_eq!(ours.with_dht(false), ours);
        assert!(ours.with_dht(true).dht());
    }

    #[test]
    fn the_reference_implementation_reads_our_handshake() {
        let ours = Handshake::ours([7; 20], [9; 20]);
        let (theirs, len) =
            librqbit_peer_protocol::Handshake::deserialize(&ours.to_bytes()).expect("a handshake");
        assert_eq!(len, Handshake::LEN);
        assert_eq!(theirs.info_hash.0, [7; 20]);
        assert_eq!(theirs.peer_id.0, [9; 20]);
        assert!(theirs.supports_extended());
    }

    #[test]
    fn every_wrong_byte_of_the_protocol_name_is_refused() {
        for at in 0..20 {
            let mut bytes = Handshake::ours([7; 20], [9; 20]).to_bytes();
            bytes[at] ^= 1;
            assert_eq!(Handshake::from_bytes(&bytes), Err(NotBitTorrent));
            assert_eq!(check_protocol(&bytes[..=at]), Err(NotBitTorrent));
            assert_eq!(check_protocol(&bytes[..at]), Ok(()));
        }
    }

    #[test]
    fn a_peer_id_names_the_client_and_its_version_and_is_random_after_that() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (a, b) = (our_peer_id(&mut rng), our_peer_id(&mut rng));
        assert_eq!(&a[..8], b"-CC0100-");
        assert!(a[8..].iter().all(u8::is_ascii_alphanumeric));
        assert_ne!(a, b);
    }
}
