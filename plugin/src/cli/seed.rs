//! `chunkcast seed`.

use super::args::SeedArgs;
use super::exit::{Code, Failure};
use super::signal::{asked, end_asked};
use super::source::open;
use super::torrents::{Job, Plan, run_jobs};
use crate::session::{DataPath, TorrentSource};
use crate::state::User;

/// Seeds one torrent from data that is already here, until interrupted.
///
/// # Errors
/// [`Failure`]: bad torrent 8, data missing or not the torrent's 6, network 4.
pub(super) async fn run(args: &SeedArgs) -> Result<(), Failure> {
    let end = end_asked(args.network.until_stdin_closes);
    let source = tokio::select! {
        source = open(&args.torrent) => source?,
        () = asked(end.clone()) => return Err(Failure::interrupted("before anything was seeded")),
    };
    let TorrentSource::Metainfo(meta) = source else {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "`{}` is a magnet link; `seed` needs the .torrent file, `get --seed` takes magnets",
                args.torrent
            ),
        ));
    };
    let job = Job {
        source: TorrentSource::Metainfo(meta),
        data: DataPath::Content(args.data.clone()),
        plan: Plan::SeedOnly,
        select: None,
    };
    run_jobs(vec![job], User::Seed, &args.network, None, end).await
}
