//! What the user sees: JSON lines, a progress bar on a terminal, or plain lines without one.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::session::Progress;

/// How often a plain progress line is printed.
const PLAIN_PERIOD: Duration = Duration::from_secs(5);

/// Characters of a name before its bar: with the rest it fits 80 columns.
const PREFIX_CHARS: usize = 20;

/// Characters of a bar.
const BAR_CHARS: usize = 12;

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

/// The text with everything escaped that a terminal would obey rather than show: names come from strangers.
///
/// Control characters, line ends among them, and those that change the direction of writing.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if obeyed(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Writes one line to standard output, [`printable`]; a closed pipe is no error of ours.
pub(super) fn print_line(line: &str) {
    write_line(&printable(line));
}

fn write_line(line: &str) {
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
        write_line(&object.to_string());
    }

    /// A line for people; not printed with `--json` or `--quiet`.
    pub(super) fn line(&self, text: &str) {
        if !self.quiet {
            self.last_line(text);
        }
    }

    /// A line on standard error about what is not as it should be but stops nothing; not printed with `--quiet`.
    pub(super) fn warning(&self, text: &str) {
        self.event("warning", json!({ "message": text }));
        if !self.quiet && self.style != Style::Json {
            let text = printable(text);
            self.aside(|| {
                let _ = writeln!(std::io::stderr().lock(), "chunkcast: warning: {text}");
            });
        }
    }

    /// A line on standard error about what keeps a torrent from going on; printed with `--quiet` too. With JSON `event`.
    pub(super) fn trouble(&self, event: &str, info_hash: &str, name: &str, text: &str) {
        self.event(event, json!({ "info_hash": info_hash, "message": text }));
        if self.style != Style::Json {
            let text = printable(text);
            self.aside(|| {
                let _ = writeln!(std::io::stderr().lock(), "chunkcast: {name}: {text}");
            });
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

    /// Does something to the terminal while no bar is drawn.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        self.bars.suspend(write);
    }

    /// Progress of one torrent called `name`.
    pub(super) fn torrent(&self, name: &str) -> TorrentReporter {
        let bar = self.bars.add(ProgressBar::no_length());
        // the message is cut to the terminal's width; what matters most comes first
        let style = ProgressStyle::with_template("{prefix:.bold} {wide_msg}")
            .expect("the template is constant and valid");
        bar.set_style(style);
        let mut this = TorrentReporter {
            reporter: self.clone(),
            bar,
            name: String::new(),
            begun: Instant::now(),
            printed: None,
        };
        this.rename(name);
        this
    }
}

/// Reports the progress of one torrent.
#[derive(Debug)]
pub(super) struct TorrentReporter {
    reporter: Reporter,
    bar: ProgressBar,
    name: String,
    begun: Instant,
    printed: Option<Instant>,
}

impl TorrentReporter {
    /// The torrent's name became known.
    pub(super) fn rename(&mut self, name: &str) {
        self.name = printable(name).into_owned();
        self.bar
            .set_prefix(self.name.chars().take(PREFIX_CHARS).collect::<String>());
    }

    /// The name as it may be printed.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How it goes now: percent, rate, near and far peers, time to go.
    pub(super) fn progress(&mut self, info_hash: &str, p: &Progress) {
        if self.reporter.style == Style::Json {
            let mut fields = serde_json::to_value(p).unwrap_or_default();
            fields["info_hash"] = json!(info_hash);
            return self.reporter.event("progress", fields);
        }
        match p.checked_pieces {
            Some(n) => self.work("checking", u64::from(n), u64::from(p.pieces_total)),
            None => self.show(p.verified_bytes, p.total_bytes, &summary(p)),
        }
    }

    /// Work on the disk, in any unit: hashing a new torrent, checking what is there. Too short to be worth a line when
    /// it ends within the period of plain lines.
    pub(super) fn work(&mut self, what: &str, done: u64, total: u64) {
        match self.reporter.style {
            Style::Json => {}
            Style::Plain if self.begun.elapsed() < PLAIN_PERIOD => {}
            Style::Plain | Style::Bars => self.show(done, total, what),
        }
    }

    fn show(&mut self, done: u64, total: u64, text: &str) {
        let percent = percent(done, total);
        if self.reporter.style == Style::Bars {
            return self
                .bar
                .set_message(format!("[{}] {percent:>3}% {text}", bar(done, total)));
        }
        if self.printed.is_none_or(|at| at.elapsed() >= PLAIN_PERIOD) {
            self.printed = Some(Instant::now());
            self.reporter
                .line(&format!("{}: {percent}% {text}", self.name));
        }
    }

    /// Who the peers are (JSON only).
    pub(super) fn peers(&self, info_hash: &str, p: &Progress) {
        self.reporter.event(
            "peers",
            json!({ "info_hash": info_hash, "near": p.near, "far": p.far, "web_seeds": p.web_seeds, "peers": p.peers,
                    "directory": p.directory }),
        );
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Of nothing it is 0; 100 only when nothing is missing.
pub(super) fn percent(done: u64, total: u64) -> u64 {
    (u128::from(done) * 100)
        .checked_div(u128::from(total))
        .and_then(|p| u64::try_from(p).ok())
        .unwrap_or(0)
}

/// `====>   `.
fn bar(done: u64, total: u64) -> String {
    let full = usize::try_from(percent(done, total)).unwrap_or(0) * BAR_CHARS / 100;
    let mut text = "=".repeat(full.min(BAR_CHARS));
    if full < BAR_CHARS {
        text.push('>');
    }
    format!("{text:<BAR_CHARS$}")
}

fn summary(p: &Progress) -> String {
    let mut text = format!("of {}, {}/s down", human(p.total_bytes), human(p.rate_down));
    if let Some(eta) = p.eta_seconds {
        text.push_str(&format!(", {} to go", human_seconds(eta)));
    }
    text.push_str(&format!(
        ", {} near {} far, {}/s up",
        p.near,
        p.far,
        human(p.rate_up)
    ));
    if p.web_seeds > 0 {
        text.push_str(&format!(", {}", count(p.web_seeds as usize, "web seed")));
    }
    text
}

/// `1 file`, `2 files`.
pub(super) fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// `1 entry`, `2 entries`.
pub(super) fn entries(n: u64) -> String {
    match n {
        1 => "1 entry".to_owned(),
        n => format!("{n} entries"),
    }
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
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(2, 3), 66);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }

    #[test]
    fn a_bar_is_as_wide_whatever_is_done() {
        for done in 0..=20 {
            assert_eq!(bar(done, 20).chars().count(), BAR_CHARS, "{done}");
        }
        assert_eq!(bar(20, 20), "=".repeat(BAR_CHARS));
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(printable("naïve 名.bin"), "naïve 名.bin");
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("exe.\u{202e}gpj"), "exe.\\u{202e}gpj");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
    }
}
