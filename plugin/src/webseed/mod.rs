//! Web seeds (BEP 19): a web server that holds a torrent's files, as a peer that has every piece.
//!
//! For the swarm a web seed is a neighbour like any other: `serve` takes the messages that a connection's outbox would
//! send (REQUEST, CANCEL) and answers with a connection's events (HAVE ALL, UNCHOKE, PIECE, REJECT), so that the choice
//! of pieces, blame, bans, rate limits and the memory budget are those of peers. Requests for adjacent blocks become one
//! HTTP range request, cut where a file ends. Trouble that may pass is a CHOKE until the next attempt; trouble that does
//! not is a [`WebSeedFault`], with which the URL is given up.
//!
//! Sans-IO are [`place`] (which URL a file has), [`answer`] (what a server's answer means) and `queue` (which blocks are
//! fetched together).
//!
//! Memory: a fetch holds at most what the HTTP library has read at once, and one block that has not arrived completely;
//! whole blocks count against the budget for what was read from sockets.

pub mod answer;
mod client;
mod fetch;
pub mod place;
mod queue;
mod serve;

pub use answer::WebSeedFault;
pub(crate) use client::WebClient;
pub(crate) use serve::{End, PARALLEL, WebSeed, serve};
