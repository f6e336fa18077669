//! What holds for all torrents.

use std::path::PathBuf;

use super::adding::blocking;
use super::{Actor, Note};
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::paths::Roots;
use crate::daemon::rules::{faults, is_blocklist_url};
use crate::daemon::settings::{Settings, SettingsChange};
use crate::daemon::watch::Watcher;

impl Actor {
    pub(super) fn change_settings(&mut self, change: Box<SettingsChange>, reply: Reply<()>) {
        let roots = self.roots.clone();
        let dir = change.download_dir.clone();
        let mut paths: Vec<PathBuf> = dir.clone().into_iter().collect();
        // clients may name a file, the configuration any
        let source = change.blocklist_source.clone().flatten();
        if source.as_ref() != self.settings.blocklist_source.as_ref() {
            let file = source.filter(|source| !is_blocklist_url(source));
            paths.extend(file.map(PathBuf::from));
        }
        self.spawn(async move {
            let all = move || {
                for path in &paths {
                    roots.check(path)?;
                }
                match dir.filter(|dir| dir.is_file()) {
                    Some(file) => {
                        let why = format!("{} is a file; name a directory", file.display());
                        Err(DaemonError::Invalid(why))
                    }
                    None => Ok(()),
                }
            };
            let checked = blocking(all).await;
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
        let before = self.settings.clone();
        let mut settings = before.clone();
        change.apply(&mut settings);
        if let Some(fault) = faults(&settings).first() {
            let why = format!("{}: {}", fault.keys[0], fault.message);
            return self.answer(reply, Err(DaemonError::Invalid(why)));
        }
        let hours = |s: &Settings| {
            let s = &s.schedule;
            (s.by_clock, s.from, s.to, s.days)
        };
        let by_hand = hours(&settings) == hours(&before);
        self.set_settings(settings, by_hand);
        let op = self.places.keep_settings(before, self.settings.clone());
        self.write_and_answer(vec![op], reply);
    }

    /// The configuration was read anew: what was changed meanwhile is forgotten.
    pub(super) fn reload(&mut self, settings: Settings, roots: Roots) {
        self.roots = roots;
        let op = self.places.drop_settings();
        self.write_unheard(vec![op]);
        self.set_settings(settings, false);
    }

    /// These settings hold from now on; `by_hand`: the schedule is as somebody has just switched it.
    pub(super) fn set_settings(&mut self, mut settings: Settings, by_hand: bool) {
        let now = self.now;
        self.switch.begin(&mut settings.schedule, &now, by_hand);
        let before = std::mem::replace(&mut self.settings, settings);
        self.set_rates();
        self.session.set_connections(self.settings.connections);
        self.watch();
        self.use_blocklist();
        if self.settings.blocklist_source != before.blocklist_source {
            self.blocklist_due = now.elapsed; // the copy is of another one
        }
        if self.settings.blocklist && !before.blocklist && self.blocklist.is_empty() {
            self.read_blocklist();
        }
        (self.requeue, self.urgent) = (true, true);
    }

    /// The settings that the daemon starts with.
    pub(super) fn begin_settings(&mut self) {
        self.set_settings(self.settings.clone(), false);
    }

    /// Watches the folder that is to be watched.
    fn watch(&mut self) {
        let watched = self.watcher.as_ref().map(Watcher::dir);
        if watched != self.settings.watch_dir.as_deref() {
            let dir = self.settings.watch_dir.clone();
            self.watcher = dir.map(|dir| Watcher::spawn(self.daemon.clone(), dir));
        }
    }
}
