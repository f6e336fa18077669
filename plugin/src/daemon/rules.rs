//! What [`Settings`] can be. The configuration and what clients change are held to the same rules, so that a start takes what
//! was taken while the daemon ran.

use std::time::Duration;

use super::settings::{DAY_MINUTES, LONGEST, MOST_PEERS, Settings};
use crate::discovery::is_http;

/// Most connections of all torrents.
const MOST_CONNECTIONS: usize = 1_000_000;
/// The highest ratio.
pub(super) const HIGHEST_RATIO: f64 = 1e6; // guess: no torrent is fetched so often

/// Something that is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The keys of the configuration that make it so, `section.key`; the first is to be named.
    pub(super) keys: &'static [&'static str],
    /// One line with the way out.
    pub(super) message: String,
}

impl Fault {
    fn new(keys: &'static [&'static str], message: impl Into<String>) -> Self {
        let message = message.into();
        Self { keys, message }
    }
}

/// What cannot be.
pub(super) fn faults(settings: &Settings) -> Vec<Fault> {
    let mut found = Vec::new();
    let noted = &settings.noted;
    let times: [(&[&str], Option<Duration>); 5] = [
        (&["queue.stalled-after"], settings.stalled_after),
        (&["seeding.idle"], settings.seed_idle),
        (&["seeding.time"], settings.seed_time),
        (&["noted.stalled-after"], noted.stalled_after),
        (&["noted.idle"], noted.seed_idle),
    ];
    for (keys, time) in times {
        if time.is_some_and(|time| time < Duration::from_secs(1) || time > LONGEST) {
            found.push(Fault::new(keys, "must be a second to 100 years"));
        }
    }
    let ratios: [(&[&str], Option<f64>); 2] = [
        (&["seeding.ratio"], settings.seed_ratio),
        (&["noted.ratio"], noted.seed_ratio),
    ];
    for (keys, ratio) in ratios {
        // not of what is no number either
        if ratio.is_some_and(|ratio| !(0.0..=HIGHEST_RATIO).contains(&ratio)) {
            let message = format!("must be a number from 0 to {HIGHEST_RATIO}");
            found.push(Fault::new(keys, message));
        }
    }
    if !(1..=MOST_CONNECTIONS).contains(&settings.connections) {
        let message = format!("must be 1 to {MOST_CONNECTIONS}");
        found.push(Fault::new(&["limits.connections"], message));
    }
    if !(1..=MOST_PEERS).contains(&settings.peers_per_torrent) {
        let message = format!("must be 1 to {MOST_PEERS}");
        found.push(Fault::new(&["limits.peers-per-torrent"], message));
    }
    let schedule = &settings.schedule;
    let minutes: [(&[&str], u16); 2] = [
        (&["schedule.from"], schedule.from),
        (&["schedule.to"], schedule.to),
    ];
    for (keys, minute) in minutes {
        if minute >= DAY_MINUTES {
            found.push(Fault::new(keys, "must be a minute of the day, 0 to 1439"));
        }
    }
    if schedule.days > 0x7f {
        let message = "must be a sum of 1 for Sunday, 2 for Monday and so on to 64 for Saturday";
        found.push(Fault::new(&["schedule.days"], message));
    }
    match &settings.blocklist_source {
        None if settings.blocklist => {
            let message = "there is no list; name where it comes from with blocklist.source";
            found.push(Fault::new(
                &["blocklist.enabled", "blocklist.source"],
                message,
            ));
        }
        Some(source) if !is_source(source) => {
            let message =
                format!("`{source}` is neither an http(s) URL nor a path that begins with /");
            found.push(Fault::new(&["blocklist.source"], message));
        }
        _ => {}
    }
    found
}

/// What can be and comes to nothing. Who writes a configuration did not mean it; a client may, or is on its way through it to
/// something else, as it sets one value after the other.
pub(super) fn vain(settings: &Settings) -> Vec<Fault> {
    let mut found = Vec::new();
    let places: [(&[&str], Option<u32>); 2] = [
        (&["queue.active-downloads"], settings.active_downloads),
        (&["queue.active-seeds"], settings.active_seeds),
    ];
    for (keys, places) in places {
        if places == Some(0) {
            let message =
                "0 lets none run; pause torrents instead, or write \"unlimited\" for no limit";
            found.push(Fault::new(keys, message));
        }
    }
    let schedule = &settings.schedule;
    if schedule.by_clock && schedule.from == schedule.to {
        let keys = &["schedule.from", "schedule.to", "schedule.by-clock"];
        let message = "begins when it ends (schedule.to), so it would never hold";
        found.push(Fault::new(keys, message));
    }
    if schedule.by_clock && schedule.days == 0 {
        let keys = &["schedule.days", "schedule.by-clock"];
        let message =
            "names no day, so the clock would never switch; name one, or set by-clock to false";
        found.push(Fault::new(keys, message));
    }
    found
}

/// Whether a blocklist is fetched from a URL; else `source` is the path of a file.
pub fn is_blocklist_url(source: &str) -> bool {
    is_http(source)
}

fn is_source(text: &str) -> bool {
    match is_blocklist_url(text) {
        true => url::Url::parse(text).is_ok(),
        false => text.starts_with('/') && !text.contains(char::is_control),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::settings;

    fn named(settings: &Settings) -> Vec<&'static str> {
        faults(settings).iter().map(|fault| fault.keys[0]).collect()
    }

    #[test]
    fn what_cannot_be_is_named_by_its_key() {
        assert_eq!(faults(&settings()), []);
        let mut wrong = settings();
        wrong.stalled_after = Some(LONGEST + Duration::from_secs(1));
        wrong.seed_time = Some(Duration::ZERO);
        wrong.noted.seed_idle = Some(Duration::MAX);
        wrong.seed_ratio = Some(f64::NAN);
        wrong.noted.seed_ratio = Some(2e6);
        wrong.connections = 0;
        wrong.peers_per_torrent = MOST_PEERS + 1;
        (wrong.schedule.to, wrong.schedule.days) = (DAY_MINUTES, 0x80);
        wrong.blocklist = true;
        let expected = [
            "queue.stalled-after",
            "seeding.time",
            "noted.idle",
            "seeding.ratio",
            "noted.ratio",
            "limits.connections",
            "limits.peers-per-torrent",
            "schedule.to",
            "schedule.days",
            "blocklist.enabled",
        ];
        assert_eq!(named(&wrong), expected);
        for fault in faults(&wrong) {
            assert_eq!(fault.message.lines().count(), 1, "{fault:?}");
        }
        let mut most = settings();
        (most.stalled_after, most.seed_ratio) = (Some(LONGEST), Some(HIGHEST_RATIO));
        assert_eq!(faults(&most), []);
    }

    #[test]
    fn a_blocklist_comes_from_the_web_or_from_a_file() {
        let good = [
            "http://a.example/l",
            "HTTPS://a.example/l",
            "/srv/list",
            "/srv/x://y",
        ];
        let bad = [
            "",
            "list",
            "ftp://a.example/l",
            "file:///etc/passwd",
            "http://",
            "x://y",
        ];
        for (sources, faults) in [(&good[..], &[][..]), (&bad[..], &["blocklist.source"][..])] {
            for source in sources {
                let source = Some((*source).to_owned());
                let settings = Settings {
                    blocklist: true,
                    blocklist_source: source,
                    ..settings()
                };
                assert_eq!(named(&settings), faults, "{:?}", settings.blocklist_source);
            }
        }
        assert!(is_blocklist_url("http://a.example/l") && !is_blocklist_url("/srv/x://y"));
    }
}
