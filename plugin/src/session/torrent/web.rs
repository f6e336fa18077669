//! The web seeds of a torrent (BEP 19): which of them are peers now, and what becomes of those that fail.
//!
//! In the swarm a web seed is a far neighbour that has everything: the area rule and the shares of an area hold for it,
//! so that a site fetches a piece from it once. It is no connection that counts: peers are looked for as if it were not
//! there, and nobody is told of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use chunkcast::client::Source;
use sha1::{Digest, Sha1};
use tokio::time::Instant;
use url::Url;

use super::super::events::TorrentEvent;
use super::{Conn, Input, Torrent};
use crate::limits::Pace;
use crate::metadata::Metainfo;
use crate::swarm::{CloseReason, ConnId, PeerInfo};
use crate::webseed::{self, End, PARALLEL, WebSeed, WebSeedFault, place, serve};
use crate::wire::conn::{ConnEvent, detached};
use crate::wire::message::{Handshake, Message};
use crate::wire::stream::Transport;

/// Web seeds that are asked at a time. The torrent's further ones take the place of those that fail.
const MAX_ACTIVE: usize = 8; // guess: a third of the neighbour table, at four connections each

/// How long a torrent is without its web seeds at first: near peers are found within that, and what these have is left to
/// them. A server in the same network would have sent much of the torrent before that.
const HEAD_START: Duration = Duration::from_secs(1); // guess: a lookup, a connection, a bitfield

/// Pause after the swarm let go of a web seed that let its requests lie.
const PAUSE: Duration = Duration::from_secs(300); // the swarm's longest for peers that stall

/// All of them, in the torrent's order.
#[derive(Default)]
pub(super) struct WebSeeds {
    list: Vec<Known>,
    active: BTreeMap<ConnId, usize>,
}

struct Known {
    url: Url,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be asked.
    Idle,
    /// Is a peer of the swarm, which has (not) sent blocks since its last trouble.
    Active { answers: bool },
    /// Is not asked before that.
    Paused(Instant),
    /// Is not asked again.
    GivenUp,
}

impl WebSeeds {
    fn new(urls: &[String]) -> Self {
        let state = State::Paused(Instant::now() + HEAD_START);
        let known = |url: &String| {
            let url = Url::parse(url).ok()?;
            Some(Known { url, state })
        };
        Self {
            list: urls.iter().filter_map(known).collect(),
            active: BTreeMap::new(),
        }
    }

    /// Whether the torrent names none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many are peers of the swarm.
    pub(super) fn active(&self) -> usize {
        self.active.len()
    }

    /// Whether one of them sends blocks.
    pub(super) fn answer(&self) -> bool {
        let answers = State::Active { answers: true };
        self.list.iter().any(|k| k.state == answers)
    }

    /// The URL by which the web seed with this address is shown.
    pub(super) fn shown(&self, addr: SocketAddr) -> Option<String> {
        let known = self.list.iter().find(|k| address(&k.url) == addr)?;
        Some(place::shown(&known.url))
    }

    /// What a web seed says goes to the swarm; whether it answers is seen here.
    pub(super) fn observe(&mut self, conn: ConnId, event: &ConnEvent) {
        let (Some(at), ConnEvent::Messages(messages)) = (self.active.get(&conn), event) else {
            return;
        };
        for message in messages.iter() {
            match message {
                Message::Piece { .. } => self.list[*at].state = State::Active { answers: true },
                Message::Choke => self.list[*at].state = State::Active { answers: false },
                _ => {}
            }
        }
    }

    /// It is no peer any more.
    fn ended(&mut self, conn: ConnId, state: State) -> Option<&Known> {
        let at = self.active.remove(&conn)?;
        self.list[at].state = state;
        Some(&self.list[at])
    }

    /// One that may be asked now.
    fn next(&mut self) -> Option<(usize, Url)> {
        let now = Instant::now();
        let due = |k: &Known| match k.state {
            State::Idle => true,
            State::Paused(until) => until <= now,
            State::Active { .. } | State::GivenUp => false,
        };
        let at = self.list.iter().position(due)?;
        Some((at, self.list[at].url.clone()))
    }
}

/// What stands for a web seed's address among peers: one of the discard prefix (RFC 6666) that nobody has, another for
/// each URL, as a ban is for one URL and not for all of a host's.
fn address(url: &Url) -> SocketAddr {
    let digest: [u8; 20] = Sha1::digest(url.as_str()).into();
    let mut octets = [0; 16];
    octets[0] = 1;
    octets[8..].copy_from_slice(&digest[..8]);
    let port = url.port_or_known_default().unwrap_or(80);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)), port)
}

