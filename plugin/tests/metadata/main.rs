//! Torrents, magnet links, and the making of torrents.

mod create;
mod layout;
mod magnet;
mod stock;
mod torrent;
