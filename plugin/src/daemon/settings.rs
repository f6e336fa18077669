//! What holds for all torrents and can be changed while the daemon runs.

use std::path::PathBuf;
use std::time::Duration;

use super::noted::NotedSettings;
use crate::limits::{Rate, Rates};

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;
/// The longest time that a limit can have.
pub const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400); // guess: more than anybody waits, and can be added to any time
/// The most connections that a torrent can have.
pub const MOST_PEERS: u32 = 65_535; // Transmission's numbers of peers have 16 bits

/// What holds for all torrents and can be changed while the daemon runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Bytes a second of all torrents together.
    pub rates: Rates,
    /// The other rates, and when they hold.
    pub schedule: Schedule,
    /// Torrents that download at a time; `None`: all.
    pub active_downloads: Option<u32>,
    /// Torrents that seed at a time; `None`: all.
    pub active_seeds: Option<u32>,
    /// A torrent that has moved no bytes for so long takes no place in the queue; `None`: it always does.
    pub stalled_after: Option<Duration>,
    /// Seeding ends at this ratio of bytes sent to the bytes of the torrent; `None`: at none.
    pub seed_ratio: Option<f64>,
    /// Seeding ends when nobody has fetched anything for so long; `None`: it does not.
    pub seed_idle: Option<Duration>,
    /// Seeding ends after so long; `None`: it does not.
    pub seed_time: Option<Duration>,
    /// Where the data of new torrents goes.
    pub download_dir: PathBuf,
    /// Whether new torrents are started.
    pub start_added: bool,
    /// .torrent files and files with a magnet link that appear here are added.
    pub watch_dir: Option<PathBuf>,
    /// Connections of all torrents together.
    pub connections: usize,
    /// Connections of one torrent.
    pub peers_per_torrent: u32,
    /// Whether the blocklist is used.
    pub blocklist: bool,
    /// Where the blocklist comes from: an http(s) URL or a path.
    pub blocklist_source: Option<String>,
    /// What nothing follows.
    pub noted: NotedSettings,
}

/// Other rates ("alternative speed limits"), switched on by hand or by the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Whether they hold now. The clock switches this; a hand can too.
    pub on: bool,
    /// The rates.
    pub rates: Rates,
    /// Whether the clock switches them.
    pub by_clock: bool,
    /// Minutes after local midnight at which they begin, below 1440.
    pub from: u16,
    /// Minutes after local midnight at which they end, below 1440; before `from`: on the next day.
    pub to: u16,
    /// Days on which they begin: bit 0 is Sunday, bit 6 Saturday.
    pub days: u8,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            on: false,
            rates: Rates::default(),
            by_clock: false,
            from: 9 * 60, // Transmission's default
            to: 17 * 60,  // Transmission's default
            days: 0x7f,
        }
    }
}

/// A change of [`Settings`]: what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsChange {
    /// [`Settings::rates`], downwards.
    pub download: Option<Option<Rate>>,
    /// [`Settings::rates`], upwards.
    pub upload: Option<Option<Rate>>,
    /// [`Settings::schedule`].
    pub schedule: ScheduleChange,
    /// [`Settings::active_downloads`].
    pub active_downloads: Option<Option<u32>>,
    /// [`Settings::active_seeds`].
    pub active_seeds: Option<Option<u32>>,
    /// [`Settings::stalled_after`].
    pub stalled_after: Option<Option<Duration>>,
    /// [`Settings::seed_ratio`].
    pub seed_ratio: Option<Option<f64>>,
    /// [`Settings::seed_idle`].
    pub seed_idle: Option<Option<Duration>>,
    /// [`Settings::seed_time`].
    pub seed_time: Option<Option<Duration>>,
    /// [`Settings::download_dir`].
    pub download_dir: Option<PathBuf>,
    /// [`Settings::start_added`].
    pub start_added: Option<bool>,
    /// [`Settings::connections`].
    pub connections: Option<usize>,
    /// [`Settings::peers_per_torrent`].
    pub peers_per_torrent: Option<u32>,
    /// [`Settings::blocklist`].
    pub blocklist: Option<bool>,
    /// [`Settings::blocklist_source`].
    pub blocklist_source: Option<Option<String>>,
    /// [`Settings::noted`].
    pub noted: Option<NotedSettings>,
}

impl SettingsChange {
    /// Makes the change.
    pub fn apply(&self, settings: &mut Settings) {
        let change = self.clone();
        set(&mut settings.rates.down, change.download);
        set(&mut settings.rates.up, change.upload);
        change.schedule.apply(&mut settings.schedule);
        set(&mut settings.active_downloads, change.active_downloads);
        set(&mut settings.active_seeds, change.active_seeds);
        set(&mut settings.stalled_after, change.stalled_after);
        set(&mut settings.seed_ratio, change.seed_ratio);
        set(&mut settings.seed_idle, change.seed_idle);
        set(&mut settings.seed_time, change.seed_time);
        set(&mut settings.download_dir, change.download_dir);
        set(&mut settings.start_added, change.start_added);
        set(&mut settings.connections, change.connections);
        set(&mut settings.peers_per_torrent, change.peers_per_torrent);
        set(&mut settings.blocklist, change.blocklist);
        set(&mut settings.blocklist_source, change.blocklist_source);
        set(&mut settings.noted, change.noted);
    }
}

/// A change of a [`Schedule`]: what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleChange {
    /// [`Schedule::on`].
    pub on: Option<bool>,
    /// [`Schedule::rates`], downwards.
    pub download: Option<Option<Rate>>,
    /// [`Schedule::rates`], upwards.
    pub upload: Option<Option<Rate>>,
    /// [`Schedule::by_clock`].
    pub by_clock: Option<bool>,
    /// [`Schedule::from`].
    pub from: Option<u16>,
    /// [`Schedule::to`].
    pub to: Option<u16>,
    /// [`Schedule::days`].
    pub days: Option<u8>,
}

impl ScheduleChange {
    fn apply(self, schedule: &mut Schedule) {
        set(&mut schedule.on, self.on);
        set(&mut schedule.rates.down, self.download);
        set(&mut schedule.rates.up, self.upload);
        set(&mut schedule.by_clock, self.by_clock);
        set(&mut schedule.from, self.from);
        set(&mut schedule.to, self.to);
        set(&mut schedule.days, self.days);
    }
}

/// Sets what was said; `None` leaves it.
pub(super) fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}
