//! From options to plans, and from a plan to a result.

use std::time::Duration;

use chunkcast::sim::swarm::{self, Place, Plan, RunResult, System, Trouble};
use chunkcast::sim::{InternetSpec, SitesSpec, SpecError};

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

/// Peers from which on shares of links are worked out five times as rarely.
const MANY: usize = 1_000;

/// One plan for each run.
///
/// # Errors
/// [`Fault::Usage`] if the peers, sites or times are out of range.
pub(crate) fn plans(options: &Options) -> Result<Vec<Plan>, Fault> {
    let settings = settings(options);
    settings.iter().map(|s| plan(s, options)).collect()
}

fn plan(setting: &Setting, options: &Options) -> Result<Plan, Fault> {
    let mut plan = Plan::paper(setting.system, setting.slots, setting.seed);
    plan.variant.clone_from(&setting.variant);
    plan.chunks = options.chunks;
    plan.chunk_bytes = options.chunk_bytes;
    if setting.peers >= MANY {
        plan.tick *= 5;
    }
    let mut spec = InternetSpec {
        peers: setting.peers,
        ..InternetSpec::default()
    };
    vary(&setting.variant, &mut plan.trouble, &mut spec);
    let usage = |e: SpecError| Fault::Usage(e.to_string());
    plan.place = match (setting.kind, &options.matrix) {
        (Kind::Sites(sites), _) => {
            let spec = SitesSpec {
                sites,
                per_site: setting.peers.saturating_sub(1) / sites.max(1),
                ..SitesSpec::default()
            };
            spec.validate().map_err(usage)?;
            Place::Sites(spec)
        }
        (Kind::Paper | Kind::Scale, Some(text)) => {
            spec.validate().map_err(usage)?;
            Place::Matrix(text.clone(), spec)
        }
        (Kind::Paper | Kind::Scale, None) => {
            spec.validate().map_err(usage)?;
            Place::Internet(spec)
        }
    };
    Ok(plan)
}

/// What a name from [`VARIANTS`] changes.
fn vary(name: &str, trouble: &mut Trouble, spec: &mut InternetSpec) {
    match name {
        "unequal" => spec.access_spread = 4.0,
        "half-duplex" => spec.half_duplex = true,
        "rtt-biased" => trouble.rtt_bias = true,
        "coordinate-error" => {
            trouble.error_share = 0.1;
            trouble.error = Duration::from_millis(3);
        }
        "joining" => trouble.join_within = Duration::from_secs(600),
        "leaving" => trouble.leave = 0.2,
        "dead-entries" => trouble.dead = 0.05,
        "slow-servers" => trouble.slow = 0.1,
        _ => {}
    }
}

/// Runs one plan.
pub(crate) fn run(plan: &Plan) -> RunResult {
    swarm::run(plan)
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
