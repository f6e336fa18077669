//! From options to plans, and from a plan to a result.

use chunkcast::sim::swarm::{RunResult, System};

use crate::fault::Fault;
use crate::options::{Kind, Options};

/// What `--variants` understands, in the order of reports; the first varies nothing.
pub(crate) const VARIANTS: [&str; 9] = [
    "plain",
    "unequal",
    "half-duplex",
    "rtt-biased",
    "coordinate-error",
    "joining",
    "leaving",
    "dead-entries",
    "slow-servers",
];

/// One run, as the command line says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// What is simulated.
    pub(crate) kind: Kind,
    /// A name from [`VARIANTS`].
    pub(crate) variant: String,
    /// Peers, the seed included.
    pub(crate) peers: usize,
    /// Upload slots; 0: no limit.
    pub(crate) slots: usize,
    /// The system.
    pub(crate) system: System,
    /// The topology's seed.
    pub(crate) seed: u64,
}

/// One setting for each combination, in the order of reports: variants, then sizes, slots, systems, topologies.
pub(crate) fn settings(options: &Options) -> Vec<Setting> {
    let mut settings = Vec::new();
    for variant in &options.variants {
        for peers in &options.peers {
            for slots in &options.slots {
                for system in &options.systems {
                    settings.extend(options.seeds.iter().map(|seed| Setting {
                        kind: options.kind,
                        variant: variant.clone(),
                        peers: *peers,
                        slots: *slots,
                        system: *system,
                        seed: *seed,
                    }));
                }
            }
        }
    }
    settings
}

// What follows stands in for the swarm's own plan and runner, and is all that they replace.

/// Stands in for the swarm's plan.
pub(crate) type Plan = Setting;

/// One plan for each run.
///
/// # Errors
/// [`Fault::Usage`] if a combination cannot be; here always [`Fault::Failed`], so that no number is made up.
pub(crate) fn plans(options: &Options) -> Result<Vec<Plan>, Fault> {
    let n = settings(options).len();
    Err(Fault::Failed(format!(
        "{n} runs of {} chunks of {} bytes{}: this build has no model of swarms; take one that has",
        options.chunks,
        options.chunk_bytes,
        if options.matrix.is_some() {
            " on a matrix"
        } else {
            ""
        },
    )))
}

/// Runs one plan.
pub(crate) fn run(plan: &Plan) -> RunResult {
    unreachable!("there is no plan to run, {plan:?} neither")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Form;

    #[test]
    fn settings_come_in_the_order_of_reports() {
        let options = Options {
            kind: Kind::Paper,
            seeds: vec![7, 8],
            peers: vec![180],
            variants: ["plain", "unequal"].map(str::to_owned).into(),
            slots: vec![0, 6],
            systems: vec![System::Random, System::Oracle],
            chunks: 10,
            chunk_bytes: 1,
            matrix: None,
            jobs: 1,
            form: Form::Tables,
            svg: None,
        };
        let settings = settings(&options);
        assert_eq!(settings.len(), 16);
        let key = |s: &Setting| (s.variant.clone(), s.slots, s.system, s.seed);
        assert!(settings.is_sorted_by_key(key));
        assert_eq!(key(&settings[1]), ("plain".into(), 0, System::Random, 8));
    }
}
