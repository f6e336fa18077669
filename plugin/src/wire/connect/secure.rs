//! Key exchanges over a stream.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::encryption::Encryption;
use super::super::message::Handshake;
use super::super::mse::{Initiator, MseError, Responder};
use super::super::stream::Stream;

/// What is read at once: more than stock clients say at a time.
const CHUNK: usize = 1024;

/// Why there is no encrypted stream.
pub(super) enum SecureError {
    Closed(io::Error),
    Mse(MseError),
}

impl From<io::Error> for SecureError {
    fn from(error: io::Error) -> Self {
        Self::Closed(error)
    }
}

impl From<MseError> for SecureError {
    fn from(error: MseError) -> Self {
        Self::Mse(error)
    }
}

/// Exchanges keys with the peer that we have called, and says our handshake with them.
pub(super) async fn initiate(
    stream: &mut Stream,
    ours: &Handshake,
    policy: Encryption,
) -> Result<(), SecureError> {
    let mut out = Vec::new();
    let mut mse = Initiator::new(
        ours.info_hash,
        policy.provides(),
        &ours.to_bytes(),
        &mut rand::rng(),
        &mut out,
    );
    let mut chunk = [0; CHUNK];
    loop {
        stream.write_all(&out).await?;
        out.clear();
        let read = read(stream, &mut chunk).await?;
        if let Some(secured) = mse.handle(read, &mut out)? {
            stream.secure(secured);
            return Ok(());
        }
    }
}

/// Exchanges keys with a caller that has said `begun` so far; `torrents` as in [`Responder::handle`]. The infohash that it
/// knows.
pub(super) async fn respond(
    stream: &mut Stream,
    begun: &[u8],
    torrents: impl Fn(&[u8; 20]) -> Option<[u8; 20]>,
    policy: Encryption,
) -> Result<[u8; 20], SecureError> {
    let mut mse = Responder::new(policy, &mut rand::rng());
    let mut out = Vec::new();
    let mut secured = mse.handle(begun, &torrents, &mut out)?;
    let mut chunk = [0; CHUNK];
    loop {
        stream.write_all(&out).await?;
        out.clear();
        if let Some(secured) = secured {
            let info_hash = secured.info_hash;
            stream.secure(secured);
            return Ok(info_hash);
        }
        let read = read(stream, &mut chunk).await?;
        secured = mse.handle(read, &torrents, &mut out)?;
    }
}

async fn read<'a>(stream: &mut Stream, chunk: &'a mut [u8]) -> io::Result<&'a [u8]> {
    match stream.read(chunk).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(&chunk[..read]),
    }
}
