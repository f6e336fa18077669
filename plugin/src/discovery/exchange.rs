//! One announce to one tracker, over HTTP or UDP.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use chunkcast::time::Instant;
use tokio::net::UdpSocket;
use url::{Host, Url};

use super::announce::{AnnounceRequest, AnnounceResponse, TrackerError};
use super::http::{self, HttpError};
use super::http_tracker::{MAX_BODY, announce_url, parse_http_response};
use super::resolve::resolve;
use super::udp_tracker::{Connection, UdpExchange};

/// Addresses of a UDP tracker that are tried.
const MAX_ADDRESSES: usize = 3;

/// Longest datagram that is read: 2000 peers over IPv6 and the header.
const MAX_DATAGRAM: usize = 20 + 18 * super::MAX_PEERS;

/// The runtime's clock as the sans-IO parts' time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(tokio::time::Instant);

impl Clock {
    /// A clock whose epoch is now.
    pub(super) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Now.
    pub(super) fn now(self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    /// `at` as a time to sleep until.
    pub(super) fn deadline(self, at: Instant) -> tokio::time::Instant {
        self.0 + (at - Instant::ZERO)
    }
}

/// What an announce over UDP learnt and needs again: address and connection id.
pub(super) type UdpConnection = (SocketAddr, Connection);

/// One announce, ready to be made.
pub(super) struct Exchange {
    /// The tracker.
    pub(super) url: Url,
    /// What is said.
    pub(super) request: AnnounceRequest,
    /// The tracker's id for us (HTTP).
    pub(super) tracker_id: Option<Vec<u8>>,
    /// A connection id from an earlier announce (UDP).
    pub(super) connection: Option<UdpConnection>,
    /// Unpredictable and different (UDP).
    pub(super) transactions: [u32; 2],
    /// Time for it.
    pub(super) deadline: Duration,
}

impl Exchange {
    /// Makes it. The second value is the connection id to be used next.
    pub(super) async fn run(
        self,
        clock: Clock,
    ) -> (
        Result<AnnounceResponse, TrackerError>,
        Option<UdpConnection>,
    ) {
        if self.url.scheme() == "udp" {
            self.udp(clock).await
        } else {
            (self.http().await, None)
        }
    }

    async fn http(self) -> Result<AnnounceResponse, TrackerError> {
        let url = announce_url(&self.url, &self.request, self.tracker_id.as_deref());
        let page = http::get(url, self.deadline, MAX_BODY, true)
            .await
            .map_err(|error| match error {
                HttpError::NoCertificates => TrackerError::NoCertificates,
                HttpError::TooLarge(limit) => TrackerError::TooLarge(limit),
                HttpError::Timeout => TrackerError::Timeout,
                HttpError::Dns => TrackerError::Network("the host name cannot be resolved".into()),
                HttpError::BadCertificate => {
                    TrackerError::Network("the server's certificate is not trusted".into())
                }
                HttpError::Connect(reason) => {
                    TrackerError::Network(format!("cannot connect ({reason})"))
                }
                HttpError::Broken(reason) => {
                    TrackerError::Network(format!("the answer broke off ({reason})"))
                }
                HttpError::Redirects => TrackerError::Network("too many redirects".into()),
                HttpError::BadRedirect(to) => {
                    TrackerError::Network(format!("it redirects to {to}"))
                }
            })?;
        let answer = parse_http_response(&page.body);
        match (page.status, answer) {
            (200, answer) => answer,
            // Some trackers put the reason into the body of a 4xx.
            (_, Err(TrackerError::Refused(reason))) => Err(TrackerError::Refused(reason)),
            (status, _) => Err(TrackerError::Status(status)),
        }
    }

    async fn udp(
        self,
        clock: Clock,
    ) -> (
        Result<AnnounceResponse, TrackerError>,
        Option<UdpConnection>,
    ) {
        let deadline = clock.now() + self.deadline;
        let addresses = match tokio::time::timeout(self.deadline, self.addresses()).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return (Err(error), None),
            Err(_) => return (Err(TrackerError::Timeout), None),
        };
        let mut failure = TrackerError::Timeout;
        let mut left = addresses.len();
        for address in addresses {
            // Each address gets its share, or a dead first one would use up the time of the others.
            let now = clock.now();
            let share = (deadline - now) / u32::try_from(left).unwrap_or(1);
            left -= 1;
            let kept = self.connection.filter(|(from, _)| *from == address);
            let mut exchange = UdpExchange::new(
                self.request.clone(),
                url_data(&self.url),
                address.is_ipv6(),
                kept.map(|(_, connection)| connection),
                self.transactions,
                now,
                now + share,
            );
            match converse(&mut exchange, address, clock, now + share).await {
                Ok(Ok(answer)) => {
                    let connection = exchange.connection().map(|c| (address, c));
                    return (Ok(answer), connection);
                }
                Ok(Err(refused)) => return (Err(refused), None),
                Err(error) => failure = error,
            }
        }
        (Err(failure), None)
    }

    /// The tracker's addresses: IPv4 first, one of each family before a second one of any.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, TrackerError> {
        let port = self.url.port().ok_or(TrackerError::Url("no port"))?;
        let mut found = match self.url.host() {
            Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
            Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
            Some(Host::Domain(name)) => resolve(&format!("{name}:{port}"))
                .await
                .map_err(|_| TrackerError::Network("the host name cannot be resolved".into()))?,
            None => return Err(TrackerError::Url("no host")),
        };
        let mut seen = [0u32; 2];
        found.sort_by_cached_key(|a| {
            let family = usize::from(a.is_ipv6());
            seen[family] += 1;
            (seen[family], family)
        });
        found.truncate(MAX_ADDRESSES);
        Ok(found)
    }
}

/// Drives an exchange over a socket of its own. The outer error is the network's, the inner one the tracker's.
async fn converse(
    exchange: &mut UdpExchange,
    address: SocketAddr,
    clock: Clock,
    deadline: Instant,
) -> Result<Result<AnnounceResponse, TrackerError>, TrackerError> {
    let network =
        |error: std::io::Error| TrackerError::Network(format!("cannot reach it ({error})"));
    let local: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local).await.map_err(network)?;
    // Connected, so that the kernel drops what comes from anywhere else.
    socket.connect(address).await.map_err(network)?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        while let Some(datagram) = exchange.poll_transmit(clock.now()) {
            socket.send(&datagram).await.map_err(network)?;
        }
        if clock.now() >= deadline {
            return Err(TrackerError::Timeout);
        }
        let wake = clock.deadline(exchange.poll_timeout());
        match tokio::time::timeout_at(wake, socket.recv(&mut buffer)).await {
            Ok(Ok(len)) => {
                if let Some(outcome) = exchange.handle_datagram(&buffer[..len], clock.now()) {
                    return Ok(outcome);
                }
            }
            Ok(Err(error)) => return Err(network(error)),
            Err(_) => {}
        }
    }
}

/// Path and query for BEP 41; nothing where they say no more than "announce".
fn url_data(url: &Url) -> Vec<u8> {
    match (url.path(), url.query()) {
        ("" | "/" | "/announce", None) => Vec::new(),
        (path, None) => path.as_bytes().to_vec(),
        (path, Some(query)) => format!("{path}?{query}").into_bytes(),
    }
}
