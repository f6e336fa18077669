//! `chunkcast get`.

use std::time::Duration;

use super::args::GetArgs;
use super::exit::Failure;
use super::source::open;
use super::torrents::{Job, Plan, run_jobs};
use crate::session::DataPath;

/// Downloads, or lists, every source.
///
/// # Errors
/// The first [`Failure`] of any source.
pub(super) async fn run(args: &GetArgs) -> Result<(), Failure> {
    let mut jobs = Vec::new();
    let plan = match (args.list, args.seed) {
        (true, _) => Plan::List,
        (false, true) => Plan::GetAndSeed,
        (false, false) => Plan::Get,
    };
    for text in &args.sources {
        let source = open(text).await?;
        jobs.push(Job {
            source,
            data: DataPath::OutputDir(args.output.clone()),
            plan,
        });
    }
    let timeout = (args.timeout > 0).then(|| Duration::from_secs(args.timeout));
    run_jobs(jobs, &args.network, timeout).await
}
