//! The server: connections in, each bounded in time and bytes, and an end that lets answers out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_util::either::Either;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connections::{Client, Connections};
use super::{ApiConfig, ApiState, Listen, router};
use crate::control::socket::{self, SocketError, SocketFile};
use crate::daemon::Daemon;

/// Bytes of a request's head.
const HEAD: usize = 16 << 10; // guess: cookies of other services of the same host
/// Headers of a request.
const HEADERS: usize = 64; // guess: a browser sends 20

/// How long answers under way are waited for at the end.
const LAST: Duration = Duration::from_secs(3); // guess: a part of the 10 s that the daemon has to end in

/// Why there is no API.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Anybody who can reach the address could have the daemon do anything.
    #[error(
        "the API at {0} could be used by everybody who can reach that address: set a password for it, or have it listen on 127.0.0.1 or a Unix socket"
    )]
    Open(SocketAddr),
    /// The address cannot be had.
    #[error(
        "the API cannot listen at {addr}: {source}; is another daemon (Transmission has the same port) running there?"
    )]
    Bind {
        /// Which.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Another process answers there.
    #[error("the socket `{}` of the API belongs to a running process; choose another", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("`{}` is there and no socket; choose another place for the API", .0.display())]
    InTheWay(PathBuf),
    /// The socket cannot be made.
    #[error("cannot make the socket `{}` of the API: {source}; choose another place", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// An API that is served. It ends, and the file of its Unix socket is removed, when this is dropped.
#[derive(Debug)]
pub struct Server {
    listen: Listen,
    /// Goes first: while somebody listens nobody else takes its place, so that it is ours which is removed.
    file: Option<SocketFile>,
    task: JoinHandle<()>,
    end: DropGuard,
}

/// Serves the API of `daemon`. Needs a tokio runtime.
///
/// # Errors
/// [`ServeError`]: nobody who can reach the address is kept out, or it cannot be had.
pub async fn serve(config: ApiConfig, daemon: Daemon) -> Result<Server, ServeError> {
    let end = CancellationToken::new();
    let (listener, listen, file) = bind(&config).await?;
    let state = ApiState::new(&config, daemon, end.clone());
    let serving = Serving {
        connections: state.shared.connections.clone(),
        router: router(state),
        times: Times::of(&config),
        end: end.clone(),
    };
    let task = tokio::spawn(serving.accept(listener));
    Ok(Server {
        listen,
        file,
        task,
        end: end.drop_guard(),
    })
}

/// Serves one connection that somebody else has accepted, as [`serve`] does its own; returns when it is over. Needs a tokio
/// runtime with time.
pub async fn serve_stream<S>(config: &ApiConfig, daemon: Daemon, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let end = CancellationToken::new();
    let state = ApiState::new(config, daemon, end.clone());
    let seat = Arc::new(state.shared.connections.seat().await);
    let client = Client { source: None, seat };
    converse(stream, client, router(state), Times::of(config), end).await;
}

impl Server {
    /// Where it is, with the port that it got.
    pub fn addr(&self) -> &Listen {
        &self.listen
    }

    /// Ends it: nothing new is taken, streams of events end, and answers under way are waited for, 3 s at most.
    pub async fn shutdown(self) {
        drop(self.file);
        self.end.disarm().cancel();
        let _ = self.task.await;
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

async fn bind(config: &ApiConfig) -> Result<(Listener, Listen, Option<SocketFile>), ServeError> {
    match &config.listen {
        Listen::Tcp(addr) => {
            if config.password.is_none() && !addr.ip().to_canonical().is_loopback() {
                return Err(ServeError::Open(*addr));
            }
            let failed = |source| ServeError::Bind {
                addr: *addr,
                source,
            };
            let listener = TcpListener::bind(addr).await.map_err(failed)?;
            let addr = listener.local_addr().map_err(failed)?;
            Ok((Listener::Tcp(listener), Listen::Tcp(addr), None))
        }
        Listen::Unix(path) => {
            let (listener, file) = socket::listen(path).map_err(|e| match e {
                SocketError::InUse => ServeError::InUse(path.clone()),
                SocketError::InTheWay => ServeError::InTheWay(path.clone()),
                SocketError::Io(source) => ServeError::Socket {
                    path: path.clone(),
                    source,
                },
            })?;
            Ok((Listener::Unix(listener), config.listen.clone(), Some(file)))
        }
    }
}

/// A connection, and the address of its other end; a Unix socket has none.
type Accepted = (Either<TcpStream, UnixStream>, Option<IpAddr>);

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok((Either::Left(stream), Some(from.ip())))
            }
            Self::Unix(listener) => loop {
                let (stream, _) = listener.accept().await?;
                if socket::is_of_owner(&stream) {
                    return Ok((Either::Right(stream), None));
                }
            },
        }
    }
}

#[derive(Clone, Copy)]
struct Times {
    head: Duration,
    stalled: Duration,
}

impl Times {
    fn of(config: &ApiConfig) -> Self {
        Self {
            head: config.head,
            stalled: config.stalled,
        }
    }
}

struct Serving {
    router: Router,
    connections: Arc<Connections>,
    times: Times,
    end: CancellationToken,
}

impl Serving {
    async fn accept(self, listener: Listener) {
        let mut tasks = JoinSet::new();
        let ended = self.end.clone();
        let taking = async {
            loop {
                while tasks.try_join_next().is_some() {}
                match listener.accept().await {
                    Ok((stream, source)) => {
                        let seat = Arc::new(self.connections.seat().await);
                        let client = Client { source, seat };
                        let (router, end) = (self.router.clone(), self.end.clone());
                        tasks.spawn(converse(stream, client, router, self.times, end));
                    }
                    Err(e) => {
                        tracing::debug!("accept: {e}");
                        tokio::time::sleep(Duration::from_millis(100)).await; // out of file descriptors
                    }
                }
            }
        };
        ended.run_until_cancelled(taking).await;
        drop(listener);
        let answered = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout(LAST, answered).await;
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    client: Client,
    router: Router,
    times: Times,
    end: CancellationToken,
) {
    let routes = TowerToHyperService::new(router);
    let extension = client.clone();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(extension.clone());
        routes.call(request.map(Body::new))
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(times.stalled));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer);
    let mut connection = pin!(connection);
    let closed = client.seat.close.cancelled();
    let ended = async {
        tokio::select! {
            done = connection.as_mut() => done,
            () = end.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        }
    };
    tokio::select! {
        done = ended => if let Err(e) = done {
            tracing::trace!("{e}");
        },
        () = closed => {}
    }
}
