//! What the user sees: JSON lines, a progress bar on a terminal, or plain lines without one.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::session::Progress;

/// How often a plain progress line is printed.
const PLAIN_PERIOD: Duration = Duration::from_secs(5);

/// The three ways to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Json,
    Plain,
    Bars,
}

/// Reports what happens in the style that the flags and the terminal ask for.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    style: Style,
    quiet: bool,
    bars: MultiProgress,
}

/// Seconds since 1970, to the microsecond.
pub(super) fn unix_time() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Writes one line to standard output; a closed pipe is no error of ours.
pub(super) fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Reporter {
    /// A reporter for these flags.
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        let style = match (json, std::io::stderr().is_terminal()) {
            (true, _) => Style::Json,
            (false, true) => Style::Bars,
            (false, false) => Style::Plain,
        };
        let bars = MultiProgress::with_draw_target(if style == Style::Bars && !quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        Self { style, quiet, bars }
    }

    /// Whether JSON lines were asked for.
    pub(super) fn is_json(&self) -> bool {
        self.style == Style::Json
    }

    /// One JSON line with `"event"` and `"unix_time"`, if JSON was asked for.
    pub(super) fn event(&self, name: &str, fields: Value) {
        if self.style != Style::Json {
            return;
        }
        let mut object = json!({ "event": name, "unix_time": unix_time() });
        if let (Value::Object(into), Value::Object(from)) = (&mut object, fields) {
            into.extend(from);
        }
        print_line(&object.to_string());
    }

    /// A line for people; not printed with `--json` or `--quiet`.
    pub(super) fn line(&self, text: &str) {
        if !self.quiet {
            self.last_line(text);
        }
    }

    /// The line that stands for the result; printed with `--quiet` too.
    pub(super) fn last_line(&self, text: &str) {
        match self.style {
            Style::Json => {}
            Style::Plain => print_line(text),
            Style::Bars => self.bars.suspend(|| print_line(text)),
        }
    }

    /// Progress of one torrent called `name`.
    pub(super) fn torrent(&self, name: &str) -> TorrentReporter {
        let bar = self.bars.add(ProgressBar::new(0));
        let style = ProgressStyle::with_template(
            "{prefix:.bold} {percent:>3}% [{bar:24}] {bytes}/{total_bytes} {msg}",
        )
        .expect("the template is constant and valid")
        .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(name.chars().take(32).collect::<String>());
        TorrentReporter {
            reporter: self.clone(),
            bar,
            name: name.to_owned(),
            printed: None,
        }
    }
}

/// Reports the progress of one torrent.
#[derive(Debug)]
pub(super) struct TorrentReporter {
    reporter: Reporter,
    bar: ProgressBar,
    name: String,
    printed: Option<Instant>,
}

impl TorrentReporter {
    /// The torrent's name became known.
    pub(super) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        self.bar
            .set_prefix(name.chars().take(32).collect::<String>());
    }

    /// How it goes now: percent, rate, near and far peers, time to go.
    pub(super) fn progress(&mut self, info_hash: &str, p: &Progress) {
        match self.reporter.style {
            Style::Json => {
                let mut fields = serde_json::to_value(p).unwrap_or_default();
                fields["info_hash"] = json!(info_hash);
                self.reporter.event("progress", fields);
            }
            Style::Bars => {
                self.bar.set_length(p.total_bytes.max(1));
                self.bar.set_position(p.verified_bytes);
                self.bar.set_message(summary(p));
            }
            Style::Plain => {
                if self.printed.is_none_or(|at| at.elapsed() >= PLAIN_PERIOD) {
                    self.printed = Some(Instant::now());
                    self.reporter.line(&format!(
                        "{}: {}% of {}, {}",
                        self.name,
                        percent(p),
                        human(p.total_bytes),
                        summary(p)
                    ));
                }
            }
        }
    }

    /// Who the peers are (JSON only).
    pub(super) fn peers(&self, info_hash: &str, p: &Progress) {
        self.reporter.event(
            "peers",
            json!({ "info_hash": info_hash, "near": p.near, "far": p.far, "peers": p.peers,
                    "directory": p.directory }),
        );
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn percent(p: &Progress) -> u64 {
    (p.verified_bytes * 100)
        .checked_div(p.total_bytes)
        .unwrap_or(0)
}

fn summary(p: &Progress) -> String {
    let mut text = format!(
        "{}/s down, {}/s up, peers {} near {} far",
        human(p.rate_down),
        human(p.rate_up),
        p.near,
        p.far
    );
    if let Some(eta) = p.eta_seconds {
        text.push_str(&format!(", {} to go", human_seconds(eta)));
    }
    text
}

/// `12.3 MiB` and the like.
pub(super) fn human(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// `1h 02m`, `3m 20s`, `12s`.
pub(super) fn human_seconds(s: u64) -> String {
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(human_seconds(12), "12s");
        assert_eq!(human_seconds(200), "3m 20s");
        assert_eq!(human_seconds(3725), "1h 02m");
    }

    #[test]
    fn percent_of_nothing_is_nothing() {
        assert_eq!(percent(&Progress::default()), 0);
        let p = Progress {
            total_bytes: 3,
            verified_bytes: 2,
            ..Progress::default()
        };
        assert_eq!(percent(&p), 66);
    }
}
