//! What was moved, over all runs. All torrents are in one file: it changes all the time, and 1,000 files would be 1,000 syncs.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seal::{self, NotSealed};
use crate::daemon::model::{ByDistance, InfoHash, Transferred};

const KIND: &str = "statistics";

/// What was moved, over all runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::daemon) struct Statistics {
    pub(in crate::daemon) ever: Transferred,
    pub(in crate::daemon) torrents: BTreeMap<InfoHash, Counts>,
}

/// What a torrent has moved, and how long it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::daemon) struct Counts {
    pub(in crate::daemon) downloaded: u64,
    pub(in crate::daemon) uploaded: u64,
    pub(in crate::daemon) wasted: u64,
    pub(in crate::daemon) by_distance: ByDistance,
    pub(in crate::daemon) downloading: Duration,
    pub(in crate::daemon) seeding: Duration,
    /// When bytes last came or went, seconds since 1970.
    pub(in crate::daemon) active: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.downloaded += more.downloaded;
        self.uploaded += more.uploaded;
        self.wasted += more.wasted;
        self.by_distance += more.by_distance;
        self.downloading += more.downloading;
        self.seeding += more.seeding;
        self.active = self.active.max(more.active);
    }
}

impl Statistics {
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).expect("numbers by text");
        seal::seal(KIND, &body)
    }

    pub(super) fn decode(file: &[u8]) -> Result<Self, NotSealed> {
        let body = seal::open(KIND, file)?;
        serde_json::from_slice(body).map_err(|_| NotSealed::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_is_read_again() {
        let counts = Counts {
            downloaded: 1 << 50,
            seeding: Duration::from_millis(1500),
            ..Counts::default()
        };
        let statistics = Statistics {
            ever: Transferred {
                starts: 7,
                ..Transferred::default()
            },
            torrents: [(InfoHash([0xab; 20]), counts)].into(),
        };
        assert_eq!(Statistics::decode(&statistics.encode()), Ok(statistics));
    }
}
