//! What must hold for every system, in a swarm that is small enough for a debug build.

use std::time::Duration;

use super::*;
use crate::sim::InternetSpec;

/// 24 peers in 6 stubs, short latencies, 40 chunks of 256 KiB: the bound is 8.4 s.
fn small(system: System, seed: u64) -> Plan {
    let spec = InternetSpec {
        nodes: 60,
        stubs: 6,
        peers: 24,
        median_one_way: Duration::from_millis(5),
        ..InternetSpec::default()
    };
    Plan {
        place: Place::Internet(spec),
        chunks: 40,
        settle: Duration::from_secs(5),
        limit: Duration::from_secs(300),
        ..Plan::paper(system, 6, seed)
    }
}

/// The directory's peers cost most of a test: one ranking of the paper's client stands for all.
const SYSTEMS: [System; 6] = [
    System::Random,
    System::ConstrainedLocality,
    System::BitTorrent,
    System::ChunkCastCloseness,
    System::ChunkCastExtended,
    System::Oracle,
];

fn times(result: &RunResult) -> Vec<f64> {
    let staying = result.downloads.iter().filter(|d| !d.left);
    let mut times: Vec<f64> = staying.filter_map(|d| d.took_s).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn median(result: &RunResult) -> f64 {
    let times = times(result);
    times[times.len() / 2]
}

/// Everyone who stays has everything, and every byte that was sent has gone somewhere.
fn check(result: &RunResult) {
    let name = result.system.name();
    for d in &result.downloads {
        assert!(d.left != d.took_s.is_some(), "{name}: {d:?}");
        assert!(d.left || d.chunks == result.chunks, "{name}: {d:?}");
    }
    let chunks: u64 = result.downloads.iter().map(|d| u64::from(d.chunks)).sum();
    let sent: u64 = result.served.iter().sum();
    let received = chunks * result.chunk_bytes + result.duplicate_bytes + result.lost_bytes;
    assert_eq!(sent, received, "{name}");
    assert!(result.cross_bytes <= sent, "{name}");
}

/// A run that is watched until everything sent has arrived.
fn watched(plan: Plan) -> RunResult {
    let result = run(&Plan {
        tail: Duration::from_secs(1),
        ..plan
    });
    check(&result);
    result
}

#[test]
fn everybody_finishes_and_nobody_beats_the_links_or_the_one_who_knows_everything() {
    let oracle = watched(small(System::Oracle, 1));
    for system in SYSTEMS {
        let result = watched(small(system, 1));
        let (least, name) = (times(&result)[0], system.name());
        assert!(least >= result.bound_s, "{name}: {least} s");
        assert!(median(&result) >= 0.99 * median(&oracle), "{name}");
        assert_eq!(result.lost_bytes, 0, "{name}");
        // no stub has everything without having let everything in
        assert!(result.stub_copies.iter().all(|c| *c >= 1.0), "{name}");
        assert!(result.seed_copies >= 1.0, "{name}");
    }
    assert!(median(&oracle) < 1.25 * oracle.bound_s, "{oracle:?}");
}

#[test]
fn the_same_plan_gives_the_same_run_and_another_seed_another_one() {
    for system in SYSTEMS {
        let plan = Plan {
            chunks: 8,
            ..small(system, 1)
        };
        let first = run(&plan);
        assert_eq!(first, run(&plan), "{}", system.name());
        let other = run(&Plan { seed: 2, ..plan });
        assert_ne!(first.digest, other.digest, "{}", system.name());
    }
}

#[test]
fn half_the_capacity_takes_twice_the_time() {
    for system in [System::Oracle, System::BitTorrent] {
        let time = |share: f64| {
            let mut plan = small(system, 1);
            plan.chunk_bytes = 1 << 20;
            if let Place::Internet(spec) = &mut plan.place {
                spec.access *= share;
                spec.stub_stub *= share;
                spec.stub_transit *= share;
            }
            median(&run(&plan))
        };
        let (whole, half) = (time(1.0), time(0.5));
        let ratio = half / whole;
        assert!(
            (1.8..2.2).contains(&ratio),
            "{system:?}: {whole} s, {half} s"
        );
    }
}

#[test]
fn who_leaves_does_not_finish_and_who_stays_does() {
    for system in SYSTEMS {
        let mut plan = small(system, 1);
        plan.trouble.leave = 0.25;
        let result = watched(plan);
        let left = result.downloads.iter().filter(|d| d.left).count();
        assert!(left > 0 && result.lost_bytes > 0, "{}", system.name());
    }
}

#[test]
fn dead_entries_and_slow_servers_delay_but_stop_nobody() {
    for system in SYSTEMS {
        let mut plan = small(system, 1);
        plan.trouble.dead = 0.1;
        plan.trouble.slow = 0.1;
        plan.trouble.error_share = 0.1;
        plan.trouble.error = Duration::from_millis(3);
        watched(plan);
    }
}

#[test]
fn a_limit_of_uploads_holds_for_the_one_who_knows_everything() {
    let plan = small(System::Oracle, 1);
    let one = watched(Plan { slots: 1, ..plan });
    assert!(one.refused == 0 && one.seed_copies < 2.0);
}
