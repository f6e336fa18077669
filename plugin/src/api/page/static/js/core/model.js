/** What the daemon says, as the views use it. Names are those of `/api/v1`; only sets of pieces and peers are read anew. */

import { decode } from "./bits.js";

/**
 * @typedef {import("./share.js").ByDistance} ByDistance
 * @typedef {"skip" | "low" | "normal" | "high"} Priority
 * @typedef {"session" | "unlimited" | number} Limit
 */

/**
 * @typedef {object} Torrent
 * @property {string} hash
 * @property {string} name
 * @property {string} state
 * @property {{stopped: boolean, tracker: boolean, message: string} | null} trouble
 * @property {string} dir
 * @property {string[]} labels
 * @property {boolean} has_metadata
 * @property {boolean} private
 * @property {number} size
 * @property {number} wanted
 * @property {number} verified
 * @property {number} held
 * @property {number} pieces
 * @property {number} piece_length
 * @property {number | null} checked
 * @property {number | null} moving
 * @property {number} rate_down
 * @property {number} rate_up
 * @property {number | null} eta_seconds
 * @property {number} downloaded
 * @property {number} uploaded
 * @property {number} wasted
 * @property {ByDistance} by_distance
 * @property {number} near
 * @property {number} far
 * @property {number} web_seeds
 * @property {Record<string, number>} sources
 * @property {number} queue_position
 * @property {number | null} added seconds since 1970
 * @property {number | null} done
 * @property {number | null} active
 * @property {number} seconds_downloading
 * @property {number} seconds_seeding
 * @property {boolean} stalled
 * @property {boolean} finished
 * @property {number | null} download_limit bytes a second
 * @property {number | null} upload_limit bytes a second
 * @property {boolean} session_limits
 * @property {Limit} seed_ratio
 * @property {Limit} seed_idle_seconds
 * @property {Limit} seed_time_seconds
 * @property {number} max_peers
 */

/**
 * What a torrent says of itself, and what went wrong with its peers.
 * @typedef {{comment: string, creator: string, created: number | null, magnet: string, web_seed_urls: string[],
 *   drops: Record<string, number>, bad_pieces: number, banned: number}} About
 */

/**
 * @typedef {object} Transferred
 * @property {ByDistance} by_distance
 * @property {number} downloaded
 * @property {number} uploaded
 */

/**
 * @typedef {object} Totals
 * @property {number} rate_down
 * @property {number} rate_up
 * @property {Transferred} session
 * @property {Transferred} ever
 * @property {{messages_in: number, messages_out: number, bytes_in: number, bytes_out: number}} directory
 * @property {number} connections
 */

/**
 * @typedef {object} Why
 * @property {number} at
 * @property {number} hops
 * @property {string | null} answered_by
 * @property {number} rank
 * @property {number | null} score
 * @property {number} matched
 * @property {number} load
 * @property {number | null} predicted_ms
 * @property {[number, number, number, number] | null} coordinate milliseconds, the last one is the height
 */

/**
 * @typedef {object} Peer
 * @property {string} name address, or URL of a web seed
 * @property {string} source
 * @property {string | null} client
 * @property {string | null} transport
 * @property {boolean | null} encrypted
 * @property {boolean} near
 * @property {boolean} connected
 * @property {number | null} rtt milliseconds
 * @property {number | null} predicted milliseconds
 * @property {number} downloaded
 * @property {number} uploaded
 * @property {number} rate_down
 * @property {number} rate_up
 * @property {Uint8Array} has
 * @property {Why | null} why
 */

/**
 * @typedef {{index: number, path: string, size: number, held: number, priority: Priority, padding: boolean}} FileRow
 * @typedef {{id: number, tier: number, announce: string, last_announce: number | null, ok: boolean, message: string,
 *   peers: number, next_announce: number | null, asking: boolean, seeders: number | null, leechers: number | null}} TrackerRow
 * @typedef {{at: number, took_ms: number, hops: number | null, answered_by: string | null, from_kept: boolean, peers: number}} LookupRow
 */

