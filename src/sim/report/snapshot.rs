//! A small run of the paper's setting, with its table as it was: what a change of policy or model does is seen here first.

use std::time::Duration;

use super::*;
use crate::sim::InternetSpec;
use crate::sim::swarm::{Place, Plan, RunResult, System, run};

/// The paper's table for 20 peers in 5 stubs, with a fixed seed. After a change of policy that is meant to change it:
/// `CHUNKCAST_UPDATE_SNAPSHOT=1 cargo test -p chunkcast --features sim a_small_paper_run`, and look at the difference.
#[test]
fn a_small_paper_run_gives_this_table() {
    let place = Place::Internet(InternetSpec {
        nodes: 60,
        stubs: 5,
        peers: 20,
        ..InternetSpec::default()
    });
    let systems = [
        System::BitTorrent,
        System::ChunkCastCloseness,
        System::ChunkCastExtended,
        System::Oracle,
    ];
    let results: Vec<RunResult> = systems
        .into_iter()
        .map(|system| {
            run(&Plan {
                place: place.clone(),
                chunks: 60,
                settle: Duration::from_secs(20),
                ..Plan::paper(system, 6, 1)
            })
        })
        .collect();
    let table = tables(&summarize(&results));
    if std::env::var_os("CHUNKCAST_UPDATE_SNAPSHOT").is_some() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/sim/report/small_paper.txt"
        );
        std::fs::write(file, &table).expect("the source can be written");
    }
    assert_eq!(table, include_str!("small_paper.txt"), "\n{table}");
}
