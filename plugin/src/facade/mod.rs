//! The directory as a tracker: any stock client on this host gets near peers, and feeds the directory, without a changed
//! line in it.
//!
//! An announce (BEP 3 over HTTP, BEP 15 over UDP) becomes a lookup with what the client lacks, and is answered with the
//! nearest peers that hold it. What the client holds is read the honest way, by connecting to it as a peer, and published
//! under its own entry with an address that others reach. A tracker sees infohashes alone, so a torrent is served once its
//! metainfo is known not to be private: read from the client, or from others if the client does not have it yet.
//!
//! [`announce`], [`answer`] and [`udp`] are sans-IO, like the choice of peers and the view of a client. It sees the directory through the
//! [`Directory`] trait only.

pub mod announce;
pub mod answer;
mod choice;
mod client;
mod feed;
mod http;
mod search;
mod service;
pub mod udp;
mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use self::feed::{Feed, Feeds};
use self::service::Shared;
pub use self::service::{FacadeConfig, FacadeStats, Refusal};
use self::udp::{Gate, Request};
use crate::limits::Limits;
use crate::metadata::Metainfo;
use crate::session::Directory;

/// Where stock clients find the tracker unless another address is asked for.
pub const PORT: u16 = 6969;

/// How often those are looked for who have not announced themselves for too long.
const SWEEP: Duration = Duration::from_secs(10);

/// Announces over UDP that are worked on at a time; more are not answered, and come again.
const UDP_ANNOUNCES: usize = 256; // guess

/// Longest datagram that is read: an announce with options (BEP 41).
const MAX_DATAGRAM: usize = 2048;

/// Why the tracker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum FacadeError {
    /// The address is taken, or not of this machine.
    #[error(
        "cannot listen on {addr} for announces: {source}; choose another address with --listen"
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A running tracker. Dropping it ends it; [`Facade::shutdown`] also takes back what it has published.
#[derive(Debug)]
pub struct Facade {
    shared: Arc<Shared>,
    listen: Vec<SocketAddr>,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Facade {
    /// Starts it on TCP and UDP at each of these addresses; `given` are torrents whose metainfo is at hand.
    ///
    /// # Errors
    /// [`FacadeError`] when an address cannot be listened on.
    pub async fn start(
        listen: &[SocketAddr],
        config: FacadeConfig,
        directory: Arc<dyn Directory>,
        limits: Limits,
        given: &[Metainfo],
    ) -> Result<Self, FacadeError> {
        let shared = Shared::new(config, directory, limits, given);
        let (mut tasks, mut bound) = (JoinSet::new(), Vec::new());
        for addr in listen {
            let failed = |source| FacadeError::Listen {
                addr: *addr,
                source,
            };
            let tcp = TcpListener::bind(addr).await.map_err(failed)?;
            let at = tcp.local_addr().map_err(failed)?;
            let udp = UdpSocket::bind(at).await.map_err(failed)?;
            bound.push(at);
            tasks.spawn(http::serve(tcp, shared.clone()));
            tasks.spawn(serve_udp(udp, shared.clone()));
        }
        let sweeping = shared.clone();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                sweeping.sweep();
            }
        });
        Ok(Self {
            shared,
            listen: bound,
            tasks,
        })
    }

    /// Where it listens.
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// For clients in this process.
    pub fn feeds(&self) -> Feeds {
        Feeds(self.shared.clone())
    }

    /// What it has done so far.
    pub fn stats(&self) -> FacadeStats {
        self.shared.stats()
    }

    /// Takes back what was published, and ends.
    pub fn shutdown(mut self) {
        self.tasks.abort_all();
        self.shared.clear();
    }
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let gate = Gate::new(rand::random());
    let epoch = tokio::time::Instant::now();
    let places = Arc::new(Semaphore::new(UDP_ANNOUNCES));
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let now = epoch.elapsed().as_secs() + 3600; // so that there is a minute before this one
        let Some((transaction, request)) = gate.read(&buffer[..len], from, now) else {
            continue;
        };
        match request {
            Request::Connect => {
                let answer = gate.connected(transaction, from, now);
                let _ = socket.send_to(&answer, from).await;
            }
            Request::Refused(reason) => {
                let answer = udp::refused(transaction, reason);
                let _ = socket.send_to(&answer, from).await;
            }
            Request::Announce(announce) => {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    continue;
                };
                let (socket, shared) = (socket.clone(), shared.clone());
                tokio::spawn(async move {
                    let answer = match shared.announce(from.ip(), &announce).await {
                        Ok(answer) => udp::announced(transaction, &answer, from.is_ipv4()),
                        Err(refused) => udp::refused(transaction, &refused.reason),
                    };
                    let _ = socket.send_to(&answer, from).await;
                    drop(place);
                });
            }
        }
    }
}
