//! What every datagram has: version, kind, exchange, sender, token.

use super::fields::{dict, form, int, need, put_bytes, put_form, put_int};
use super::{DecodeError, EncodeError, body};
use crate::wire::bencode::{Dict, Reader, Value, Writer};
use crate::wire::compact::{put_sender, take_sender};
use crate::wire::{Body, Envelope, MAX_DATAGRAM, Sender, Token, VERSION};

/// The datagram.
///
/// # Errors
/// [`EncodeError::Bounds`] when a field is outside its bounds, [`EncodeError::TooLong`] when the datagram would not fit
/// [`MAX_DATAGRAM`]: only a propagation message with too many entries, see [`crate::wire::pack_entries`].
pub fn encode(envelope: &Envelope) -> Result<Vec<u8>, EncodeError> {
    body::check(&envelope.body)?;
    let bytes = write(envelope);
    if bytes.len() > MAX_DATAGRAM {
        return Err(EncodeError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

fn write(envelope: &Envelope) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.dict(|d| {
        put_int(d, b"k", body::kind(&envelope.body));
        if body::has_fields(&envelope.body, envelope.token.is_some()) {
            d.key(b"m").dict(|d| body::write(&envelope.body, d));
        }
        if let Some(token) = &envelope.token {
            put_bytes(d, b"o", &token.0);
        }
        put_form(d, b"s", |out| put_sender(out, &envelope.sender));
        put_bytes(d, b"t", &envelope.tx.to_be_bytes());
        put_int(d, b"v", VERSION);
    });
    writer.into_bytes()
}

/// Reads a datagram.
///
/// # Errors
/// [`DecodeError`]. Nothing here depends on who sent it; a reader counts the error and drops the datagram.
pub fn decode(datagram: &[u8]) -> Result<Envelope, DecodeError> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(DecodeError::TooLong(datagram.len()));
    }
    let mut reader = Reader::new(datagram);
    let parts = match reader.value()? {
        Value::Dict(envelope) => Parts::read(envelope)?,
        _ => return Err(DecodeError::Malformed),
    };
    reader.end()?;
    parts.join()
}

/// Each key's value or what is wrong with it: the version decides first which complaint counts.
#[derive(Default)]
struct Parts {
    version: Option<Result<u64, DecodeError>>,
    kind: Option<Result<u64, DecodeError>>,
    tx: Option<Result<u32, DecodeError>>,
    sender: Option<Result<Sender, DecodeError>>,
    token: Option<Result<Token, DecodeError>>,
    body: Option<Result<Body, DecodeError>>,
}

impl Parts {
    fn read(mut envelope: Dict<'_, '_>) -> Result<Self, DecodeError> {
        let mut parts = Parts::default();
        while let Some((key, value)) = envelope.next_pair()? {
            match key {
                b"k" => parts.kind = Some(int(value, "kind")),
                // Keys are sorted: the kind, if there is one, is known.
                b"m" => parts.body = parts.read_body(value),
                b"o" => parts.token = Some(form(value, "token", take_token)),
                b"s" => parts.sender = Some(form(value, "sender", take_sender)),
                b"t" => parts.tx = Some(form(value, "exchange", take_tx)),
                b"v" => parts.version = Some(int(value, "version")),
                _ => {}
            }
        }
        Ok(parts)
    }

    fn read_body(&self, value: Value<'_, '_>) -> Option<Result<Body, DecodeError>> {
        match self.kind {
            Some(Ok(kind)) if body::known(kind) => {
                Some(dict(value, "fields").and_then(|d| body::read(kind, d)))
            }
            _ => None,
        }
    }

    fn join(self) -> Result<Envelope, DecodeError> {
        let version = need(self.version, "v")??;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let tx = need(self.tx, "t")??;
        let kind = need(self.kind, "k")??;
        if !body::known(kind) {
            return Err(DecodeError::UnknownKind { tx, kind });
        }
        let sender = need(self.sender, "s")??;
        let token = self.token.transpose()?;
        let body = match self.body {
            Some(body) => body?,
            None => body::bare(kind).ok_or(DecodeError::Missing("m"))?,
        };
        Ok(Envelope {
            tx,
            sender,
            token,
            body,
        })
    }
}

pub(super) fn take_token(bytes: &[u8]) -> Option<Token> {
    bytes.try_into().ok().map(Token)
}

fn take_tx(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}
