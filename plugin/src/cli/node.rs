//! `chunkcast node`: an index node alone.

use std::collections::BTreeMap;
use std::time::Duration;

use chunkcast::driver::State;
use chunkcast::node::{Snapshot, Traffic};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::args::NodeArgs;
use super::exit::Failure;
use super::index;
use super::output::{Reporter, count, entries, human};
use super::signal::{interrupted, stdin_closed};
use super::torrents::{index_failure, resolve_all};
use crate::discovery::portmap::unmap;
use crate::session::{IndexNode, start_index_node, unanswered};
use crate::state::User;

/// After this time without an answer of a node that was named, it says so.
const PATIENCE: Duration = Duration::from_secs(10); // guess: two joins that nobody answers

/// Runs an index node until it is interrupted.
///
/// # Errors
/// [`Failure`] with code 4 when the address is taken or a bootstrap name does not resolve, 6 when a named state
/// directory or control socket cannot be used.
pub(super) async fn run(args: &NodeArgs) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, args.quiet);
    let mut end = std::pin::pin!(interrupted());
    let mut stdin = std::pin::pin!(stdin_closed(args.until_stdin_closes));
    let bootstrap = resolve_all(&args.bootstrap, "--bootstrap").await?;
    let settings = index::settings(&args.index, User::Node, &reporter)?;
    let node = start_index_node(args.index_listen, bootstrap, settings.clone())
        .await
        .map_err(|e| index_failure(&e))?;
    let control = index::control(args.index.control.as_deref(), &settings, &node, &reporter)?;
    let ports = index::map_port(&args.index, &node);
    let dht = index::rendezvous(&args.index, args.no_dht, &args.dht_bootstrap, &node);
    reporter.event(
        "listening",
        json!({ "index": node.local_addr().to_string(), "id": node.id().to_string(),
                "control": control.as_ref().map(|c| c.path().display().to_string()) }),
    );
    reporter.line(&format!(
        "index node {} on {}",
        node.id(),
        node.local_addr()
    ));
    let mut changes = node.changes();
    let mut told = Told(State {
        id: node.id(),
        ..State::default()
    });
    // no period is one that never ends
    let period = match args.status_every {
        0 => Duration::from_secs(1 << 32),
        seconds => Duration::from_secs(seconds.min(1 << 32)),
    };
    let mut tick = tokio::time::interval_at(Instant::now() + period, period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Totals::default();
    let patience = tokio::time::sleep(PATIENCE);
    let mut patience = std::pin::pin!(patience);
    let mut waits = !args.bootstrap.is_empty();
    loop {
        let state = changes.borrow_and_update().clone();
        if told.news(&state, &reporter) {
            last = tell(&node, &last, &reporter).await;
        }
        waits &= !state.joined;
        tokio::select! {
            () = &mut end => break,
            () = &mut stdin => break,
            _ = tick.tick() => last = tell(&node, &last, &reporter).await,
            () = &mut patience, if waits => {
                waits = false;
                reporter.warning(&format!(
                    "no index node has answered at {} (--bootstrap) yet: {} This node goes on trying",
                    args.bootstrap.join(", "),
                    unanswered(&settings.network)
                ));
            }
            _ = changes.changed() => {}
        }
    }
    drop(control);
    tokio::join!(node.shutdown(), unmap(ports));
    if let Some(dht) = dht {
        dht.stop().await;
    }
    Ok(())
}

/// What has been told of a node's changes.
#[derive(Debug)]
struct Told(State);

impl Told {
    /// Tells what is new; whether it is worth a status line.
    fn news(&mut self, state: &State, reporter: &Reporter) -> bool {
        let mut news = false;
        if state.joined && !self.0.joined {
            reporter.event("joined", json!({}));
            news = true;
        }
        if state.id != self.0.id {
            reporter.event("moved", json!({ "id": state.id.to_string() }));
            reporter.line(&format!(
                "this node is {} now, an id that fits its address",
                state.id
            ));
        }
        if state.clock_off != self.0.clock_off {
            reporter.warning(
                "the clock of this machine and those of other index nodes differ by more than ten minutes: set it, or \
                 the others ignore what this node publishes",
            );
        }
        if let Some(addr) = state.observed.filter(|a| Some(*a) != self.0.observed) {
            reporter.event("observed", json!({ "addr": addr.to_string() }));
            reporter.line(&format!("others see this node at {addr}"));
            news = true;
        }
        self.0 = state.clone();
        news
    }
}

