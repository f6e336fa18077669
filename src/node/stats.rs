//! What a node counts, and what it shows of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::wire::Body;

/// Why something from outside was not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The bytes are no message.
    Malformed,
    /// An answer that nobody asked for, or from another address than was asked.
    Unsolicited,
    /// A datagram under this node's own id.
    OwnId,
    /// The token is missing, expired or belongs to another address.
    Token,
    /// An entry names an address that is not the sender's.
    ForeignAddress,
    /// A client sent what only index nodes send, or a client was asked to serve.
    Role,
    /// A routed request over too many hops.
    Hops,
    /// A routed request that is under way already.
    Duplicate,
    /// Too many routed requests or own requests under way.
    Overload,
    /// An entry that is older than what is held.
    OldEntry,
    /// An entry without an address, with too many chunks, or a window outside its object.
    MalformedEntry,
    /// An entry for which there is no room.
    CacheFull,
    /// A candidate that did not fit the queue of probes.
    Candidates,
    /// A datagram that did not fit the send queue.
    SendQueue,
    /// An event that did not fit the queue.
    EventQueue,
    /// A message of this node that does not fit a datagram.
    TooLarge,
    /// In a closed network: not sealed, or not with its key.
    Unauthenticated,
    /// A sealed datagram that was seen before, or that was sealed here.
    Replayed,
    /// A sealed datagram or a signed entry whose time is too far from the own clock.
    Clock,
    /// A new session of a closed network, and the table of sessions is full.
    Sessions,
    /// Its source is over its rate.
    Rate,
    /// What would have made the answers to an unproven source larger than its request.
    Amplification,
    /// An index node whose id does not fit its address.
    UnboundId,
    /// An index node of a subnet that has its share of the tables.
    Subnet,
    /// An entry without a signature.
    Unsigned,
    /// An entry whose signature is not its publisher's.
    Forged,
}

/// Datagrams and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Datagrams.
    pub messages: u64,
    /// Payload bytes, without IP and UDP headers.
    pub bytes: u64,
}

/// Running totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Received, by kind of message.
    pub received: BTreeMap<&'static str, Traffic>,
    /// Sent, by kind of message.
    pub sent: BTreeMap<&'static str, Traffic>,
    /// What was not acted on.
    pub drops: BTreeMap<DropReason, u64>,
    /// Lookups that began here, by the number of index nodes they passed.
    pub lookup_hops: BTreeMap<u8, u64>,
    /// Lookups that began here and had no answer in time.
    pub lookup_timeouts: u64,
    /// Lookups that this node answered, for itself or others.
    pub lookups_answered: u64,
    /// Of these, as the root.
    pub lookups_answered_as_root: u64,
    /// Of these, with what was passed on for others a moment ago.
    pub lookups_answered_cached: u64,
    /// Of these, with what was known as their object is asked for too often.
    pub lookups_answered_loaded: u64,
    /// Hops that did not acknowledge in time and were routed around.
    pub hops_routed_around: u64,
    /// Entries that were evicted to make room.
    pub entries_evicted: u64,
}

impl Counters {
    pub(super) fn drop(&mut self, reason: DropReason) {
        *self.drops.entry(reason).or_default() += 1;
    }

    pub(super) fn received(&mut self, body: &Body, bytes: usize) {
        add(&mut self.received, kind(body), bytes);
    }

    pub(super) fn sent(&mut self, body: &Body, bytes: usize) {
        add(&mut self.sent, kind(body), bytes);
    }
}

fn add(to: &mut BTreeMap<&'static str, Traffic>, kind: &'static str, bytes: usize) {
    let traffic = to.entry(kind).or_default();
    traffic.messages += 1;
    traffic.bytes += bytes as u64;
}

fn kind(body: &Body) -> &'static str {
    match body {
        Body::Ping => "ping",
        Body::Pong { .. } => "pong",
        Body::Ack => "ack",
        Body::Refuse { .. } => "refuse",
        Body::Leaves { .. } => "leaves",
        Body::LeavesReply { .. } => "leaves_reply",
        Body::Row { .. } => "row",
        Body::RowReply { .. } => "row_reply",
        Body::Join { .. } => "join",
        Body::JoinReply { .. } => "join_reply",
        Body::Publish { .. } => "publish",
        Body::Propagate { .. } => "propagate",
        Body::Lookup(_) => "lookup",
        Body::Found(_) => "found",
        Body::SendFull { .. } => "send_full",
        Body::Dial { .. } => "dial",
        Body::Dialled { .. } => "dialled",
        Body::Reach { .. } => "reach",
        Body::ReachFor { .. } => "reach_for",
        Body::Reached { .. } => "reached",
    }
}

/// A node as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Ring id, hexadecimal.
    pub id: String,
    /// `index` or `client`.
    pub role: &'static str,
    /// Whether it is in a ring.
    pub joined: bool,
    /// Whether it is an index node now, not a client.
    pub index: bool,
    /// A client's index node.
    pub home: Option<PeerView>,
    /// Own address as others see it.
    pub observed: Option<String>,
    /// Own coordinate.
    pub coord: CoordView,
    /// The leaf set, counter-clockwise neighbours first.
    pub leaves: Vec<PeerView>,
    /// Rows of the routing table that have contacts, and how many.
    pub rows: BTreeMap<usize, usize>,
    /// Nodes known altogether.
    pub peers: usize,
    /// Of these, nodes that owe an answer.
    pub suspects: usize,
    /// Smoothed round-trip time to the nearest node that answers.
    pub nearest_rtt_us: Option<u64>,
    /// Live entries by object, hexadecimal.
    pub entries: BTreeMap<String, usize>,
    /// Bytes of the entries.
    pub cache_bytes: usize,
    /// Objects that this node publishes itself.
    pub publications: usize,
    /// Own requests that wait for an answer.
    pub pending: usize,
    /// Routed requests under way through this node.
    pub routed: usize,
    /// Nodes heard of that wait for a probe.
    pub candidates: usize,
    /// Sources over which rates are kept.
    pub sources: usize,
    /// Sessions of a closed network whose replays are refused.
    pub sessions: usize,
    /// Totals.
    pub counters: Counters,
}

/// A coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CoordView {
    /// Seconds of round-trip time.
    pub position: [f64; 3],
    /// Seconds.
    pub height: f64,
    /// 0.0 (sure) ..= 1.0 (knows nothing).
    pub error: f64,
}

/// A known node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerView {
    /// Ring id, hexadecimal.
    pub id: String,
    /// UDP address.
    pub addr: String,
    /// Smoothed round-trip time, if measured.
    pub rtt_us: Option<u64>,
    /// Round-trip time as the coordinates predict it.
    pub predicted_us: u64,
    /// It owes an answer.
    pub suspect: bool,
    /// Its coordinate, as it told it last.
    pub coord: CoordView,
}

/// A slot of the routing table that has contacts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlotView {
    /// Digits that its contacts share with the node's id.
    pub row: usize,
    /// Their next digit, 0 ..= 15.
    pub column: u8,
    /// The contact that requests are sent to, then its spares.
    pub contacts: Vec<PeerView>,
}
