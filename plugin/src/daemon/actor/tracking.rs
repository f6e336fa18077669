//! What trackers say, for those who look at the list: a torrent of which none of its trackers answers is in trouble.

use std::time::Duration;

use super::{Actor, Note};
use crate::daemon::model::{Event, InfoHash, TrackerRow, Trouble};
use crate::daemon::torrent::Torrent;

/// How often a torrent is asked what its trackers say.
const PERIOD: Duration = Duration::from_secs(30); // guess: announces are minutes apart
/// Torrents that are asked in a second.
const AT_A_TIME: usize = 50; // guess: 1,000 torrents in 20 s

impl Actor {
    /// Asks those torrents that are due.
    pub(super) fn ask_of_trackers(&mut self) {
        let now = self.now.elapsed;
        let asks = |t: &&Torrent| !t.about.trackers.is_empty() && t.control().is_some();
        let all = self.torrents.values().filter(asks);
        for hash in due(all.map(|t| (t.trackers_at, t.hash)), now) {
            let Some(torrent) = self.torrents.get_mut(&hash) else {
                continue;
            };
            torrent.trackers_at = now;
            let Some(control) = torrent.control() else {
                continue;
            };
            self.spawn(async move {
                Note::Trackers(hash, control.trackers().await.unwrap_or_default())
            });
        }
    }

    pub(super) fn on_trackers(&mut self, hash: InfoHash, rows: &[TrackerRow]) {
        let Some(torrent) = self.torrents.get_mut(&hash) else {
            return;
        };
        let was = torrent.trouble.as_ref();
        // what else is wrong matters more
        if torrent.live().is_none() || was.is_some_and(|t| !t.tracker) {
            return;
        }
        let message = complaint(rows);
        if message.as_ref() == was.map(|t| &t.message) {
            return;
        }
        torrent.trouble = message.clone().map(|message| Trouble {
            stopped: false,
            tracker: true,
            message,
        });
        if let Some(message) = message {
            self.events.push(Event::Trouble(hash, message));
        }
        self.touch(hash);
    }
}

/// Those to be asked now, who have waited longest first: where there are more than can be asked in a period, all have their turn.
fn due(asked: impl Iterator<Item = (Duration, InfoHash)>, now: Duration) -> Vec<InfoHash> {
    let mut due: Vec<_> = asked.filter(|(at, _)| now >= *at + PERIOD).collect();
    due.sort_unstable();
    due.into_iter()
        .take(AT_A_TIME)
        .map(|(_, hash)| hash)
        .collect()
}

/// What the first of them says, if none answers.
fn complaint(rows: &[TrackerRow]) -> Option<String> {
    let asked = rows.iter().filter(|row| row.last_announce > 0);
    if rows.iter().any(|row| row.ok) {
        return None;
    }
    let first = asked.min_by_key(|row| (row.tier, row.id))?;
    match first.message.contains(&first.announce) {
        true => Some(first.message.clone()),
        false => Some(format!("{}: {}", first.announce, first.message)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn row(id: usize, last_announce: u64, ok: bool, message: &str) -> TrackerRow {
        TrackerRow {
            id,
            announce: format!("http://{id}.example/announce"),
            last_announce,
            ok,
            message: message.into(),
            ..TrackerRow::default()
        }
    }

    #[test]
    fn each_has_its_turn_however_many_there_are() {
        let mut asked: BTreeMap<InfoHash, Duration> = (0..u8::MAX)
            .flat_map(|a| (0..8).map(move |b| [a, b]))
            .map(|[a, b]| {
                let mut hash = [a; 20];
                hash[1] = b;
                (InfoHash(hash), Duration::ZERO)
            })
            .collect();
        // more than a period has room for
        let seconds = asked.len().div_ceil(AT_A_TIME) as u64;
        assert!(Duration::from_secs(seconds) > PERIOD);
        for second in 0..seconds {
            let now = PERIOD + Duration::from_secs(second);
            for hash in due(asked.iter().map(|(hash, at)| (*at, *hash)), now) {
                asked.insert(hash, now);
            }
        }
        let never = asked.values().filter(|at| at.is_zero()).count();
        assert_eq!(never, 0, "of {}", asked.len());
    }

    #[test]
    fn one_tracker_that_answers_is_enough() {
        assert_eq!(complaint(&[]), None);
        assert_eq!(complaint(&[row(0, 0, false, "")]), None, "not asked yet");
        let refused = [row(0, 5, false, "not registered"), row(1, 0, false, "")];
        let said = complaint(&refused).expect("a complaint");
        assert!(said.contains("0.example") && said.contains("not registered"));
        assert_eq!(
            complaint(&[row(0, 5, false, "gone"), row(1, 6, true, "")]),
            None
        );
    }
}
