//! `chunkcast get`.

use std::time::Duration;

use super::args::GetArgs;
use super::exit::{Code, Failure};
use super::signal::{asked, end_asked};
use super::source::open;
use super::torrents::{Job, Plan, run_jobs};
use crate::session::DataPath;
use crate::state::User;

/// Downloads, or lists, every source.
///
/// # Errors
/// The first [`Failure`] of any source.
pub(super) async fn run(args: &GetArgs) -> Result<(), Failure> {
    if args.select.is_some() && args.sources.len() > 1 {
        return Err(Failure::new(
            Code::Usage,
            "--select numbers the files of one torrent; name one source",
        ));
    }
    let end = end_asked(args.network.until_stdin_closes);
    let mut jobs: Vec<Job> = Vec::new();
    let plan = match (args.list, args.seed) {
        (true, _) => Plan::List,
        (false, true) => Plan::GetAndSeed,
        (false, false) => Plan::Get,
    };
    for text in &args.sources {
        let source = tokio::select! {
            source = open(text) => source?,
            () = asked(end.clone()) => return Err(Failure::interrupted("before anything was downloaded")),
        };
        let hash = source.info_hash();
        if jobs.iter().any(|j| j.source.info_hash() == hash) {
            return Err(Failure::new(
                Code::Usage,
                format!("`{text}` is a torrent that was named before; name each once"),
            ));
        }
        jobs.push(Job {
            source,
            data: DataPath::OutputDir(args.output.clone()),
            plan,
            select: args.select.clone(),
        });
    }
    let timeout = (args.timeout > 0).then(|| Duration::from_secs(args.timeout));
    run_jobs(jobs, User::Get, &args.network, timeout, end).await
}
