//! The log on standard error: text or JSON, levels by target.
//!
//! Addresses and infohashes are told at DEBUG and below only. Libraries are silent unless a filter names them: they report
//! what strangers do to them as errors.

use std::io::IsTerminal;

use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use crate::daemon::config::LogFormat;

/// The crates that are ours.
const OURS: [&str; 2] = ["chunkcast", "chunkcast_bittorrent"];

/// The filter of a running log.
#[derive(Clone, Debug)]
pub(super) struct Log(reload::Handle<EnvFilter, Registry>);

/// The level that so many `-v` ask for.
pub(super) fn level(verbose: u8) -> &'static str {
    match verbose {
        0 => "error",
        1 => "info",
        2 => "debug",
        _ => "trace",
    }
}

/// Begins to log what `filter` lets through, or `RUST_LOG` if that is set.
pub(super) fn start(format: LogFormat, filter: &str) -> Log {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| read(filter));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_span_events(FmtSpan::NONE);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Auto if journal() => lines.without_time().boxed(),
        LogFormat::Auto | LogFormat::Text => lines.boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    Log(handle)
}

impl Log {
    /// Another filter from now on, unless `RUST_LOG` is set.
    pub(super) fn set(&self, filter: &str) {
        if EnvFilter::try_from_default_env().is_err() {
            let _ = self.0.reload(read(filter));
        }
    }
}

/// A filter in which a level alone is one for our crates. What is no filter was told of when the configuration was read.
fn read(filter: &str) -> EnvFilter {
    let part = |part: &str| match part.contains('=') || part.parse::<tracing::Level>().is_err() {
        true => part.to_owned(),
        false => OURS.map(|target| format!("{target}={part}")).join(","),
    };
    let parts: Vec<String> = filter.split(',').map(str::trim).map(part).collect();
    EnvFilter::try_new(format!("off,{}", parts.join(","))).unwrap_or_default()
}

/// Whether standard error goes to systemd's journal, which has times of its own (systemd.exec(5), `JOURNAL_STREAM`).
fn journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_for_our_crates() {
        let words = |filter: &str| {
            let text = read(filter).to_string();
            let mut words: Vec<String> = text.split(',').map(str::to_owned).collect();
            words.sort();
            words
        };
        let ours = ["chunkcast=info", "chunkcast_bittorrent=info"];
        assert_eq!(words("info"), [&ours[..], &["off"]].concat());
        assert_eq!(
            words("hyper=debug, info"),
            [&ours[..], &["hyper=debug", "off"]].concat()
        );
    }
}