/**
 * One torrent in depth, as far as it was asked for.
 * @typedef {object} Detail
 * @property {import("../torrent/piece_model.js").PieceView} [pieces]
 * @property {Peer[]} [peers]
 * @property {About} [about]
 * @property {[number, number, number] | null} [own] where we are in coordinate space, milliseconds
 * @property {FileRow[]} [files]
 * @property {TrackerRow[]} [trackers]
 * @property {LookupRow[]} [lookups]
 */

/**
 * @typedef {{id: string, addr: string, rtt_us: number | null, predicted_us: number, suspect: boolean}} Contact
 * @typedef {object} Index
 * @property {string} id
 * @property {string} role
 * @property {boolean} joined
 * @property {boolean} index
 * @property {{addr: string} | null} home
 * @property {string} listen
 * @property {string | null} observed
 * @property {{position: number[], height: number, error: number}} coord seconds
 * @property {Contact[]} leaves
 * @property {{row: number, column: number, contacts: Contact[]}[]} slots
 * @property {number} peers
 * @property {number} suspects
 * @property {number | null} nearest_rtt_us
 * @property {number} entries
 * @property {number} objects
 * @property {Record<string, number>} held
 * @property {number} cache_bytes
 * @property {number} publications
 * @property {number} pending
 * @property {number} routed
 * @property {{lookup_hops: Record<string, number>, lookup_timeouts: number, lookups_answered: number,
 *   lookups_answered_as_root: number, lookups_answered_cached: number, drops: Record<string, number>}} counters
 */

/**
 * @typedef {object} Settings
 * @property {number | null} download_limit bytes a second
 * @property {number | null} upload_limit bytes a second
 * @property {{on: boolean, download_limit: number | null, upload_limit: number | null, by_clock: boolean,
 *   from_minute: number, to_minute: number, days: number}} schedule
 * @property {number | null} active_downloads
 * @property {number | null} active_seeds
 * @property {number | null} stalled_after_seconds
 * @property {number | null} seed_ratio
 * @property {number | null} seed_idle_seconds
 * @property {number | null} seed_time_seconds
 * @property {string} download_dir
 * @property {boolean} start_added
 * @property {string | null} watch_dir
 * @property {number} connections
 * @property {number} peers_per_torrent
 * @property {boolean} blocklist
 * @property {string | null} blocklist_source
 */

/**
 * @typedef {object} Session
 * @property {string} version
 * @property {Settings} settings
 * @property {{free: number, total: number} | null} space
 * @property {number} blocklist_ranges
 */

/**
 * @typedef {"about" | "directory" | "pieces" | "peers" | "files" | "trackers" | "lookups"} Part a side of a torrent that is
 *   asked for by itself; `directory` is where our own index node is
 */

/** @param {Part} part @param {any} answer @param {Torrent} torrent @returns {Detail} */
export function readDetail(part, answer, torrent) {
  const { pieces } = torrent;
  if (part === "about") return { about: answer };
  if (part === "directory") {
    const at = answer?.coord?.position;
    return { own: at ? [at[0] * 1e3, at[1] * 1e3, at[2] * 1e3] : null };
  }
  if (part === "peers") return { peers: answer.peers.map((/** @type {any} */ p) => readPeer(p, pieces)) };
  if (part !== "pieces") return { [part]: answer[part] };
  return { pieces: { pieces, held: decode(answer.held, pieces), wanted: decode(answer.wanted, pieces), open: answer.open } };
}

/** @param {any} p @param {number} pieces @returns {Peer} */
export function readPeer(p, pieces) {
  return {
    name: p.webseed ?? p.addr,
    source: p.source,
    client: p.client ?? null,
    transport: p.transport ?? null,
    encrypted: p.encrypted ?? null,
    near: p.near,
    connected: p.connected,
    rtt: p.rtt_ms ?? null,
    predicted: p.why?.predicted_ms ?? null,
    downloaded: p.downloaded,
    uploaded: p.uploaded,
    rate_down: p.rate_down ?? 0,
    rate_up: p.rate_up ?? 0,
    has: decode(p.pieces ?? "", pieces),
    why: p.why ?? null,
  };
}
