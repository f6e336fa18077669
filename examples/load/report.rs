//! The figures of a run.

use std::io::{self, Write};

use crate::Options;
use crate::ask::Round;

/// Rounds by what was asked, in the order of the first ones.
#[derive(Debug)]
pub(crate) struct Report {
    pinned: bool,
    window: u32,
    rows: Vec<(&'static str, Vec<Round>)>,
}

impl Report {
    pub(crate) fn new(pinned: bool, options: &Options) -> Self {
        Self {
            pinned,
            window: options.window,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &'static str, round: Round) {
        match self.rows.iter_mut().find(|(n, _)| *n == name) {
            Some((_, rounds)) => rounds.push(round),
            None => self.rows.push((name, vec![round])),
        }
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let cores = match self.pinned {
            true => "the server on core 1, the asker on core 0",
            false => "no cores chosen: `taskset` and two cores are needed for that",
        };
        writeln!(out, "{} requests under way; {cores}", self.window)?;
        writeln!(
            out,
            "{:<25} {:>9} {:>11} {:>13} {:>9} {:>9} {:>7}",
            "", "bytes", "ns/request", "10%..90%", "per core", "answered", "of echo"
        )?;
        let mut echo = None;
        for (name, rounds) in &self.rows {
            let mut ns: Vec<f64> = rounds.iter().map(cpu).collect();
            ns.sort_by(f64::total_cmp);
            let at = |share: usize| ns[(ns.len() - 1) * share / 100];
            let median = at(50);
            let is_echo = name.starts_with("echo");
            if is_echo {
                echo = Some(median);
            }
            // the ratio of neighbouring rounds would be the fairer one if it were not for rounds with a disturbance
            let ratio = echo.filter(|_| !is_echo).map(|echo| echo / median);
            let ratio = ratio.map_or(String::new(), |r| format!("{:.0} %", 100.0 * r));
            let answered: u32 = rounds.iter().map(|r| r.answered).sum();
            let seconds: f64 = rounds.iter().map(|r| r.elapsed.as_secs_f64()).sum();
            let last = rounds.last().expect("a row has a round");
            writeln!(
                out,
                "{name:<25} {:>9} {median:>11.0} {:>13} {:>7.0} k {:>7.0} k {ratio:>7}",
                format!("{}/{}", last.request_bytes, last.answer_bytes),
                format!("{:.0}..{:.0}", at(10), at(90)),
                1e6 / median,
                f64::from(answered) / seconds / 1e3,
            )?;
            let failed: u32 = rounds.iter().map(|r| r.failed).sum();
            if failed > 0 {
                writeln!(out, "  {failed} were answered otherwise or not at all")?;
            }
        }
        writeln!(
            out,
            "bytes: request/answer; ns/request: processor time of the server, median of {} rounds;\n\
             per core: thousands a second, 1 s / that time; answered: thousands a second of the clock",
            self.rows.first().map_or(0, |(_, rounds)| rounds.len())
        )
    }
}

fn cpu(round: &Round) -> f64 {
    round.cpu_ns as f64 / f64::from(round.answered.max(1))
}
