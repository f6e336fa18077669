//! Limits and defaults of the client peer.

use std::time::Duration;

use super::api::Ranking;

/// In which order chunks are fetched and handed out. Chunks that were begun and given back come first in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkOrder {
    /// Those that the fewest neighbours hold, equals at random.
    #[default]
    RarestFirst,
    /// Any that the server holds, all with the same chance (the paper names no order).
    Random,
    /// Fetched like `RarestFirst`: among the chunks of one server those that it gave to few are those that few others
    /// hold, and nothing else of it can be seen from outside. The server's side adds what only it knows: its last
    /// free uploads are not for far neighbours that ask for a chunk which it has sent more often than others.
    LeastServed,
}

/// When chunks that near neighbours have are left to them, instead of being fetched from far ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AreaRule {
    /// Never (the paper's client).
    Off,
    /// Always, also while they are too busy to send them.
    Always,
    /// Unless they would take longer than `area_patience`.
    #[default]
    UnlessSaturated,
}

/// Limits, sizes and periods; [`ClientConfig::validate`] says which values make no sense.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// Most neighbours (connections of this object).
    pub max_neighbours: usize,
    /// The same of a client that has everything: it serves them and has nothing to choose. At least `max_neighbours` count.
    pub max_served: usize,
    /// Neighbours below which the client dials.
    pub target_neighbours: usize,
    /// Most connections being set up at once.
    pub max_half_open: usize,
    /// How long a dial may take before it counts as failed.
    pub dial_deadline: Duration,
    /// Most peers remembered, connected or not.
    pub max_candidates: usize,
    /// Most banned addresses remembered; the oldest is forgotten first.
    pub max_banned: usize,
    /// Whether a neighbour that has nothing we miss, and misses nothing that we have, gives way to the next peer dialled
    /// once there are `target_neighbours`; those that want something of ours stay and do not count.
    pub drop_useless: bool,
    /// A neighbour with which no byte has moved for that long gives way to anyone once the table is full.
    pub idle: Duration,
    /// First pause before a peer is dialled again; it doubles with every failure.
    pub redial: Duration,
    /// Longest pause before a peer is dialled again.
    pub max_redial: Duration,
    /// Most `have`s a neighbour may send before the number of chunks is known.
    pub max_early_haves: usize,

    /// Peers asked of a lookup.
    pub p: u8,
    /// How many of those are random ones.
    pub mix: u8,
    /// By what lookups rank the others.
    pub ranking: Ranking,
    /// Whether lookups ask for any peer as long as nothing is held, so that neighbours that have nothing yet are found too.
    pub any_first: bool,
    /// Whether fruitless answers double the pause, and need shortens it. If not, lookups go out every `lookup_interval`
    /// and `lookup_fast` after the last one when a server ran dry (paper 4).
    pub lookup_back_off: bool,
    /// Whether lookups leave out the nearest neighbours as far as there is room, besides the peers that failed.
    pub ignore_known: bool,
    /// Pause between lookups while chunks are wanted; fruitless answers double it.
    pub lookup_interval: Duration,
    /// Pause while the table is under half full and lookups still bring new peers, or a server ran dry.
    pub lookup_fast: Duration,
    /// Longest pause between lookups.
    pub lookup_cap: Duration,
    /// Pause after the first fruitless answer while nobody serves us or fewer than `p` neighbours are known; it
    /// doubles.
    pub lookup_starving: Duration,
    /// Longest pause while nobody serves us.
    pub lookup_starving_cap: Duration,
    /// Pause between lookups of a complete peer that nobody can dial; fruitless answers double it.
    pub lookup_unreachable: Duration,
    /// How long an answer is waited for.
    pub lookup_deadline: Duration,
    /// One lookup in so many goes on to the root.
    pub root_every: u32,

    /// Servers downloaded from in parallel.
    pub parallel: usize,
    /// Most servers, as long as each one more makes the download faster.
    pub max_servers: usize,
    /// Most servers among the local neighbours, counted apart: those within `near_floor`.
    pub max_local_servers: usize,
    /// In which order chunks are fetched and handed out.
    pub order: ChunkOrder,
    /// Whether neighbours are asked for chunks that connected to us and that no lookup has named.
    pub ask_inbound: bool,
    /// How long a neighbour that refused a request at once is not asked; it doubles with each refusal in a row.
    pub refused_pause: Duration,
    /// Longest time for which a neighbour is not asked because it refused.
    pub max_refused_pause: Duration,
    /// Refusals in a row after which lookups leave the neighbour out.
    pub refusals_ignored: u32,
    /// Whether a neighbour that refused is replaced as one that ran dry is: looked up for at once while there are fewer
    /// than `parallel` servers, and its place in the table goes to another; a lookup asks for one more for each that
    /// its ignore list has no room for. If not, it is waited for.
    pub replace_refused: bool,
    /// How long an unresponsive or slow neighbour is not asked; it doubles each time.
    pub ignore: Duration,
    /// Longest time for which a neighbour is not asked.
    pub max_ignore: Duration,
    /// Which of the least round-trip times says what is near, 0 being the least; of these, the last that is at most
    /// `near_gap` times the least, as others belong to another place.
    pub near_rank: usize,
    /// See `near_rank`.
    pub near_gap: u32,
    /// A round-trip time up to this multiple of that one is near.
    pub near_factor: u32,
    /// A round-trip time up to this is near whatever the others are.
    pub near_floor: Duration,
    /// Differences of round-trip times below this are noise.
    pub rtt_noise: Duration,
    /// When what near neighbours hold is left to them.
    pub area: AreaRule,
    /// How long each peer of an area waits for the one before it to fetch a chunk from far, from when a neighbour last got
    /// it; zero: chunks are not shared out.
    pub area_wait: Duration,
    /// How long a chunk is left to the area that is to fetch it first, likewise; zero: areas do not share chunks out.
    pub abroad_wait: Duration,
    /// What near neighbours hold is left to them while they will have sent all of it within this time.
    pub area_patience: Duration,

    /// Shortest pause between telling near neighbours what is being fetched.
    pub tell_near: Duration,
    /// Shortest pause between telling the other neighbours.
    pub tell_far: Duration,

    /// Pause between two publishes in the first `publish_warm` after the object is known.
    pub publish_early: Duration,
    /// How long `publish_early` holds.
    pub publish_warm: Duration,
    /// Pause between two publishes afterwards.
    pub publish_interval: Duration,

    /// Most chunks being sent at once, to all neighbours; who asks for one more is refused. 0: no limit.
    pub uploads: usize,
    /// Of `uploads`, so many are for near neighbours while any of them wants something and not everything is held.
    pub near_uploads: usize,
    /// Upload slots once more than `unlimited_up_to` neighbours are interested; 0: no limit.
    pub slots: usize,
    /// Up to so many interested neighbours are all served.
    pub unlimited_up_to: usize,
    /// How long a slot is kept at least.
    pub slot_hold: Duration,
    /// Slots kept for those who send us most, while we download.
    pub reciprocal_slots: usize,
    /// Upload slots that clients of other kinds have of their own while we download, one of them optimistic; 0: they are
    /// counted among all others.
    pub stranger_slots: usize,
    /// They have one more for each so many bytes a second that are being sent to them, up to `unlimited_up_to`.
    pub stranger_slot_rate: u64,
    /// How long a client of another kind keeps a slot that it has not earned.
    pub optimistic_hold: Duration,

    /// Whether a seed alone among downloaders reveals its chunks one by one.
    pub superseed: bool,
    /// Chunks revealed to a neighbour that it does not hold yet.
    pub reveal_ahead: usize,
    /// For so long after its start a seed shows no neighbour more than `reveal_ahead` chunks, so that those who start
    /// with it find it and each other before the first has everything.
    pub gather: Duration,
    /// A neighbour that makes no progress with what it was shown for so long is shown everything.
    pub reveal_patience: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            max_neighbours: 32,                     // measured: 24 to 32
            max_served: 0,         // guess: a seed that superseeds keeps few in view
            target_neighbours: 24, // measured: 24 to 32
            max_half_open: 8,      // guess
            dial_deadline: Duration::from_secs(30), // guess
            max_candidates: 512,   // guess
            max_banned: 256,       // guess
            drop_useless: false,   // a neighbour costs little and may get something
            idle: Duration::from_secs(60), // guess
            redial: Duration::from_secs(15), // guess
            max_redial: Duration::from_secs(600), // guess
            max_early_haves: 1024, // guess

            p: 8, // measured: of 4, of which 2 random, a quarter of the neighbours in one's own stub is not found in time
            mix: 2, // measured: no islands
            ranking: Ranking::Closeness, // paper 5.1
            any_first: true, // measured: peers of one site find each other before they hold anything
            lookup_back_off: true, // guess: a swarm that is known in full need not be asked about
            ignore_known: true, // guess: an answer need not repeat what is known
            lookup_interval: Duration::from_secs(4), // measured: 3 to 5 s
            lookup_fast: Duration::from_secs(1), // measured
            lookup_cap: Duration::from_secs(300), // measured
            lookup_starving: Duration::from_millis(250), // guess: a first entry is held back for half a second at most
            lookup_starving_cap: Duration::from_secs(30), // guess
            lookup_unreachable: Duration::from_secs(10), // guess: a downloader waits for its first chunk
            lookup_deadline: Duration::from_secs(10),    // guess
            root_every: 2, // measured: no islands; at 4 one's own stub is found later, at 1 an answer is no better

            parallel: 4,                               // paper 5.1
            max_servers: 8,                            // measured: p = 8 with hybrid ranking
            max_local_servers: 16, // measured: 16 equals, 1.12 of the bound in place of 1.50
            order: ChunkOrder::RarestFirst, // measured: in file order peers have nothing for each other
            ask_inbound: true,              // a connection is used both ways
            refused_pause: Duration::from_secs(1), // guess: a chunk of 256 KB over a fifth of 10 Mbit/s
            max_refused_pause: Duration::from_secs(8), // guess
            refusals_ignored: 3, // guess: it is busy, not dead, and what is busy now is near still
            replace_refused: false, // guess: a table of 24 has others
            ignore: Duration::from_secs(30), // guess
            max_ignore: Duration::from_secs(300), // guess
            near_rank: 3, // paper 5.1: four servers in parallel, so the fourth says what is to be had
            near_gap: 8, // measured: without it all are near where a site has three peers; 4 splits equals
            near_factor: 2, // measured
            near_floor: Duration::from_millis(6), // measured
            rtt_noise: Duration::from_millis(2), // measured: the hybrid score's constant
            area: AreaRule::UnlessSaturated, // measured: the slowest at 1.14 of the bound in place of 1.33
            area_wait: Duration::from_millis(500), // measured: copies 1.96 without, 1.77 at 0.6 s; 0.8 s is slower
            abroad_wait: Duration::from_secs(2),   // guess
            area_patience: Duration::from_secs(60), // measured: slowest at 1.24, 1.33 at 120 s; copies 1.20, 1.23 at 30 s

            tell_near: Duration::from_millis(20), // measured: copies into an area 1.30 at 0.1 s, 1.24 at 0.02 s
            tell_far: Duration::from_secs(1),     // a message of that rate costs nothing

            publish_early: Duration::from_millis(500), // measured: T of 0.5 to 5 s is within noise
            publish_warm: Duration::from_secs(30),     // guess
            publish_interval: Duration::from_secs(5),  // paper 3.1, measured as above

            uploads: 0,          // guess: requests wait in the connections' queues
            near_uploads: 2, // measured: copies into an area 1.30, 1.44 with 1; 3 and more slow the swarm
            slots: 6,        // measured: 4 to 6
            unlimited_up_to: 16, // measured: no slots among 16 equals
            slot_hold: Duration::from_secs(10), // BitTorrent's choke period
            reciprocal_slots: 3, // BitTorrent's regular slots
            stranger_slots: 4, // BEP 3: three regular ones and an optimistic one
            stranger_slot_rate: 256 << 10, // guess: what four slots of 8 Mbit/s are worth: it outbids most home uplinks
            optimistic_hold: Duration::from_secs(30), // BEP 3

            superseed: true,                          // measured: 1.08 to 1.18 copies
            reveal_ahead: 8,                          // measured: 6 starved the uplink
            gather: Duration::from_secs(2), // measured: three lookups, 9 processes on 2 cores
            reveal_patience: Duration::from_secs(10), // guess
        }
    }
}

