//! The end that was called.

use std::fmt;

use bytes::BytesMut;
use rand::CryptoRng;

use super::cipher::{Cipher, End, mask, sync_hash};
use super::dh::{KEY_LEN, KeyPair};
use super::{
    MAX_INITIAL, MAX_PAD, MseError, Secured, VC, draw_pad, find, put_padded, secured, take,
};
use crate::wire::encryption::{Encryption, Methods};

/// A key exchange that a caller began.
pub struct Responder {
    policy: Encryption,
    /// The pad within what is encrypted.
    pad: Vec<u8>,
    state: State,
    /// What came and is not used up.
    buf: BytesMut,
}

/// Of the initiator's half, what comes next. Ciphers: incoming, outgoing.
enum State {
    Key(KeyPair, Vec<u8>),
    /// Its pad, of which so much has been looked through.
    Sync([u8; KEY_LEN], usize),
    Torrent([u8; KEY_LEN]),
    Provide([u8; 20], Cipher, Cipher),
    /// The pad behind what it provides, of so many bytes, and the length of what it says first.
    Pad([u8; 20], Cipher, Cipher, Methods, usize),
    /// So many bytes that it says first.
    Initial([u8; 20], Cipher, Cipher, Methods, usize),
    Over,
}

impl Responder {
    /// Awaits a caller; what it may choose from depends on `policy`.
    pub fn new(policy: Encryption, rng: &mut impl CryptoRng) -> Self {
        Self {
            policy,
            state: State::Key(KeyPair::generate(rng), draw_pad(rng)),
            pad: draw_pad(rng),
            buf: BytesMut::new(),
        }
    }

    /// Takes what the initiator says; `out` gets what is to be sent. `torrents` gives the infohash of which a value is
    /// the [`key_hash`](super::key_hash), if that torrent is served; it is asked once. `None`: more has to come.
    ///
    /// # Errors
    /// [`MseError`]; it is over then, as it is when there is a result.
    pub fn handle(
        &mut self,
        bytes: &[u8],
        torrents: impl Fn(&[u8; 20]) -> Option<[u8; 20]>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Secured>, MseError> {
        if matches!(self.state, State::Over) {
            return Err(MseError::Over);
        }
        self.buf.extend_from_slice(bytes);
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Key(keys, pad) => {
                    let Some(theirs) = take(&mut self.buf) else {
                        return self.waits(State::Key(keys, pad));
                    };
                    let secret = keys.secret(&theirs)?;
                    out.extend(keys.public);
                    out.extend(pad);
                    self.state = State::Sync(secret, 0);
                }
                State::Sync(secret, looked) => {
                    let sync = sync_hash(&secret);
                    match find(&mut self.buf, &sync, looked)? {
                        Some(()) => self.state = State::Torrent(secret),
                        None => {
                            let looked = self.buf.len().saturating_sub(sync.len() - 1);
                            return self.waits(State::Sync(secret, looked));
                        }
                    }
                }
                State::Torrent(secret) => {
                    let Some(masked) = take(&mut self.buf) else {
                        return self.waits(State::Torrent(secret));
                    };
                    let found = torrents(&mask(masked, &secret));
                    let hash = found.ok_or(MseError::UnknownTorrent)?;
                    let incoming = Cipher::new(End::Initiator, &secret, &hash);
                    let outgoing = Cipher::new(End::Responder, &secret, &hash);
                    self.state = State::Provide(hash, incoming, outgoing);
                }
                State::Provide(hash, mut incoming, outgoing) => {
                    let Some(mut fields) = take::<14>(&mut self.buf) else {
                        return self.waits(State::Provide(hash, incoming, outgoing));
                    };
                    incoming.apply(&mut fields);
                    let (constant, rest) = fields.split_at(VC.len());
                    if constant != VC {
                        return Err(MseError::BadConstant);
                    }
                    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b));
                    let (provided, pad) =
                        (Methods(number(&rest[..4])), number(&rest[4..]) as usize);
                    if pad > MAX_PAD {
                        return Err(MseError::PadTooLong(pad));
                    }
                    let chosen = self.policy.select(provided);
                    let chosen = chosen.ok_or(MseError::NoMethod(provided.0))?;
                    self.state = State::Pad(hash, incoming, outgoing, chosen, pad);
                }
                State::Pad(hash, mut incoming, outgoing, chosen, len) => {
                    if self.buf.len() < len + 2 {
                        return self.waits(State::Pad(hash, incoming, outgoing, chosen, len));
                    }
                    let mut field = self.buf.split_to(len + 2);
                    incoming.apply(&mut field);
                    let initial = usize::from(u16::from_be_bytes([field[len], field[len + 1]]));
                    if initial > MAX_INITIAL {
                        return Err(MseError::InitialTooLong(initial));
                    }
                    self.state = State::Initial(hash, incoming, outgoing, chosen, initial);
                }
                State::Initial(hash, mut incoming, mut outgoing, chosen, len) => {
                    if self.buf.len() < len {
                        return self.waits(State::Initial(hash, incoming, outgoing, chosen, len));
                    }
                    let mut first = self.buf.split_to(len);
                    incoming.apply(&mut first);
                    let begin = out.len();
                    out.extend(VC);
                    out.extend(chosen.0.to_be_bytes());
                    put_padded(&self.pad, out);
                    outgoing.apply(&mut out[begin..]);
                    let buf = std::mem::take(&mut self.buf);
                    return Ok(Some(secured(hash, chosen, incoming, outgoing, first, buf)));
                }
                State::Over => return Err(MseError::Over),
            }
        }
    }

    fn waits(&mut self, state: State) -> Result<Option<Secured>, MseError> {
        self.state = state;
        Ok(None)
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}
