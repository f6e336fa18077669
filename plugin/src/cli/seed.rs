//! `chunkcast seed`.

use super::args::SeedArgs;
use super::exit::{Code, Failure};
use super::source::open;
use super::torrents::{Job, Plan, run_jobs};
use crate::session::{DataPath, TorrentSource};

/// Seeds one torrent from data that is already here, until interrupted.
///
/// # Errors
/// [`Failure`]: bad torrent 8, data missing or not the torrent's 6, network 4.
pub(super) async fn run(args: &SeedArgs) -> Result<(), Failure> {
    let TorrentSource::Metainfo(meta) = open(&args.torrent).await? else {
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
    };
    run_jobs(vec![job], &args.network, None).await
}
