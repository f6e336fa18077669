//! The metrics that there are.

use super::text::{Family, Kind};

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(pub(super) const $id: Family = Family { name: $name, kind: Kind::$kind, help: $help };)*
    };
}

families! {
    BUILD_INFO: Gauge "chunkcast_build_info", "1, with the version of ChunkCast.";
    RESIDENT_MEMORY: Gauge "process_resident_memory_bytes", "Memory of the process (Linux).";
    UPTIME: Gauge "chunkcast_uptime_seconds", "Time since the daemon was started.";
    TORRENTS: Gauge "chunkcast_torrents", "Torrents by what they are doing.";
    TORRENTS_TROUBLED: Gauge "chunkcast_torrents_troubled", "Torrents with which something is wrong.";
    RECEIVED_BYTES: Counter "chunkcast_received_bytes_total", "Payload received, by how far it came: from near peers, far ones, web seeds.";
    SENT_BYTES: Counter "chunkcast_sent_bytes_total", "Payload sent, by how far it went.";
    DOWNLOAD_RATE: Gauge "chunkcast_download_rate_bytes", "Bytes a second down, smoothed over about three seconds.";
    UPLOAD_RATE: Gauge "chunkcast_upload_rate_bytes", "Bytes a second up, smoothed over about three seconds.";
    PEERS: Gauge "chunkcast_peers", "Peers connected, by distance; web seeds that are asked.";
    PEERS_BY_SOURCE: Gauge "chunkcast_peers_by_source", "Peers connected, by who named them.";
    PEERS_CHOKING: Gauge "chunkcast_peers_choking", "Peers connected that refuse to serve us.";
    PEERS_SERVED: Gauge "chunkcast_peers_served", "Peers connected that we serve.";
    PEERS_BANNED: Counter "chunkcast_peers_banned_total", "Peers banned for bad bytes.";
    PEER_RTT: Histogram "chunkcast_peer_rtt_seconds", "Round-trip times of peers: each second each peer counts once, so that the rate of a bucket is how many peers it has.";
    CONNECTIONS: Gauge "chunkcast_connections", "Connections with peers.";
    BUFFERED_BYTES: Gauge "chunkcast_buffered_bytes", "Pieces and blocks in memory.";
    PIECES_VERIFIED: Counter "chunkcast_pieces_verified_total", "Pieces that came and were verified and written.";
    PIECES_FAILED: Counter "chunkcast_pieces_failed_total", "Pieces that came and failed their hash.";
    DROPS: Counter "chunkcast_drops_total", "What peers sent that was thrown away, by reason.";
    INDEX_DATAGRAMS: Counter "chunkcast_index_datagrams_total", "Datagrams of the index node, by direction and kind.";
    INDEX_BYTES: Counter "chunkcast_index_bytes_total", "Bytes of those, without headers of IP and UDP.";
    INDEX_LOOKUPS: Counter "chunkcast_index_lookups_total", "Lookups from here that were answered, by the index nodes that they passed.";
    INDEX_LOOKUP_TIMEOUTS: Counter "chunkcast_index_lookup_timeouts_total", "Lookups from here that had no answer in time.";
    INDEX_ANSWERS: Counter "chunkcast_index_answers_total", "Lookups that the index node answered, for itself or others.";
    INDEX_ANSWERS_ROOT: Counter "chunkcast_index_answers_root_total", "Of these, as the root of their object.";
    INDEX_ANSWERS_KEPT: Counter "chunkcast_index_answers_kept_total", "Of these, with an answer that was kept (cache hits).";
    INDEX_ANSWERS_LOADED: Counter "chunkcast_index_answers_loaded_total", "Of these, with what was known, because their object is asked for too often.";
    INDEX_DROPS: Counter "chunkcast_index_drops_total", "What others sent the index node that was not acted on, by reason.";
    INDEX_HOPS_AROUND: Counter "chunkcast_index_hops_routed_around_total", "Hops that did not acknowledge in time.";
    INDEX_ENTRIES: Gauge "chunkcast_index_entries", "Location entries that the index node holds.";
    INDEX_OBJECTS: Gauge "chunkcast_index_objects", "Objects that they are of.";
    INDEX_ENTRY_BYTES: Gauge "chunkcast_index_entry_bytes", "Memory of them.";
    INDEX_EVICTED: Counter "chunkcast_index_entries_evicted_total", "Entries that were evicted to make room.";
    INDEX_PUBLICATIONS: Gauge "chunkcast_index_publications", "Objects that this daemon publishes.";
    INDEX_NODES: Gauge "chunkcast_index_nodes", "Index nodes known.";
    INDEX_NEAREST_RTT: Gauge "chunkcast_index_nearest_rtt_seconds", "Round-trip time to the nearest of them.";
    INDEX_JOINED: Gauge "chunkcast_index_joined", "1 in a ring, 0 not.";
    INDEX_SERVES: Gauge "chunkcast_index_serves", "1 as an index node, 0 as a client of one.";
    BLOCKLIST_RANGES: Gauge "chunkcast_blocklist_ranges", "Ranges of the blocklist.";
    HTTP_REQUESTS: Counter "chunkcast_http_requests_total", "Requests to this API, by route, method and status.";
    HTTP_CONNECTIONS: Gauge "chunkcast_http_connections", "Connections to this API.";
    HTTP_EVENT_LISTENERS: Gauge "chunkcast_http_event_listeners", "Listeners to its events.";
}
