//! Which torrents a session serves, by what a caller says of them.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, watch};

use super::torrent::Input;
use crate::wire::connect::Asked;
use crate::wire::mse::key_hash;

/// A torrent as the listener knows it.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(super) input: mpsc::Sender<Input>,
    /// It is known to be private (BEP 27).
    pub(super) private: bool,
}

/// The torrents of a session.
#[derive(Default)]
pub(crate) struct Served {
    torrents: BTreeMap<[u8; 20], Listed>,
    /// Infohashes by what callers name in a key exchange, so that such a caller costs one look, however many torrents
    /// there are.
    by_key: BTreeMap<[u8; 20], [u8; 20]>,
    /// How many there are.
    count: watch::Sender<usize>,
}

impl Served {
    /// Adds a torrent; false if it is there already.
    pub(super) fn insert(&mut self, info_hash: [u8; 20], listed: Listed) -> bool {
        if self.torrents.contains_key(&info_hash) {
            return false;
        }
        self.torrents.insert(info_hash, listed);
        self.by_key.insert(key_hash(&info_hash), info_hash);
        self.count.send_replace(self.torrents.len());
        true
    }

    pub(super) fn remove(&mut self, info_hash: &[u8; 20]) {
        self.torrents.remove(info_hash);
        self.by_key.remove(&key_hash(info_hash));
        self.count.send_replace(self.torrents.len());
    }

    /// Tells how many there are.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(super) fn get(&self, info_hash: &[u8; 20]) -> Option<&Listed> {
        self.torrents.get(info_hash)
    }

    /// A torrent turned out to be private.
    pub(super) fn set_private(&mut self, info_hash: &[u8; 20]) {
        if let Some(listed) = self.torrents.get_mut(info_hash) {
            listed.private = true;
        }
    }

    /// The torrent that a caller wants, and its infohash.
    pub(super) fn find(&self, asked: Asked<'_>) -> Option<([u8; 20], &Listed)> {
        let hash = match asked {
            Asked::InfoHash(hash) => hash,
            Asked::KeyHash(key) => self.by_key.get(key)?,
        };
        Some((*hash, self.torrents.get(hash)?))
    }
}
