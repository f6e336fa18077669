//! What trackers say, for those who look at the list: a torrent of which none of its trackers answers is in trouble.

use std::time::Duration;

use super::{Actor, Note};
use crate::daemon::model::{Event, InfoHash, TrackerRow, Trouble};

/// How often a torrent is asked what its trackers say.
const PERIOD: Duration = Duration::from_secs(30); // guess: announces are minutes apart
/// Torrents that are asked in a second.
const AT_A_TIME: usize = 50; // guess: 1,000 torrents in 20 s

impl Actor {
    /// Asks those torrents that are due.
    pub(super) fn ask_of_trackers(&mut self) {
        let now = self.now.elapsed;
        let mut due = Vec::new();
        for torrent in self.torrents.values_mut() {
            if due.len() == AT_A_TIME {
                break;
            }
            if now < torrent.trackers_at + PERIOD || torrent.about.trackers.is_empty() {
                continue;
            }
            if let Some(control) = torrent.control() {
                torrent.trackers_at = now;
                due.push((torrent.hash, control));
            }
        }
        for (hash, control) in due {
            self.spawn(async move {
                let detail = control.detail().await;
                Note::Trackers(hash, detail.map(|d| d.trackers).unwrap_or_default())
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
