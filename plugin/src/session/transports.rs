//! TCP and uTP of a session: which are used, and which a dial tries.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Shared;
use crate::wire::connect::{self, DialError, PeerStream};
use crate::wire::listen::{ListenError, listen_error};
use crate::wire::message::Handshake;
use crate::wire::stream::Stream;
use crate::wire::utp::UtpEndpoint;

/// What carries connections with peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Transports {
    /// Both. TCP is tried first; uTP when no TCP connection comes about.
    #[default]
    Both,
    /// TCP alone.
    Tcp,
    /// uTP (BEP 29) alone.
    Utp,
}

impl Transports {
    /// Opens the UDP socket of uTP at the address that TCP listens on, if uTP is used. Where both are used and the port is taken,
    /// there is only TCP, and a line in the log.
    ///
    /// # Errors
    /// That there is no socket, where uTP is all that is used.
    pub(super) fn open_utp(self, listen: SocketAddr) -> Result<Option<UtpEndpoint>, ListenError> {
        if self == Self::Tcp {
            return Ok(None);
        }
        match UtpEndpoint::bind(listen) {
            Ok(utp) => Ok(Some(utp)),
            Err(error) if self == Self::Utp => Err(listen_error(listen, error)),
            Err(error) => {
                tracing::warn!("no uTP, only TCP: UDP port {} ({error})", listen.port());
                Ok(None)
            }
        }
    }
}

/// Connects to a peer and exchanges handshakes: over TCP if that is used, else or without an answer there over uTP.
///
/// # Errors
/// What became of the last attempt; for a peer that answers neither, of that over TCP.
pub(super) async fn dial(
    shared: &Shared,
    addr: SocketAddr,
    ours: Handshake,
) -> Result<PeerStream, DialError> {
    let config = &shared.config.conn;
    let no_tcp = if shared.config.transports == Transports::Utp {
        None
    } else {
        match connect::dial(addr, ours, Some(shared.listen.ip()), config).await {
            Err(e) if e.is_unreached() => Some(e),
            done => return done,
        }
    };
    let Some(utp) = &shared.utp else {
        return Err(no_tcp.unwrap_or(DialError::ConnectTimeout(addr)));
    };
    match connect::dial_over(addr, ours, config, || utp.connect(addr)).await {
        Err(e) if e.is_unreached() => Err(no_tcp.unwrap_or(e)),
        done => done,
    }
}

/// Hands callers over uTP on, until there are no more or nobody takes them.
pub(super) async fn forward_callers(
    shared: Arc<Shared>,
    callers: mpsc::Sender<(Stream, SocketAddr)>,
) {
    let Some(utp) = &shared.utp else { return };
    loop {
        match utp.accept().await {
            Ok(caller) => {
                if callers.send(caller).await.is_err() {
                    return;
                }
            }
            Err(error) => return tracing::warn!("nobody can reach us over uTP any more: {error}"),
        }
    }
}