/// A setting of [`ClientConfig`] that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client setting `{name}` is out of range: {rule}")]
pub struct ClientConfigError {
    /// The field.
    pub name: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl ClientConfig {
    /// The client of the paper (section 4) and nothing else: it fetches from the nearest four of those that lookups
    /// named, looks up every four seconds and whenever a server has nothing more, and serves whoever comes.
    pub fn paper() -> Self {
        Self {
            target_neighbours: 8,                    // guess: two answers
            max_neighbours: 200,                     // guess: whoever comes is served
            max_served: 0,                           // as above
            drop_useless: true, // paper 4: replacement of servers without chunks
            p: 4,               // paper 5.1
            mix: 0,             // paper 3.3: the best by the ranking
            ranking: Ranking::Closeness, // paper 3.3
            root_every: u32::MAX, // paper 3.2: only as far as necessary
            any_first: false,   // paper 3.2: a lookup names chunks
            lookup_back_off: false, // paper 4: periodically, and when a server ran dry
            lookup_interval: Duration::from_secs(4), // guess: the paper names no period
            lookup_fast: Duration::from_millis(250), // guess: at once, but no storm
            ignore_known: false, // paper 4: peers that failed
            parallel: 4,        // paper 5.1
            max_servers: 4,     // paper 5.1
            max_local_servers: 4, // paper 5.1
            order: ChunkOrder::Random, // the paper names none
            ask_inbound: false, // paper 4: those that the directory answers
            area: AreaRule::Off, // not in the paper
            // everyone counts as near and nobody as local: the nearest four, whatever the score of far ones
            near_factor: u32::MAX,
            near_floor: Duration::ZERO,
            refusals_ignored: 1, // paper 4: who rejects a request is to be ignored
            replace_refused: true, // paper 4
            superseed: false,    // not in the paper
            gather: Duration::ZERO, // not in the paper
            reciprocal_slots: 0, // not in the paper
            stranger_slots: 0,   // not in the paper
            near_uploads: 0,     // not in the paper
            ..Self::default()
        }
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// The first field that does not, and what it must be.
    pub fn validate(&self) -> Result<(), ClientConfigError> {
        let positive = |d: Duration| d > Duration::ZERO;
        let rules: [(bool, &'static str, &'static str); 20] = [
            (self.max_neighbours > 0, "max_neighbours", "at least 1"),
            (
                self.max_neighbours <= 1000,
                "max_neighbours",
                "at most 1000",
            ),
            (self.max_served <= 1000, "max_served", "at most 1000"),
            (
                (1..=self.max_neighbours).contains(&self.target_neighbours),
                "target_neighbours",
                "1 up to max_neighbours",
            ),
            (self.max_half_open > 0, "max_half_open", "at least 1"),
            (
                self.max_candidates >= self.max_neighbours + self.max_half_open,
                "max_candidates",
                "at least max_neighbours + max_half_open",
            ),
            (self.p > 0, "p", "at least 1"),
            (self.mix <= self.p, "mix", "at most p"),
            (self.root_every > 0, "root_every", "at least 1"),
            (self.parallel > 0, "parallel", "at least 1"),
            (
                self.max_servers >= self.parallel,
                "max_servers",
                "at least parallel",
            ),
            (
                self.max_local_servers > 0,
                "max_local_servers",
                "at least 1",
            ),
            (
                positive(self.refused_pause),
                "refused_pause",
                "longer than zero",
            ),
            (
                self.max_refused_pause >= self.refused_pause,
                "max_refused_pause",
                "at least refused_pause",
            ),
            (self.reveal_ahead > 0, "reveal_ahead", "at least 1"),
            (
                positive(self.lookup_interval)
                    && positive(self.lookup_fast)
                    && positive(self.lookup_starving)
                    && positive(self.lookup_unreachable),
                "lookup_interval",
                "longer than zero, like lookup_fast, lookup_starving and lookup_unreachable",
            ),
            (
                positive(self.publish_early),
                "publish_early",
                "longer than zero",
            ),
            (positive(self.slot_hold), "slot_hold", "longer than zero"),
            (
                self.optimistic_hold >= self.slot_hold,
                "optimistic_hold",
                "at least slot_hold",
            ),
            (
                self.stranger_slot_rate > 0,
                "stranger_slot_rate",
                "at least 1",
            ),
        ];
        match rules.iter().find(|(ok, ..)| !ok) {
            Some(&(_, name, rule)) => Err(ClientConfigError { name, rule }),
            None => Ok(()),
        }
    }
}