/// What stands for its handshake: the Fast extension and nothing else.
fn handshake(url: &Url, info_hash: [u8; 20]) -> Handshake {
    let mut reserved = [0; 8];
    reserved[7] |= 0x04;
    let peer_id = Sha1::digest(url.as_str()).into();
    Handshake {
        reserved,
        info_hash,
        peer_id,
    }
}

impl Torrent {
    /// The torrent is known, and what of it is on disk.
    pub(super) fn begin_web_seeds(&mut self, meta: &Metainfo) {
        if self.shared.config.web_seeds {
            self.web = WebSeeds::new(&meta.web_seeds);
        }
    }

    /// Once a second: makes web seeds peers while anything is missing.
    pub(super) fn fill_web_seeds(&mut self) {
        while !self.swarm.is_complete()
            && self.web.active() < MAX_ACTIVE
            && let Some((at, url)) = self.web.next()
        {
            if !self.add_web_seed(at, url) {
                return;
            }
        }
    }

    /// False: not now, there are too many connections.
    fn add_web_seed(&mut self, at: usize, url: Url) -> bool {
        let permits: Vec<_> = (0..PARALLEL)
            .map_while(|_| self.shared.limits.try_connection())
            .collect();
        let (Some(storage), false) = (&self.storage, permits.is_empty()) else {
            return false;
        };
        let layout = storage.layout().clone();
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let pace = Pace::new(&self.limiters, self.shared.limits.rates()).unless(&self.alone);
        let (outbox, inbox) = detached(&self.shared.config.conn, pace.clone());
        let seed = WebSeed {
            key: conn,
            url: url.clone(),
            layout,
            client: self.shared.web.clone(),
            pace,
            memory: self.shared.limits.memory().clone(),
            parallel: permits.len(),
            events: self.wires.clone(),
        };
        let input = self.input.clone();
        self.tasks.spawn(async move {
            let end = serve(seed, inbox).await;
            let _ = input.send(Input::WebSeed(conn, end)).await;
        });
        self.conns.insert(
            conn,
            Conn {
                outbox,
                remote: None,
                _permits: permits,
            },
        );
        self.web.active.insert(conn, at);
        self.web.list[at].state = State::Active { answers: false };
        let info = PeerInfo {
            addr: address(&url),
            outbound: false,
            source: Source::WebSeed,
            rtt: None,
            transport: Transport::Tcp,
            encrypted: false,
            handshake: handshake(&url, self.info_hash),
        };
        let now = self.now();
        self.swarm.handle_connected(conn, info, now);
        true
    }

    /// A web seed's task has ended.
    pub(super) fn on_web_seed_end(&mut self, conn: ConnId, end: End) {
        self.conns.remove(&conn);
        let now = self.now();
        self.swarm.handle_disconnected(conn, now);
        match end {
            End::GiveUp(fault) => self.give_up_web_seed(conn, &fault),
            // by us, and then it is no longer in the list of active ones
            End::Closed => {
                self.web.ended(conn, State::Idle);
            }
        }
    }

    /// The swarm has closed a connection, perhaps a web seed's.
    pub(super) fn on_web_seed_closed(&mut self, conn: ConnId, reason: CloseReason) {
        match reason {
            CloseReason::Banned => {
                self.give_up_web_seed(conn, &WebSeedFault::WrongData);
            }
            CloseReason::Useless => {
                self.web.ended(conn, State::Idle);
            }
            _ => {
                let until = Instant::now() + PAUSE;
                self.web.ended(conn, State::Paused(until));
            }
        }
    }

    fn give_up_web_seed(&mut self, conn: ConnId, fault: &webseed::WebSeedFault) {
        let Some(known) = self.web.ended(conn, State::GivenUp) else {
            return;
        };
        let host = place::host(&known.url);
        self.emit(TorrentEvent::Warning(format!(
            "the web seed at {host} is not used any more: {fault}"
        )));
    }

    /// Connections to peers.
    pub(super) fn peer_count(&self) -> usize {
        self.conns.len() - self.web.active()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_has_an_address_of_its_own_that_no_host_has() {
        let of = |url: &str| address(&Url::parse(url).expect("a URL"));
        let (a, b) = (of("http://h/a"), of("http://h/b"));
        assert_ne!(a.ip(), b.ip());
        assert_eq!(a, of("http://h/a"));
        let IpAddr::V6(ip) = a.ip() else {
            panic!("{a} is not IPv6");
        };
        assert_eq!(ip.segments()[..4], [0x100, 0, 0, 0], "the discard prefix");
        assert_eq!((a.port(), of("https://h").port()), (80, 443));
    }
}
