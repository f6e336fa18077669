//! Index nodes find each other through the Mainline DHT: each announces its UDP port under an infohash that all of them
//! know, and looks there for others as one more way to join.
//!
//! It looks once at the start, soon again while the node knows hardly anyone, and otherwise only as often as its
//! announcement has to be renewed. Anyone can announce anything there, so an answer is a random handful of hints.

use std::net::SocketAddr;
use std::time::Duration;

use chunkcast::node::Network;
use futures::future::BoxFuture;
use rand::seq::IndexedRandom;
use sha1::{Digest, Sha1};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::dht::{DhtLookup, DhtNode, LookupConfig};

/// What all index nodes of the open network announce is the SHA-1 of this; the number is the wire protocol's version.
const NAME: &[u8] = b"chunkcast index nodes 1";

/// When to look, and how much to believe.
#[derive(Clone, Debug)]
pub struct RendezvousConfig {
    /// Rounds of the lookup, each of which renews the announcement.
    pub lookup: LookupConfig,
    /// How often the node is asked how many others it knows.
    pub check: Duration,
    /// With fewer than this it looks again soon.
    pub few: usize,
    /// Longest pause between two such looks, which doubles from [`RendezvousConfig::check`].
    pub longest: Duration,
    /// Addresses handed out of one batch of answers.
    pub hints: usize,
}

impl Default for RendezvousConfig {
    fn default() -> Self {
        Self {
            lookup: LookupConfig::default(), // announcements in the DHT live about half an hour
            check: Duration::from_secs(60),  // guess
            few: 4,                          // guess: fewer may all be gone at once
            longest: Duration::from_secs(960), // guess: as rarely as the usual rounds
            hints: 8,                        // as many as a node asks at once
        }
    }
}

/// The infohash under which the index nodes of a network meet. A closed network's tells nothing of its key.
pub fn meeting_point(network: &Network) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(NAME);
    if let Network::Closed(key) = network {
        hash.update(key.0);
    }
    hash.finalize().into()
}

/// The node that wants to meet others.
pub trait Guest: Send + Sync + 'static {
    /// Its UDP port, if others can use it.
    fn port(&self) -> Option<u16>;
    /// How many others it knows.
    fn known(&self) -> BoxFuture<'_, usize>;
    /// Others may be there.
    fn meet(&self, nodes: Vec<SocketAddr>);
}

/// A running rendezvous; it ends when this is dropped.
#[derive(Debug)]
pub struct Rendezvous {
    task: AbortHandle,
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rendezvous {
    /// Announces `guest` at `point`, and tells it of the others there.
    pub fn spawn(
        dht: &DhtNode,
        point: [u8; 20],
        config: RendezvousConfig,
        guest: impl Guest,
    ) -> Self {
        let (out, found) = mpsc::channel(1);
        let lookup = dht.look_up(point, guest.port(), config.lookup.clone(), out);
        let task = tokio::spawn(run(lookup, found, config, guest));
        Self {
            task: task.abort_handle(),
        }
    }
}

async fn run(
    lookup: DhtLookup,
    mut found: mpsc::Receiver<Vec<SocketAddr>>,
    config: RendezvousConfig,
    guest: impl Guest,
) {
    let mut pause = config.check;
    let mut next = tokio::time::Instant::now() + pause;
    loop {
        tokio::select! {
            nodes = found.recv() => match nodes {
                Some(nodes) => {
                    let some = nodes.sample(&mut rand::rng(), config.hints);
                    guest.meet(some.copied().collect());
                }
                None => return, // there is no DHT
            },
            () = tokio::time::sleep_until(next) => {
                pause = if guest.known().await < config.few {
                    lookup.need_more_peers();
                    (pause * 2).min(config.longest)
                } else {
                    config.check
                };
                next = tokio::time::Instant::now() + pause;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chunkcast::auth::seal::NetworkKey;

    #[test]
    fn every_network_meets_elsewhere() {
        let open = meeting_point(&Network::Open);
        assert_eq!(
            open,
            <[u8; 20]>::from(Sha1::digest(b"chunkcast index nodes 1"))
        );
        let closed = |byte| meeting_point(&Network::Closed(NetworkKey([byte; 32])));
        assert_ne!(open, closed(0));
        assert_ne!(closed(1), closed(0));
    }
}
