//! The end that has opened the connection.

use std::fmt;

use bytes::BytesMut;
use rand::CryptoRng;

use super::cipher::{Cipher, End, key_hash, mask, sync_hash};
use super::dh::KeyPair;
use super::{MAX_PAD, MseError, Secured, VC, draw_pad, find, put_padded, secured, take};
use crate::wire::encryption::Methods;
use crate::wire::handshake::PROTOCOL;

/// A key exchange that we began.
pub struct Initiator {
    info_hash: [u8; 20],
    provided: Methods,
    /// What is said before the answer.
    initial: Vec<u8>,
    /// The pad within what is encrypted.
    pad: Vec<u8>,
    state: State,
    /// What came and is not used up.
    buf: BytesMut,
}

/// Of the responder's half, what comes next. Ciphers: incoming, outgoing.
enum State {
    Key(KeyPair),
    /// Its pad, of which so much has been looked through, and its verification constant as it is encrypted.
    Sync(Cipher, Cipher, [u8; VC.len()], usize),
    Select(Cipher, Cipher),
    /// The pad behind what it chose, of so many bytes.
    Pad(Cipher, Cipher, Methods, usize),
    Over,
}

impl Initiator {
    /// Begins one for a torrent: `out` gets what is to be sent. `initial` is said before the answer comes; at most
    /// [`MAX_INITIAL`](super::MAX_INITIAL) bytes.
    pub fn new(
        info_hash: [u8; 20],
        provided: Methods,
        initial: &[u8],
        rng: &mut impl CryptoRng,
        out: &mut Vec<u8>,
    ) -> Self {
        let keys = KeyPair::generate(rng);
        out.extend(keys.public);
        out.extend(draw_pad(rng));
        Self {
            info_hash,
            provided,
            initial: initial.to_vec(),
            pad: draw_pad(rng),
            state: State::Key(keys),
            buf: BytesMut::new(),
        }
    }

    /// Takes what the responder says; `out` gets what is to be sent. `None`: more has to come.
    ///
    /// # Errors
    /// [`MseError`]; it is over then, as it is when there is a result.
    pub fn handle(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Secured>, MseError> {
        if matches!(self.state, State::Over) {
            return Err(MseError::Over);
        }
        self.buf.extend_from_slice(bytes);
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Key(keys) => {
                    if self.buf.starts_with(&PROTOCOL) {
                        return Err(MseError::Plaintext);
                    }
                    let Some(theirs) = take(&mut self.buf) else {
                        return self.waits(State::Key(keys));
                    };
                    let secret = keys.secret(&theirs)?;
                    let mut incoming = Cipher::new(End::Responder, &secret, &self.info_hash);
                    let mut outgoing = Cipher::new(End::Initiator, &secret, &self.info_hash);
                    out.extend(sync_hash(&secret));
                    out.extend(mask(key_hash(&self.info_hash), &secret));
                    self.ask(&mut outgoing, out);
                    let mut constant = VC;
                    incoming.apply(&mut constant);
                    self.state = State::Sync(incoming, outgoing, constant, 0);
                }
                State::Sync(incoming, outgoing, constant, looked) => {
                    match find(&mut self.buf, &constant, looked)? {
                        Some(()) => self.state = State::Select(incoming, outgoing),
                        None => {
                            let looked = self.buf.len().saturating_sub(VC.len() - 1);
                            return self.waits(State::Sync(incoming, outgoing, constant, looked));
                        }
                    }
                }
                State::Select(mut incoming, outgoing) => {
                    let Some(mut fields) = take::<6>(&mut self.buf) else {
                        return self.waits(State::Select(incoming, outgoing));
                    };
                    incoming.apply(&mut fields);
                    let [a, b, c, d, e, f] = fields;
                    let chosen = Methods(u32::from_be_bytes([a, b, c, d]));
                    let single = matches!(chosen, Methods::PLAINTEXT | Methods::RC4);
                    if !single || !self.provided.contains(chosen) {
                        return Err(MseError::NoMethod(chosen.0));
                    }
                    let pad = usize::from(u16::from_be_bytes([e, f]));
                    if pad > MAX_PAD {
                        return Err(MseError::PadTooLong(pad));
                    }
                    self.state = State::Pad(incoming, outgoing, chosen, pad);
                }
                State::Pad(mut incoming, outgoing, chosen, len) => {
                    if self.buf.len() < len {
                        return self.waits(State::Pad(incoming, outgoing, chosen, len));
                    }
                    incoming.apply(&mut self.buf.split_to(len));
                    let (buf, hash) = (std::mem::take(&mut self.buf), self.info_hash);
                    let first = BytesMut::new();
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

    /// The encrypted part of what we say.
    fn ask(&mut self, outgoing: &mut Cipher, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend(VC);
        out.extend(self.provided.0.to_be_bytes());
        put_padded(&self.pad, out);
        let len = u16::try_from(self.initial.len()).expect("at most MAX_INITIAL");
        out.extend(len.to_be_bytes());
        out.append(&mut self.initial);
        outgoing.apply(&mut out[begin..]);
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiator")
    }
}
