//! How well coordinates predict round trips in a whole network: after a cold start, for a newcomer, among liars and
//! after a move. The synthetic matrix is a little harder than the one measured on PlanetLab; the bounds are the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/coords/trial.rs"]
mod trial;

use std::time::Duration;

use chunkcast::coords::{RttMatrix, VivaldiConfig};

use trial::{LIES, Lie, Trial};

/// One cold start of 200 hosts, everybody at the origin.
fn started(lie: Option<Lie>, part: f64, seed: u64) -> Trial {
    let matrix = RttMatrix::synthetic(200, seed);
    let mut trial = Trial::new(&matrix, &VivaldiConfig::default(), part, lie, seed);
    trial.queueing = Duration::from_millis(2);
    trial.run(200);
    trial
}

#[test]
fn hosts_that_all_start_at_once_predict_each_other_within_nine_percent() {
    for seed in [1, 2] {
        let trial = started(None, 1.0, seed);
        let error = trial.median_error();
        assert!(error <= 0.095, "seed {seed}: {error:.3}");
        let claimed = trial.claimed_error();
        assert!(
            claimed > error * 0.5 && claimed < error * 2.0,
            "seed {seed}: the nodes claim {claimed:.3}, it is {error:.3}"
        );
    }
}

#[test]
fn a_newcomer_is_placed_after_eight_samples() {
    let mut trial = started(None, 0.9, 3);
    let errors = trial.newcomers(&VivaldiConfig::default(), &[8, 64]);
    assert!(errors[0] <= 0.12, "after 8: {:.3}", errors[0]);
    assert!(errors[1] <= 0.10, "after 64: {:.3}", errors[1]);
}

#[test]
fn ten_percent_liars_cost_little_whatever_they_say() {
    for lie in LIES {
        let mut trial = started(Some(lie), 0.9, 4);
        let error = trial.median_error();
        assert!(error <= 0.1, "{lie:?}: {error:.3}");
        let newcomer = trial.newcomers(&VivaldiConfig::default(), &[16])[0];
        assert!(newcomer <= 0.15, "{lie:?}, newcomer: {newcomer:.3}");
    }
}

#[test]
fn the_defence_costs_nothing_when_nobody_lies() {
    let matrix = RttMatrix::synthetic(150, 5);
    let error = |outlier: f64| {
        let config = VivaldiConfig {
            outlier,
            ..VivaldiConfig::default()
        };
        let mut trial = Trial::new(&matrix, &config, 1.0, None, 5);
        trial.run(200);
        trial.median_error()
    };
    let (guarded, trusting) = (error(VivaldiConfig::default().outlier), error(1e6));
    assert!(
        guarded <= 1.05 * trusting,
        "{guarded:.3} against {trusting:.3}"
    );
}

#[test]
fn settled_nodes_stay_where_they_are() {
    let mut trial = started(None, 1.0, 6);
    let before = trial.median_error();
    let (usual, longest) = trial.movement(50);
    assert!(usual < 0.002, "{usual} s a sample");
    assert!(longest <= 0.0501, "{longest} s");
    let after = trial.median_error();
    assert!(after <= before * 1.1, "{before:.3} became {after:.3}");
}

#[test]
fn a_host_that_moves_finds_its_new_place() {
    let mut trial = started(None, 0.9, 7);
    let errors = trial.relocate(0, 250);
    let at_last = errors[200..].iter().copied().fold(0.0, f64::max);
    assert!(
        at_last < 0.3,
        "{at_last:.3} after 200 samples: {errors:.2?}"
    );
    assert!(errors[0] > at_last, "the move shows at first: {errors:.2?}");
}
