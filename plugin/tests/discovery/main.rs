//! Finding peers: trackers, the DHT, index nodes in it, and fetching torrents.

mod common;
mod dht;
mod fetch;
mod rendezvous;
mod trackers;
