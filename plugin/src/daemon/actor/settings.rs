//! What holds for all torrents.

use super::adding::blocking;
use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::settings::{Schedule, Settings, SettingsChange};
use crate::daemon::watch::Watcher;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

impl Actor {
    pub(super) fn change_settings(&mut self, change: Box<SettingsChange>, reply: Reply<()>) {
        if let Err(e) = check(&change) {
            return self.answer(reply, Err(e));
        }
        let (roots, dir) = (self.roots.clone(), change.download_dir.clone());
        self.spawn(async move {
            let checked = match dir {
                Some(dir) => blocking(move || roots.check(&dir)).await.map(|_| ()),
                None => Ok(()),
            };
            Note::Settings(change, checked, reply)
        });
    }

    pub(super) fn on_settings(
        &mut self,
        change: SettingsChange,
        checked: Result<(), DaemonError>,
        reply: Reply<()>,
    ) {
        if let Err(e) = checked {
            return self.answer(reply, Err(e));
        }
        let hours = |s: &Schedule| (s.by_clock, s.from, s.to, s.days);
        let by_hand = (change.schedule.as_ref()).is_none_or(|new| {
            let old = &self.settings.schedule;
            hours(new) == hours(old)
        });
        let before = self.settings.clone();
        let mut settings = before.clone();
        change.apply(&mut settings);
        self.set_settings(settings, by_hand);
        let op = self.places.keep_settings(before, self.settings.clone());
        self.write_and_answer(vec![op], reply);
    }

    /// The configuration was read anew: what was changed meanwhile is forgotten.
    pub(super) fn reload(&mut self, settings: Settings) {
        let op = self.places.drop_settings();
        self.write_unheard(vec![op]);
        self.set_settings(settings, false);
    }

    /// These settings hold from now on; `by_hand`: the schedule is as somebody has just switched it.
    pub(super) fn set_settings(&mut self, mut settings: Settings, by_hand: bool) {
        let now = self.now;
        self.switch.begin(&mut settings.schedule, &now, by_hand);
        self.settings = settings;
        self.set_rates();
        let watched = self.watcher.as_ref().map(|w| w.dir());
        if watched != self.settings.watch_dir.as_deref() {
            let dir = self.settings.watch_dir.clone();
            self.watcher = dir.map(|dir| Watcher::spawn(self.daemon.clone(), dir));
        }
        (self.requeue, self.urgent) = (true, true);
    }
}

/// Whether a change can be.
fn check(change: &SettingsChange) -> Result<(), DaemonError> {
    let invalid = |why: String| Err(DaemonError::Invalid(why));
    if let Some(Some(ratio)) = change.seed_ratio
        && !(ratio.is_finite() && ratio >= 0.0)
    {
        return invalid(format!("a ratio of {ratio}; give a number from 0 on"));
    }
    if let Some(schedule) = &change.schedule
        && (schedule.from >= DAY || schedule.to >= DAY || schedule.days > 0x7f)
    {
        return invalid("a schedule begins and ends at minutes 0 to 1439, on days 0 to 127".into());
    }
    if let Some(connections) = change.connections
        && !(1..=1_000_000).contains(&connections)
    {
        return invalid(format!(
            "{connections} connections; give a number from 1 to 1000000"
        ));
    }
    match change.peers_per_torrent {
        Some(peers) if !(1..=65_535).contains(&peers) => {
            invalid(format!("{peers} peers; give a number from 1 to 65535"))
        }
        _ => Ok(()),
    }
}
