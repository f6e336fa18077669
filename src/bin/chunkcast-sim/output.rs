//! Runs swarms and says what came out.

use std::path::Path;

use chunkcast::sim::report::{
    compare_sizes, compare_variants, csv, everything, execute, progress, site_links, summarize,
    tables, write_figures, write_scale,
};
use chunkcast::sim::swarm::RunResult;

use crate::fault::Fault;
use crate::options::{Form, Kind, Options, Swarms};
use crate::swarms::{plans, run};

/// Runs and prints; progress goes to stderr.
pub(crate) fn swarms(args: &Swarms) -> Result<(), Fault> {
    let options = Options::read(args)?;
    let plans = plans(&options)?;
    if let Some(dir) = &options.svg {
        // a folder that cannot be made is better said now than after the runs
        std::fs::create_dir_all(dir).map_err(|e| no_pictures(dir, &e))?;
    }
    eprintln!("{} runs, {} at a time", plans.len(), options.jobs);
    let results = execute(&plans, options.jobs, run, |done, all, r| {
        eprintln!("{}", progress(done, all, r));
    });
    print!("{}", text(&options, &results)?);
    if let Some(dir) = &options.svg {
        pictures(&options, &results, dir)?;
    }
    Ok(())
}

/// Prints a report with every number, over several lines.
pub(crate) fn print_json(report: &impl serde::Serialize) -> Result<(), Fault> {
    let json = serde_json::to_string_pretty(report).map_err(|e| e.to_string())?;
    println!("{json}");
    Ok(())
}

fn text(options: &Options, results: &[RunResult]) -> Result<String, Fault> {
    match options.form {
        Form::Json => {
            let json = serde_json::to_string(&everything(results)).map_err(|e| e.to_string())?;
            Ok(json + "\n")
        }
        Form::Csv => Ok(csv(results)),
        Form::Tables => {
            let summaries = summarize(results);
            let more = match options.kind {
                Kind::Paper => compare_variants(&summaries),
                Kind::Scale => compare_sizes(&summaries),
                Kind::Sites(_) => site_links(results),
            };
            let parts = [tables(&summaries), more];
            let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            Ok(parts.join("\n"))
        }
    }
}

fn pictures(options: &Options, results: &[RunResult], dir: &Path) -> Result<(), Fault> {
    let mut files = write_figures(results, dir).map_err(|e| no_pictures(dir, &e))?;
    if options.kind == Kind::Scale {
        files.extend(write_scale(results, dir).map_err(|e| no_pictures(dir, &e))?);
    }
    eprintln!("{} pictures in {}", files.len(), dir.display());
    Ok(())
}

fn no_pictures(dir: &Path, e: &std::io::Error) -> Fault {
    Fault::Failed(format!(
        "--svg: {}: {e}; name a folder that can be written",
        dir.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chunkcast::sim::swarm::{Cost, Download, System};

    fn options(kind: Kind, form: Form, svg: Option<std::path::PathBuf>) -> Options {
        Options {
            kind,
            seeds: vec![1],
            peers: vec![2],
            variants: vec!["plain".into()],
            slots: vec![6],
            systems: vec![System::Random],
            chunks: 10,
            chunk_bytes: 100_000,
            matrix: None,
            jobs: 1,
            form,
            svg,
        }
    }

    /// One downloader, done after so long.
    fn result(seed: u64, peers: usize, took_s: Option<f64>) -> RunResult {
        RunResult {
            system: System::Random,
            slots: 6,
            variant: String::new(),
            seed,
            peers,
            chunks: 10,
            chunk_bytes: 100_000,
            bound_s: 100.0,
            ended_s: 200.0,
            downloads: vec![Download {
                peer: 1,
                stub: 0,
                took_s,
                left: false,
                chunks: 10,
            }],
            served: vec![1_000_000, 0],
            stub_copies: vec![1.0],
            seed_copies: 1.0,
            cross_bytes: 1_000_000,
            link_bytes: vec![500_000, 2_000_000],
            goodput: vec![500_000; 2],
            directory: Cost::default(),
            upkeep: Cost::default(),
            directory_bytes: vec![0; 2],
            refused: 0,
            duplicate_bytes: 0,
            lost_bytes: 0,
            digest: 1,
        }
    }

    #[test]
    fn json_holds_summaries_and_whole_runs() {
        let runs = [result(1, 2, Some(150.0)), result(2, 2, None)];
        let text = text(&options(Kind::Paper, Form::Json, None), &runs).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["summaries"].as_array().unwrap().len(), 1);
        assert_eq!(value["summaries"][0]["system"], "random");
        assert_eq!(value["summaries"][0]["median"]["least"], 1.5);
        assert!(value["summaries"][0]["median"]["most"].is_null());
        assert_eq!(value["runs"][0]["figures"]["seconds"]["slowest"], 150.0);
        assert_eq!(value["runs"][0]["result"]["link_bytes"][1], 2_000_000);
        assert_eq!(value["runs"][1]["result"]["downloads"][0]["left"], false);
    }

    #[test]
    fn each_subcommand_adds_the_comparison_that_it_is_for() {
        let sizes = [result(1, 2, Some(150.0)), result(1, 9, Some(160.0))];
        let of = |kind, runs: &[RunResult]| text(&options(kind, Form::Tables, None), runs).unwrap();
        assert!(of(Kind::Scale, &sizes).contains("directory, messages a peer"));
        assert!(!of(Kind::Paper, &sizes).contains("directory, messages a peer"));
        assert!(
            of(Kind::Sites(2), &sizes[..1]).contains("copies of the file over each site's link")
        );
        let varied = RunResult {
            variant: "unequal".into(),
            ..result(1, 2, Some(170.0))
        };
        let varied = of(Kind::Paper, &[result(1, 2, Some(150.0)), varied]);
        assert!(varied.contains("unequal  1.70 (1.70)"), "{varied}");
    }

    #[test]
    fn pictures_of_the_sweep_are_drawn_by_scale_alone() {
        let dir = std::env::temp_dir().join(format!("chunkcast-output-{}", std::process::id()));
        let runs = [result(1, 2, Some(150.0)), result(1, 9, Some(160.0))];
        for (kind, count) in [(Kind::Paper, 6), (Kind::Scale, 8)] {
            let _ = std::fs::remove_dir_all(&dir);
            let options = options(kind, Form::Csv, Some(dir.clone()));
            pictures(&options, &runs, &dir).unwrap();
            assert_eq!(std::fs::read_dir(&dir).unwrap().count(), count);
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
