//! Key exchanges of encrypted connections.

use chunkcast_bittorrent::wire::encryption::{Encryption, Methods};
use chunkcast_bittorrent::wire::mse::{
    Initiator, MAX_INITIAL, MAX_PAD, MseError, Responder, Secured, key_hash,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::input::Input;

const HASH: [u8; 20] = [7; 20];
const FIRST: &[u8] = b"first words";

/// More than any end reads before it is over.
const MOST: usize = 96 + MAX_PAD + 20 + 20 + 14 + MAX_PAD + 2 + MAX_INITIAL + 1;

enum End {
    Initiator(Box<Initiator>),
    Responder(Box<Responder>),
}

impl End {
    fn new(initiates: bool, policy: Encryption, provided: Methods, out: &mut Vec<u8>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(initiates));
        match initiates {
            true => Self::Initiator(Box::new(Initiator::new(
                HASH, provided, FIRST, &mut rng, out,
            ))),
            false => Self::Responder(Box::new(Responder::new(policy, &mut rng))),
        }
    }

    fn handle(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Secured>, MseError> {
        let knows = |key: &[u8; 20]| (*key == key_hash(&HASH)).then_some(HASH);
        match self {
            Self::Initiator(end) => end.handle(bytes, out),
            Self::Responder(end) => end.handle(bytes, knows, out),
        }
    }
}

/// Which end is tried, policy and methods offered (1 byte), the length of the parts in which it reads (1 byte), how many
/// bytes are bent of what an honest peer says to it (1 byte), where and how (3 bytes each), and what follows that, or
/// comes instead of it: it is over within a bound, whatever comes, and how that is split changes nothing.
pub fn mse(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let initiates = flags & 1 != 0;
    let policies = [
        Encryption::Allow,
        Encryption::Prefer,
        Encryption::Require,
        Encryption::Off,
    ];
    let policy = policies[usize::from(flags >> 1 & 3)];
    let provided = Methods(u32::from(flags >> 3 & 3));
    let part = usize::from(input.byte()).max(1);

    let mut said = match flags & 0x80 {
        0 => honest(initiates, policy, provided),
        _ => Vec::new(),
    };
    for _ in 0..input.byte().min(8) {
        let (at, bend) = (usize::from(input.u16()), input.byte());
        if let Some(byte) = said.get_mut(at) {
            *byte ^= bend;
        }
    }
    said.extend(input.take(usize::MAX));
    said.resize(said.len().max(MOST), 0);

    let [whole, apart] = [said.len(), part].map(|part| {
        let mut end = End::new(initiates, policy, provided, &mut Vec::new());
        read(&mut end, said.chunks(part))
    });
    assert_eq!(whole, apart, "in {part}s");
    assert!(whole.is_ok_and(|(torrent, _)| torrent == HASH) || apart.is_err());
}

/// What an honest peer says to an end, as far as they come.
fn honest(initiates: bool, policy: Encryption, provided: Methods) -> Vec<u8> {
    let (mut by_a, mut by_b) = (Vec::new(), Vec::new());
    let mut a = End::new(true, policy, provided, &mut by_a);
    let mut b = End::new(false, policy, provided, &mut by_b);
    let _ = b.handle(&by_a, &mut by_b);
    let told = by_a.len();
    let _ = a.handle(&by_b, &mut by_a);
    let _ = b.handle(&by_a[told..], &mut by_b);
    match initiates {
        true => by_b,
        false => by_a,
    }
}

/// The torrent, and all that is said behind the key exchange.
fn read<'a>(
    end: &mut End,
    parts: impl Iterator<Item = &'a [u8]>,
) -> Result<([u8; 20], Vec<u8>), MseError> {
    let (mut done, mut text, mut out) = (None, Vec::new(), Vec::new());
    for part in parts {
        match &mut done {
            None => {
                done = end.handle(part, &mut out)?;
                text.extend(done.iter().flat_map(|secured| &secured.ahead));
            }
            Some(secured) => {
                let mut part = part.to_vec();
                if let Some((incoming, _)) = &mut secured.ciphers {
                    incoming.apply(&mut part);
                }
                text.extend(part);
            }
        }
        assert!(out.len() <= 96 + MAX_PAD + 40 + 16 + MAX_PAD + FIRST.len());
    }
    Ok((done.expect("it is over").info_hash, text))
}
