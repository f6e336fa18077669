//! What came and went over time: the last hour by ten seconds, the last day by minutes.

use std::collections::VecDeque;

use super::model::{ByDistance, History, Sample};

/// Seconds of a sample, and how many of them are kept.
const HOUR: (u64, u64) = (10, 360);
/// The same of the long one.
const DAY: (u64, u64) = (60, 1440);

/// Keeps samples.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    hour: VecDeque<Sample>,
    day: VecDeque<Sample>,
}

impl Recorder {
    /// `moved` came and went around second `unix`.
    pub(super) fn add(&mut self, unix: u64, moved: ByDistance) {
        if moved != ByDistance::default() {
            put(&mut self.hour, HOUR, unix, moved);
            put(&mut self.day, DAY, unix, moved);
        }
    }

    /// What is kept at second `unix`.
    pub(super) fn history(&self, unix: u64) -> History {
        let recent = |samples: &VecDeque<Sample>, (step, count): (u64, u64)| {
            let oldest = unix.saturating_sub(step * count);
            let recent = samples.iter().filter(|s| s.at >= oldest);
            recent.copied().collect()
        };
        History {
            hour: recent(&self.hour, HOUR),
            day: recent(&self.day, DAY),
        }
    }
}

fn put(samples: &mut VecDeque<Sample>, (step, count): (u64, u64), unix: u64, moved: ByDistance) {
    let at = unix - unix % step;
    match samples.back_mut() {
        // a clock that was set back goes on with the last sample
        Some(last) if last.at >= at => last.moved += moved,
        _ => samples.push_back(Sample { at, moved }),
    }
    while samples.len() as u64 > count {
        samples.pop_front();
    }
}

impl std::ops::AddAssign for ByDistance {
    fn add_assign(&mut self, more: Self) {
        self.near_down += more.near_down;
        self.near_up += more.near_up;
        self.far_down += more.far_down;
        self.far_up += more.far_up;
        self.web_down += more.web_down;
    }
}

/// What `now` has more than `before`.
pub(super) fn since(now: ByDistance, before: ByDistance) -> ByDistance {
    ByDistance {
        near_down: now.near_down.saturating_sub(before.near_down),
        near_up: now.near_up.saturating_sub(before.near_up),
        far_down: now.far_down.saturating_sub(before.far_down),
        far_up: now.far_up.saturating_sub(before.far_up),
        web_down: now.web_down.saturating_sub(before.web_down),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(bytes: u64) -> ByDistance {
        ByDistance {
            near_down: bytes,
            ..ByDistance::default()
        }
    }

    #[test]
    fn samples_are_summed_and_what_is_old_is_gone() {
        let mut recorder = Recorder::default();
        let day = 86_400;
        for second in 0..day + 7200 {
            recorder.add(second, near(1));
        }
        let history = recorder.history(day + 7200);
        assert_eq!((history.hour.len(), history.day.len()), (360, 1440));
        assert!(history.hour.iter().all(|s| s.moved == near(10)));
        assert!(history.day.iter().all(|s| s.moved == near(60)));
        assert_eq!(history.hour[359].at, day + 7190);
        let later = recorder.history(day + 7200 + 1800);
        assert_eq!((later.hour.len(), later.day.len()), (180, 1410));
    }

    #[test]
    fn times_without_bytes_take_no_room() {
        let mut recorder = Recorder::default();
        recorder.add(5, near(3));
        recorder.add(15, near(0));
        recorder.add(3000, near(4));
        recorder.add(10, near(5)); // the clock was set back
        let hour = recorder.history(3000).hour;
        let expected = [(0, 3), (3000, 9)].map(|(at, bytes)| Sample {
            at,
            moved: near(bytes),
        });
        assert_eq!(hour, expected);
    }
}
