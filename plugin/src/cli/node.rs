//! `chunkcast node`: an index node alone.

use std::collections::BTreeMap;
use std::time::Duration;

use chunkcast::node::{Snapshot, Traffic};
use serde_json::json;

use super::args::NodeArgs;
use super::exit::Failure;
use super::output::{Reporter, human};
use super::signal::{interrupted, stdin_closed};
use super::torrents::{index_failure, resolve_all};
use crate::session::start_index_node;

/// How often the status line is printed.
const STATUS_PERIOD: Duration = Duration::from_secs(30);

/// Runs an index node until it is interrupted.
///
/// # Errors
/// [`Failure`] with code 4 when the address is taken or a bootstrap name does not resolve.
pub(super) async fn run(args: &NodeArgs) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, args.quiet);
    let mut end = std::pin::pin!(interrupted());
    let mut stdin = std::pin::pin!(stdin_closed(args.until_stdin_closes));
    let bootstrap = resolve_all(&args.bootstrap, "--bootstrap").await?;
    let node = start_index_node(args.index_listen, bootstrap)
        .await
        .map_err(|e| index_failure(&e))?;
    reporter.event(
        "listening",
        json!({ "index": node.local_addr().to_string(), "id": node.id().to_string() }),
    );
    reporter.line(&format!(
        "index node {} on {}",
        node.id(),
        node.local_addr()
    ));
    let mut period =
        tokio::time::interval_at(tokio::time::Instant::now() + STATUS_PERIOD, STATUS_PERIOD);
    loop {
        tokio::select! {
            () = &mut end => break,
            () = &mut stdin => break,
            _ = period.tick() => {
                if let Some(s) = node.snapshot().await {
                    reporter.event("status", serde_json::to_value(&s).unwrap_or_default());
                    reporter.line(&status(&s));
                }
            }
        }
    }
    node.shutdown().await;
    Ok(())
}

/// The state of an index node on one line.
fn status(s: &Snapshot) -> String {
    let entries: usize = s.entries.values().sum();
    let sum =
        |kinds: &BTreeMap<&'static str, Traffic>| kinds.values().map(|t| t.bytes).sum::<u64>();
    format!(
        "{}: {} nodes known, {} in the leaf set, {entries} entries of {} objects; {} sent, {} received",
        if s.joined { "in the ring" } else { "joining" },
        s.peers,
        s.leaves.len(),
        s.entries.len(),
        human(sum(&s.counters.sent)),
        human(sum(&s.counters.received)),
    )
}
