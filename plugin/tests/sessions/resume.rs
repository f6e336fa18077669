//! A download goes on where it was, without hashing what its save point vouches for.

use std::fs::File;
use std::path::Path;

use chunkcast_bittorrent::session::{AddTorrent, DataPath, Progress, TorrentEvent, TorrentHandle};
use chunkcast_bittorrent::storage::Resume;
use chunkcast_compat_tests::scratch;

use super::hostile_common::*;

/// Waits until a torrent has looked at its data.
async fn checked(handle: &mut TorrentHandle) -> Progress {
    let checked = |event| match event {
        TorrentEvent::Checked(progress) => Some(progress),
        _ => None,
    };
    until(handle, checked).await
}

/// What a session says that it holds when it begins.
async fn begins_with(content: &Content, dir: &Path, resume: Option<Resume>) -> Progress {
    let session = session().await;
    let add = AddTorrent {
        resume,
        ..AddTorrent::new(content.torrent(), DataPath::OutputDir(dir.to_path_buf()))
    };
    let mut handle = session.add(add).await.expect("a new torrent");
    let checked = checked(&mut handle).await;
    handle.stop().await;
    session.shutdown().await;
    checked
}

/// Changes a byte so that nobody who does not read it can tell.
fn falsify(path: &Path) {
    let then = std::fs::metadata(path).expect("a file").modified();
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[0] ^= 1;
    std::fs::write(path, bytes).expect("written");
    let file = File::options().write(true).open(path).expect("a file");
    file.set_modified(then.expect("a time")).expect("set");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_save_point_vouches_for_is_not_read() {
    watch_panics();
    let content = Content::new(60, 500_001, 32 << 10);
    let (seeding, seed, _source) = seed(&content, vec![]).await;
    let mut get = Leech::start(content.torrent(), vec![seeding.listen_addr()]).await;
    get.until("a download", |_| false).await;
    let control = get.handle.control();
    let early = control.save_point().await.expect("a save point");
    assert!(early.held.is_full());
    let path = get.file();
    let (progress, last) = get.handle.stop_saved().await;
    assert_eq!(progress.verified_bytes, 500_001);
    assert!(control.save_point().await.is_none(), "it has ended");
    falsify(&path);
    let dir = path.parent().expect("a directory").to_path_buf();
    // the stamp of the early one is younger than the clock can tell apart
    for (resume, verified) in [
        (last, content.pieces()),
        (Some(early), content.pieces() - 1),
        (None, content.pieces() - 1),
    ] {
        let held = begins_with(&content, &dir, resume).await.pieces_held;
        assert_eq!(held, verified);
    }
    get.session.shutdown().await;
    seed.stop().await;
    seeding.shutdown().await;
    assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_point_of_half_a_download_goes_on_with_the_other_half() {
    watch_panics();
    let content = Content::new(61, 500_001, 32 << 10);
    let (dir, half) = (scratch(), 250_000);
    let path = dir.path().join("file.bin");
    std::fs::write(&path, &content.data[..half]).expect("written");
    let session = session().await;
    let data = DataPath::OutputDir(dir.path().to_path_buf());
    let add = AddTorrent::new(content.torrent(), data);
    let mut handle = session.add(add).await.expect("a new torrent");
    checked(&mut handle).await;
    let (progress, saved) = handle.stop_saved().await;
    session.shutdown().await;
    let saved = saved.expect("it has looked");
    assert_eq!((progress.pieces_held, saved.held.count()), (7, 7));
    let again = begins_with(&content, dir.path(), Some(saved)).await;
    assert_eq!(again.pieces_held, 7);
    assert_no_panic();
}
