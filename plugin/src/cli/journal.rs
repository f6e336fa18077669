//! What becomes of a daemon's torrents, for the log: by name at INFO, with infohashes at DEBUG.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use tokio::sync::broadcast::error::RecvError;
use tracing::{debug, info, warn};

use crate::daemon::{Daemon, Event, InfoHash};

/// Writes down what happens, until the daemon has ended.
pub(super) async fn keep(daemon: Daemon) {
    let mut events = daemon.subscribe();
    let mut names = Names::default();
    loop {
        match events.recv().await {
            Ok(Event::Tick) => {}
            Ok(event) => tell(&event, &mut names, &daemon),
            Err(RecvError::Lagged(missed)) => debug!("{missed} events were missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn tell(event: &Event, names: &mut Names, daemon: &Daemon) {
    match event {
        Event::Added(hash) => {
            info!("{}: added", names.of(*hash, daemon));
            debug!("{hash}: added");
        }
        Event::Metadata(hash) => {
            names.0.remove(hash);
            info!("{}: its metadata is there", names.of(*hash, daemon));
            debug!("{hash}: its metadata is there");
        }
        Event::Complete(hash) => {
            info!("{}: complete", names.of(*hash, daemon));
            debug!("{hash}: complete");
        }
        Event::Removed(hash) => {
            info!("{}: removed", names.of(*hash, daemon));
            debug!("{hash}: removed");
            names.0.remove(hash);
        }
        Event::State(hash, state) => debug!("{hash}: {state:?}"),
        Event::Trouble(hash, line) => {
            warn!("{}: {}", names.of(*hash, daemon), without_strangers(line));
            debug!("{hash}: {line}");
        }
        Event::Tick => {}
    }
}

/// Names of torrents: one that is gone is not in the listing any more.
#[derive(Debug, Default)]
struct Names(BTreeMap<InfoHash, String>);

impl Names {
    fn of(&mut self, hash: InfoHash, daemon: &Daemon) -> &str {
        let name = self.0.entry(hash).or_default();
        let listing = daemon.list();
        if let Some(torrent) = listing.torrents.iter().find(|t| t.info_hash == hash) {
            name.clone_from(&torrent.name);
        }
        match name.as_str() {
            // without a name it is called by its infohash
            "" => "a torrent",
            name if name.parse::<InfoHash>().is_ok() => "a torrent without a name",
            name => name,
        }
    }
}

/// A line in which addresses and infohashes have given way to what they are.
fn without_strangers(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, more) = rest.split_at(end);
        // a sentence may go on, or end, behind it
        let bare = word.trim_end_matches([':', '.']);
        let (stranger, kept) = match () {
            () if is_address(word) => ("(address)", ""),
            () if is_address(bare) => ("(address)", &word[bare.len()..]),
            () if bare.parse::<InfoHash>().is_ok() => ("(infohash)", &word[bare.len()..]),
            () => ("", word),
        };
        out.push_str(stranger);
        out.push_str(kept);
        let end = more.find(is_part).unwrap_or(more.len());
        out.push_str(&more[..end]);
        rest = &more[end..];
    }
    out
}

/// Whether an address may have it in it.
fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '[' | ']' | '%')
}

fn is_address(word: &str) -> bool {
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    word.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strangers_are_left_out_and_all_else_stays() {
        for (line, told) in [
            (
                "cannot connect to 192.0.2.1:80: refused.",
                "cannot connect to (address): refused.",
            ),
            (
                "[2001:db8::1]:6881, 2001:db8::1 and 192.0.2.1",
                "(address), (address) and (address)",
            ),
            (
                "no torrent 00112233445566778899aabbccddeeff00112233 is here",
                "no torrent (infohash) is here",
            ),
            (
                "the disk is full: cannot write \"/srv/a:b/1.2.3\" (12:30); at 100 %",
                "the disk is full: cannot write \"/srv/a:b/1.2.3\" (12:30); at 100 %",
            ),
            (
                "http://tracker.example:6969/announce",
                "http://tracker.example:6969/announce",
            ),
        ] {
            assert_eq!(without_strangers(line), told);
        }
    }

    proptest! {
        #[test]
        fn any_line_without_digits_stays_as_it_is(line in "[^0-9]*") {
            // `::` is an address, and so is what has letters up to f around it
            prop_assume!(!line.contains("::"));
            prop_assert_eq!(without_strangers(&line), line);
        }

        #[test]
        fn any_line_is_survived(line in any::<String>(), more in "[0-9a-f.:\\[\\]% ]{0,40}") {
            let told = without_strangers(&format!("{line}{more}"));
            prop_assert!(told.split(|c| !is_part(c)).all(|word| !is_address(word)), "{}", told);
            prop_assert_eq!(without_strangers(&told), told);
        }
    }
}
