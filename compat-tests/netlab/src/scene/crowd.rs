//! Many peers behind slow links: one engine at all places, or ChunkCast among stock clients.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::{chunkcast, exit_code, print, tell, tell_versions, versions};
use crate::cast::Cast;
use crate::check::{Checked, check};
use crate::cli::{Common, MixedArgs, Shared, Uniform};
use crate::engine::{Chunkcast, Directory, Engine, meeting};
use crate::fault::Interrupt;
use crate::lab::{Lab, Spec};
use crate::ns::Set;
use crate::report::{self, Bounds, mixed};
use crate::run::{Means, Run};
use crate::torrent::Source;

/// A run may take so many times the bound: 15 downloaders that give each other nothing need 16 of them from their seed.
/// // measured: librqbit 9.1.0
const PATIENCE: f64 = 20.0;

/// Each engine alone.
///
/// # Errors
/// When the network cannot be had, or something cannot be started.
pub(crate) fn uniform(
    spec: Spec,
    shared: &Shared,
    uniform: &Uniform,
    args: &Common,
) -> Result<ExitCode> {
    let peers = spec.leechers.iter().sum::<usize>() + 1;
    let casts = uniform.engines.iter().map(|e| Cast::uniform(*e, peers));
    let chunkcast = chunkcast(args, Directory::of(uniform.cold), uniform.no_pex);
    let done = measure(spec, &casts.collect::<Vec<_>>(), shared, &chunkcast, args)?;
    let text = if args.json {
        report::document(&done.setting(), &done.runs).to_string()
    } else {
        report::tables(&done.runs, &done.spec, &done.bounds).join("\n")
    };
    print(&text)?;
    Ok(exit_code(done.runs.iter().map(report::failures).sum()))
}

/// Some of ChunkCast among stock clients, with each seed.
///
/// # Errors
/// As for [`uniform`].
pub(crate) fn mixed(spec: Spec, args: &MixedArgs) -> Result<ExitCode> {
    let leechers = spec.leechers.iter().sum();
    let casts = args.seeds.iter();
    let casts: Vec<Cast> = casts
        .map(|seed| Cast::mixed(*seed, &args.stock, leechers, args.ours()))
        .collect();
    let directory = if args.no_directory {
        Directory::None
    } else {
        Directory::Warm
    };
    let chunkcast = chunkcast(&args.common, directory, false);
    let done = measure(spec, &casts, &args.shared, &chunkcast, &args.common)?;
    let text = if args.common.json {
        mixed::document(&done.setting(), &done.runs).to_string()
    } else {
        mixed::tables(&done.runs, &done.bounds).join("\n")
    };
    print(&text)?;
    Ok(exit_code(done.runs.iter().map(report::failures).sum()))
}

/// What was measured, and in which setting.
struct Done {
    spec: Spec,
    bounds: Bounds,
    piece: u64,
    checked: Checked,
    versions: Vec<(Engine, String)>,
    runs: Vec<Run>,
}

impl Done {
    fn setting(&self) -> report::Setting<'_> {
        report::Setting {
            spec: &self.spec,
            bounds: &self.bounds,
            piece: self.piece,
            checked: &self.checked,
            versions: &self.versions,
        }
    }
}

fn measure(
    spec: Spec,
    casts: &[Cast],
    shared: &Shared,
    chunkcast: &Chunkcast,
    args: &Common,
) -> Result<Done> {
    let interrupt = Interrupt::install()?;
    let set = Set::new(&std::env::temp_dir())?;
    let engines: Vec<Engine> = casts.iter().flat_map(Cast::engines).copied().collect();
    let versions = versions(&engines, chunkcast)?;
    let bounds = Bounds::of(&spec, shared.size);
    let tracker = meeting::announce_url();
    let source = Source::make(set.dir(), shared.size, shared.piece, &tracker)?;
    tell(&format!(
        "netlab: {} peers at {} sites; bound {:.1} s{}",
        spec.leechers.iter().sum::<usize>() + 1,
        spec.leechers.len(),
        bounds.longest(),
        spec.wan.map_or_else(String::new, |_| format!(
            ", {:.1} s at the seed's own site",
            bounds.own
        )),
    ));
    let mut lab = Lab::build(set, spec)?;
    let checked = check(&lab, &interrupt)?;
    show(&checked);
    tell_versions(&versions);
    let deadline = args
        .timeout
        .unwrap_or_else(|| Duration::from_secs_f64((bounds.longest() * PATIENCE).max(30.0)));
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        for cast in casts {
            interrupt.check()?;
            let mut means = Means {
                lab: &mut lab,
                source: &source,
                chunkcast,
                deadline,
                keep: args.keep.as_deref(),
                interrupt: &interrupt,
            };
            let run = means.run(cast, number)?;
            tell(&format!(
                "netlab: {} run {number}: {:.1} s, {} of {} complete",
                cast.name(),
                run.seconds,
                run.outcomes.len() - report::failures(&run),
                run.outcomes.len(),
            ));
            runs.push(run);
        }
    }
    Ok(Done {
        spec: lab.spec.clone(),
        bounds,
        piece: shared.piece,
        checked,
        versions,
        runs,
    })
}

fn show(checked: &Checked) {
    for f in &checked.findings {
        tell(&format!(
            "netlab: checked {}: asked {:.1} {}, found {:.2}",
            f.what, f.asked, f.unit, f.found
        ));
    }
    tell(&format!("netlab: congestion control {}", checked.algorithm));
}
