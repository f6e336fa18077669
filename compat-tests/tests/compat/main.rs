//! ChunkCast against stock clients: one test for every cell of `docs/compat.md`.
//!
//! Each test names its scenario and its cell, `tracker_http::aria2_leeches`, and writes down how it ended below
//! `CARGO_TARGET_TMPDIR/compat`, from which the program `compat-matrix` makes the document.

#![allow(
    clippy::print_stdout,
    reason = "what is skipped, and with which client, is said on standard output"
)]

mod cell;
mod discovery;
mod encryption;
mod everyone;
mod half_way;
mod network;
mod torrents;
mod trackers;
mod web_seeds;

use cell::cells;

cells! {
    tracker_http => trackers::http,
    tracker_udp => trackers::udp,
    magnet_tracker => trackers::magnet,
    magnet_dht => discovery::dht,
    pex => discovery::pex,
    lsd => discovery::lsd,
    encryption_theirs => encryption::theirs,
    encryption_both => encryption::both,
    utp => network::utp,
    default_settings => network::default_settings,
    ipv6 => network::ipv6,
    hybrid => torrents::hybrid,
    padding => torrents::padding,
    selected_files => torrents::selected_files,
    many_pieces => torrents::many_pieces,
    resume => half_way::resume,
    web_seed => web_seeds::web_seed,
    swarm => everyone::swarm,
}