/// What a rate is computed from.
#[derive(Debug)]
struct Totals {
    at: Instant,
    sent: u64,
    received: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            at: Instant::now(),
            sent: 0,
            received: 0,
        }
    }
}

impl Totals {
    fn of(s: &Snapshot) -> Self {
        let sum =
            |kinds: &BTreeMap<&'static str, Traffic>| kinds.values().map(|t| t.bytes).sum::<u64>();
        Self {
            at: Instant::now(),
            sent: sum(&s.counters.sent),
            received: sum(&s.counters.received),
        }
    }

    /// Bytes a second sent and received since `before`, over a second at least: a line between two others follows a
    /// burst of messages.
    fn since(&self, before: &Self) -> (u64, u64) {
        let ms = (self.at - before.at).as_millis().max(1000);
        let rate = |now: u64, then: u64| {
            let bytes = u128::from(now.saturating_sub(then));
            u64::try_from(bytes * 1000 / ms).unwrap_or(u64::MAX)
        };
        (
            rate(self.sent, before.sent),
            rate(self.received, before.received),
        )
    }
}

/// Tells how the node is; what the next rates are computed from.
async fn tell(node: &IndexNode, last: &Totals, reporter: &Reporter) -> Totals {
    let Some(s) = node.snapshot().await else {
        return Totals::default(); // it ends
    };
    let totals = Totals::of(&s);
    let (up, down) = totals.since(last);
    let mut event = node.shown(&s);
    event["bytes_per_second_out"] = json!(up);
    event["bytes_per_second_in"] = json!(down);
    reporter.event("status", event);
    reporter.line(&status(&s, up, down));
    totals
}

/// The state of an index node on one line.
fn status(s: &Snapshot, up: u64, down: u64) -> String {
    let c = &s.counters;
    let nearest = s.nearest_rtt_us.map_or(String::new(), |us| {
        format!(", nearest {}", milliseconds(us))
    });
    let silent = match s.suspects {
        0 => String::new(),
        n => format!(" ({n} silent)"),
    };
    let [x, y, z] = s.coord.position.map(|v| v * 1e3);
    let as_root = match (c.lookups_answered_as_root * 100).checked_div(c.lookups_answered) {
        Some(percent) => format!(" ({percent} % as root)"),
        None => String::new(),
    };
    format!(
        "{}: {}, {} known{silent}{nearest}, at ({x:.1}, {y:.1}, {z:.1}) + {:.1} ms, error {:.0} %; \
         {} of {}, {}; {} answered{as_root}, {}; {}/s up, {}/s down",
        if s.joined { "in the ring" } else { "joining" },
        count(s.leaves.len(), "neighbour"),
        count(s.peers, "node"),
        s.coord.height * 1e3,
        s.coord.error * 100.0,
        entries(s.entries.values().sum::<usize>() as u64),
        count(s.entries.len(), "object"),
        human(s.cache_bytes as u64),
        count(
            usize::try_from(c.lookups_answered).unwrap_or(usize::MAX),
            "lookup"
        ),
        count(
            usize::try_from(c.drops.values().sum::<u64>()).unwrap_or(usize::MAX),
            "drop"
        ),
        human(up),
        human(down),
    )
}

/// `0.34 ms`, `12.3 ms`.
fn milliseconds(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{:02} ms", us / 1000, us % 1000 / 10),
        _ => format!("{}.{} ms", us / 1000, us % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_two_lines() {
        let begin = Instant::now();
        let at = |ms, sent, received| Totals {
            at: begin + Duration::from_millis(ms),
            sent,
            received,
        };
        assert_eq!(at(2_000, 5_000, 700).since(&at(0, 1_000, 700)), (2_000, 0));
        assert_eq!(at(2, 300, 5).since(&at(0, 0, 0)), (300, 5));
    }

    #[test]
    fn short_times_are_shown_to_the_hundredth() {
        assert_eq!(milliseconds(42), "0.04 ms");
        assert_eq!(milliseconds(9_999), "9.99 ms");
        assert_eq!(milliseconds(12_345), "12.3 ms");
    }
}
