//! Limits that are off and have a value all the same, which holds when they are switched on: clients show it, and set the
//! value and the switch apart.

use std::time::Duration;

use super::arguments::Arguments;
use super::error::RpcError;
use super::units::{KILO, rate};
use crate::daemon::Settings;
use crate::limits::Rate;

/// Values of limits of all torrents that were never set. Transmission's defaults.
const RATE: u64 = 100 * KILO;
const RATIO: f64 = 2.0;
const IDLE: Duration = Duration::from_secs(30 * 60);
pub(super) const STALLED: Duration = Duration::from_secs(30 * 60);
pub(super) const DOWNLOADS: u32 = 5;
pub(super) const SEEDS: u32 = 10;

/// The values of limits that torrents can have too, on or off: what such a limit of a torrent begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    /// Bytes a second.
    pub(super) download: u64,
    /// Bytes a second.
    pub(super) upload: u64,
    pub(super) seed_ratio: f64,
    pub(super) seed_idle: Duration,
}

impl Values {
    /// Those of all torrents.
    pub(super) fn of(settings: &Settings) -> Self {
        let noted = &settings.noted;
        let rate = |on: Option<Rate>, off: Option<u64>| on.map(Rate::bytes).or(off).unwrap_or(RATE);
        Self {
            download: rate(settings.rates.down, noted.download),
            upload: rate(settings.rates.up, noted.upload),
            seed_ratio: settings.seed_ratio.or(noted.seed_ratio).unwrap_or(RATIO),
            seed_idle: settings.seed_idle.or(noted.seed_idle).unwrap_or(IDLE),
        }
    }
}

/// A limit, and what a request says of it.
pub(super) struct Switch<T> {
    /// Its new value.
    pub(super) value: Option<T>,
    /// Whether it is to hold.
    pub(super) on: Option<bool>,
    /// What holds.
    pub(super) is: Option<T>,
    /// Its value while it is off and was never set.
    pub(super) dormant: T,
}

impl<T: Copy> Switch<T> {
    /// What is to hold; `None`: what does.
    pub(super) fn turn(self, noted: &mut Option<T>) -> Option<Option<T>> {
        if self.value.is_none() && self.on.is_none() {
            return None;
        }
        let value = self.value.or(self.is).or(*noted).unwrap_or(self.dormant);
        *noted = Some(value);
        Some(self.on.unwrap_or(self.is.is_some()).then_some(value))
    }
}

/// The same for a rate, which requests say in kB a second and notes in bytes, by the names of its value and its switch.
pub(super) fn turn_rate(
    arguments: Arguments<'_>,
    [value, on]: [&'static str; 2],
    is: Option<Rate>,
    dormant: u64,
    noted: &mut Option<u64>,
) -> Result<Option<Option<Rate>>, RpcError> {
    let switch = Switch {
        value: arguments.count(value)?.map(|kb| rate(kb).bytes()),
        on: arguments.flag(on)?,
        is: is.map(Rate::bytes),
        dormant,
    };
    let turned = switch.turn(noted);
    Ok(turned.map(|turned| turned.map(Rate::new)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_that_is_off_keeps_its_value_until_it_is_switched_on() {
        let mut noted = None;
        let mut is = None;
        let mut say = |kilobytes: Option<u64>, on: Option<bool>| {
            let request = json!({ "arguments": { "limit": kilobytes, "limited": on } });
            let arguments = Arguments::of(&request);
            let turned = turn_rate(arguments, ["limit", "limited"], is, RATE, &mut noted);
            if let Some(turned) = turned.expect("good arguments") {
                is = turned;
            }
            is.map(Rate::bytes)
        };
        assert_eq!(say(None, None), None);
        assert_eq!(say(None, Some(true)), Some(100_000), "the default");
        assert_eq!(say(Some(500), None), Some(500_000));
        assert_eq!(say(None, Some(false)), None);
        assert_eq!(say(Some(700), None), None, "it stays off");
        assert_eq!(say(None, Some(true)), Some(700_000));
        assert_eq!(say(Some(9), Some(false)), None);
        assert_eq!(say(None, Some(true)), Some(9_000));
    }
}
