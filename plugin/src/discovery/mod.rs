//! Peers from outside the directory: trackers, the DHT, and the local network; the index nodes' meeting point in the DHT; also the fetch of .torrent files, name
//! resolution, and ports that the router is asked for.
//!
//! Everything here talks to strangers, so every parse, queue, body, redirect chain and wait has a limit. Parsing and
//! scheduling are sans-IO ([`http_tracker`], [`udp_tracker`], [`schedule`]); [`announcer`], [`dht`], [`fetch`], [`lsd`](mod@lsd), [`portmap`] and
//! [`resolve`](mod@resolve) do the I/O. Peers leave as `Vec<SocketAddr>` on a channel, without port 0; whoever receives them filters
//! loopback, multicast and itself, because only it knows where it is bound.
//!
//! BEPs: 3 (announce), 5 (DHT), 7 (`peers6`), 12 (tiers), 14 (local network), 15 (UDP), 23 (compact), 27 (private), 41 (UDP URL data).

mod announce;
mod exchange;
pub(crate) mod http;

pub mod announcer;
pub mod dht;
pub mod fetch;
pub mod http_tracker;
pub mod lsd;
pub mod portmap;
pub mod rendezvous;
pub mod resolve;
pub mod schedule;
mod tracker_row;
pub mod udp_tracker;

pub use announce::{
    AnnounceRequest, AnnounceResponse, Event, MAX_PEERS, TrackerError, TransferCounts,
};
pub use announcer::{
    AnnounceStatus, AnnounceTurns, AnnouncerConfig, AnnouncerHandle, spawn_announcer,
};
pub use dht::{DhtConfig, DhtLookup, DhtNode, LookupConfig};
pub(crate) use fetch::is_http;
pub use fetch::{FetchError, FetchLimits, fetch_torrent, fetch_with_cookies};
pub use lsd::{Lsd, LsdAnnouncement, LsdLookup, LsdSchedule};
pub use portmap::{PortMapConfig, PortMapper};
pub use rendezvous::{Guest, Rendezvous, RendezvousConfig, meeting_point};
pub use resolve::{ResolveError, resolve};
pub use tracker_row::TrackerRow;
pub(crate) use tracker_row::unix_now;
