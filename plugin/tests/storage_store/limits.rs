//! What a store takes from the machine: files, threads, reads, disk.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use chunkcast_bittorrent::storage::{Mode, OpenFiles, PieceResult, Storage, StorageConfig, Target};
use futures::future::join_all;
use tempfile::tempdir;

use super::support::*;

fn open_below(root: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter(|fd| {
        let target = fd
            .as_ref()
            .ok()
            .and_then(|fd| fs::read_link(fd.path()).ok());
        target.is_some_and(|target| target.starts_with(root))
    })
    .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_files_stay_within_the_bound() {
    let specs: Vec<Spec> = (0..1000)
        .map(|i| file(&format!("t/{}/{i}", i % 10), 100))
        .collect();
    let torrent = Torrent::new(300, &specs);
    let dir = tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let config = StorageConfig {
        max_open_files: 32,
        ..StorageConfig::default()
    };
    let storage = Storage::open(torrent.layout.clone(), &root, Mode::Download, config).unwrap();
    let most = std::sync::atomic::AtomicUsize::new(0);
    let watch = || most.fetch_max(open_below(&root), std::sync::atomic::Ordering::Relaxed);
    join_all((0..torrent.pieces()).map(async |piece| {
        torrent.write(&storage, piece).await;
        watch();
        let block = storage.read_block(piece, 0, 100).await.unwrap();
        assert!(block == torrent.piece(piece)[..100]);
        watch();
    }))
    .await;
    storage.finalize().await.unwrap();
    assert!(
        storage
            .check_existing(|_, _| {
                watch();
            })
            .await
            .unwrap()
            .is_full()
    );
    torrent.assert_complete(&root);
    let most = most.into_inner();
    assert!((10..=32).contains(&most), "{most} files were open");
    assert!(storage.stats().open_files <= 32);
    drop(storage);
    assert_eq!(open_below(&root), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pieces_at_once() {
    let torrent = Torrent::new(
        50_000,
        &[file("t/a", 777_777), file("t/b", 5), file("t/c", 1_222_222)],
    );
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    let results = join_all((0..torrent.pieces()).rev().map(async |piece| {
        let mut blocks = torrent.blocks(piece);
        if piece % 5 == 0 {
            blocks[0] = vec![0; blocks[0].len()].into();
        }
        (piece, storage.clone().finish_piece(piece, blocks).await)
    }))
    .await;
    for (piece, result) in results {
        match result {
            PieceResult::BadHash => assert_eq!(piece % 5, 0),
            PieceResult::Written => assert_ne!(piece % 5, 0),
            PieceResult::Disk(error) => panic!("{error}"),
        }
    }
    assert_eq!(
        check(&torrent.download(dir.path())).await,
        set(&torrent, (0..torrent.pieces()).filter(|p| p % 5 != 0))
    );
    assert_eq!(storage.stats().bytes_queued, 0);
}

/// A file has its final length at its first write, and takes only the space of what was written.
#[tokio::test]
async fn files_are_sparse() {
    let torrent = Torrent::single(1 << 16, 1 << 28 >> 4);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    torrent.write(&storage, 100).await;
    let meta = fs::metadata(dir.path().join("t")).unwrap();
    assert_eq!(meta.len(), torrent.layout.total_length);
    assert!(
        meta.blocks() * 512 <= 1 << 17,
        "{} bytes on disk",
        meta.blocks() * 512
    );
}

/// Going on with a large download that had hardly begun does not read what was never written.
#[tokio::test]
async fn holes_are_not_read() {
    let torrent = Torrent::single(1 << 16, 1 << 24);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    torrent.write(&storage, 17).await;
    torrent.write(&storage, 200).await;
    let again = torrent.download(dir.path());
    assert_eq!(check(&again).await, set(&torrent, [17, 200]));
    let read = again.stats().bytes_checked;
    assert!((1 << 17..1 << 19).contains(&read), "{read} bytes read");
}

/// A hole is as good as zeros where the torrent has zeros.
#[tokio::test]
async fn a_hole_may_be_right() {
    let mut specs = vec![file("t/a", 1 << 20), file("t/z", (1 << 20) + 5)];
    specs[1].zeros = true;
    let torrent = Torrent::new(1 << 16, &specs);
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    fs::File::create(dir.path().join("t/z"))
        .unwrap()
        .set_len((1 << 20) + 5)
        .unwrap();
    assert_eq!(
        check(&torrent.download(dir.path())).await,
        set(&torrent, 16..33)
    );
}

#[tokio::test]
async fn missing_and_short_files_are_not_read() {
    let torrent = Torrent::new(
        1000,
        &[file("t/a", 10_000), file("t/b", 10_000), file("t/c", 500)],
    );
    let dir = tempdir().unwrap();
    torrent.put(dir.path());
    fs::remove_file(dir.path().join("t/a")).unwrap();
    fs::File::options()
        .write(true)
        .open(dir.path().join("t/b"))
        .unwrap()
        .set_len(2999)
        .unwrap();
    let storage = torrent.download(dir.path());
    assert_eq!(check(&storage).await, set(&torrent, [10, 11, 20]));
    assert_eq!(storage.stats().bytes_checked, 2500);
}

/// A check that nobody waits for any more stops, and does not hold the program up.
#[test]
fn a_dropped_check_stops() {
    let torrent = Torrent::single(1000, 5_000_000);
    let dir = tempdir().unwrap();
    torrent.put(dir.path());
    let storage = torrent.download(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let checking = storage.check_existing(|_, _| {
            if let Some(tell) = tell.take() {
                tell.send(()).unwrap();
            }
        });
        tokio::select! {
            biased;
            _ = told => {}
            _ = checking => {}
        }
    });
    drop(runtime); // waits for the jobs
    assert!(storage.stats().bytes_checked < 5_000_000);
}

/// Two torrents with more files than may be open: they close each other's.
#[tokio::test(flavor = "multi_thread")]
async fn torrents_share_a_budget_of_open_files() {
    let open = OpenFiles::new(40);
    let dir = tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let most = std::sync::atomic::AtomicUsize::new(0);
    let watch = || most.fetch_max(open_below(&root), std::sync::atomic::Ordering::Relaxed);
    join_all(["a", "b"].map(async |name| {
        let specs: Vec<Spec> = (0..300).map(|i| file(&format!("t/{i}"), 100)).collect();
        let torrent = Torrent::new(300, &specs);
        let below = root.join(name);
        let (target, config) = (Target::OutputDir(&below), StorageConfig::default());
        let storage = Storage::open_among(
            torrent.layout.clone(),
            target,
            Mode::Download,
            config,
            &open,
        )
        .unwrap();
        join_all((0..torrent.pieces()).map(async |piece| {
            torrent.write(&storage, piece).await;
            watch();
            storage.read_block(piece, 0, 100).await.unwrap();
        }))
        .await;
        storage.finalize().await.unwrap();
        torrent.assert_complete(&below);
    }))
    .await;
    // a job may still use one that was closed for another's sake: 2 * 4 + 8 + 2 jobs a torrent
    let most = most.into_inner();
    assert!((20..=40 + 2 * 18).contains(&most), "{most} files were open");
    assert_eq!(open.count(), 0, "what is dropped is closed");
}

/// Someone else's data in a file of the right length: what verifies is kept, the rest is downloaded over it.
#[tokio::test]
async fn existing_data_is_reused() {
    let torrent = Torrent::single(1000, 10_000);
    let dir = tempdir().unwrap();
    torrent.put(dir.path());
    let wrong = fs::File::options()
        .write(true)
        .open(dir.path().join("t"))
        .unwrap();
    wrong.write_all_at(b"wrong", 4_500).unwrap();
    let storage = torrent.download(dir.path());
    let held = check(&storage).await;
    assert_eq!(held.iter_missing().collect::<Vec<_>>(), [4]);
    torrent.write(&storage, 4).await;
    storage.finalize().await.unwrap();
    torrent.assert_complete(dir.path());
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    StorageConfig::default().validate().unwrap();
    let with = |change: fn(&mut StorageConfig)| {
        let mut config = StorageConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(with(|c| c.max_open_files = 18).contains("max_open_files"));
    assert!(with(|c| c.piece_jobs = 0).contains("piece_jobs"));
    assert!(with(|c| c.read_jobs = usize::MAX).contains("read_jobs"));
    assert!(with(|c| c.check_jobs = 0).contains("check_jobs"));
}
