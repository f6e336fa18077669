//! HTTP: who may ask (`access`), the Transmission RPC, the API of our own under `/api/v1`, the page. It sees the
//! daemon's handle alone.
//!
//! Every request passes the same doors before a route sees it, in this order: the headers of its host and origin, the
//! password, the header that no page of another site can send, and its body, which is read whole within a limit of bytes and
//! time.

mod access;
mod body;
mod connections;
mod doors;
mod error;
mod extract;
mod health;
mod metrics;
mod page;
mod server;
pub mod transmission;
mod v1;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use tokio_util::sync::CancellationToken;

use crate::daemon::Daemon;

pub use error::ApiError;
pub use server::{ServeError, Server, serve, serve_stream};

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address. Any but loopback needs a password.
    Tcp(SocketAddr),
    /// A socket that only the owner of the process can use.
    Unix(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 9091))) // Transmission's port
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no [`Listen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of the API is IP:PORT or unix:PATH")]
pub struct NotListen;

impl FromStr for Listen {
    type Err = NotListen;

    fn from_str(text: &str) -> Result<Self, NotListen> {
        match text.strip_prefix("unix:") {
            Some("") => Err(NotListen),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| NotListen),
        }
    }
}

/// How the API is served.
#[derive(Clone)]
pub struct ApiConfig {
    /// Where.
    pub listen: Listen,
    /// The name that goes with the password; `None`: any.
    pub user: Option<String>,
    /// What everybody must know who asks; `None`: nothing, for loopback and Unix sockets alone.
    pub password: Option<String>,
    /// Names, beside those of loopback and any IP address, by which browsers may call us: that of a reverse proxy, or of this
    /// machine in its network. `*.lan` stands for every name that ends so.
    pub hosts: Vec<String>,
    /// Connections at a time. At the limit the one that has been idle longest is closed for a new one.
    pub connections: usize,
    /// Time for the head of a request to arrive, and for the next one to begin.
    pub head: Duration,
    /// Time for its body.
    pub body: Duration,
    /// Time without a byte taken after which a client that does not read its answer is given up.
    pub stalled: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            user: None,
            password: None,
            hosts: Vec::new(),
            connections: 128, // guess: some people, scripts and a scraper
            head: Duration::from_secs(10), // guess
            body: Duration::from_secs(30), // guess: a .torrent of 10 MiB over 3 Mbit/s
            stalled: Duration::from_secs(30), // guess
        }
    }
}

impl fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiConfig")
            .field("listen", &self.listen)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// What the routes share.
#[derive(Clone)]
pub(crate) struct ApiState {
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// The rest.
    shared: Arc<Shared>,
}

struct Shared {
    access: access::Access,
    bodies: body::Bodies,
    health: health::Health,
    listeners: v1::Listeners,
    requests: metrics::Requests,
    connections: Arc<connections::Connections>,
}

impl ApiState {
    fn new(config: &ApiConfig, daemon: Daemon, end: CancellationToken) -> Self {
        let shared = Shared {
            access: access::Access::new(config),
            bodies: body::Bodies::new(config.body),
            health: health::Health::default(),
            listeners: v1::Listeners::new(end),
            requests: metrics::Requests::default(),
            connections: connections::Connections::new(config.connections),
        };
        Self {
            daemon,
            shared: Arc::new(shared),
        }
    }
}

/// All routes behind their doors.
fn router(state: ApiState) -> Router {
    Router::new()
        .merge(transmission::routes())
        .merge(page::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(v1::routes())
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::disable()) // the doors have their own
        .layer(from_fn_with_state(state.clone(), doors::enter))
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["127.0.0.1:9091", "[::1]:80", "unix:/run/chunkcast/api.sock"] {
            let listen: Listen = text.parse().expect("an address");
            assert_eq!(listen.to_string(), text);
        }
        for bad in ["", "localhost:9091", "9091", "unix:", "/run/x"] {
            assert_eq!(bad.parse::<Listen>(), Err(NotListen), "{bad}");
        }
    }

    #[test]
    fn a_configuration_is_shown_without_its_password() {
        let config = ApiConfig {
            password: Some("hunter2".to_owned()),
            ..ApiConfig::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
