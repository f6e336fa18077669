//! Disks that are full, and files that change under the program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use chunkcast_bittorrent::storage::{PieceResult, StorageError};
use tempfile::{TempDir, tempdir};

use super::support::*;

/// A file system of this size, unmounted at the end. `None`: this user may not mount.
struct Small(TempDir);

impl Small {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(out) if out.status.success() => Some(Self(dir)),
            _ => {
                eprintln!("skipped: mounting a tmpfs is not permitted here");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{options}"), "none"])
            .arg(self.path())
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// Nothing that was written is lost, and what failed can be had again once there is space.
#[tokio::test]
async fn a_full_disk_costs_only_what_does_not_fit() {
    let Some(small) = Small::mount("1m") else {
        return;
    };
    let torrent = Torrent::new(100_000, &[file("t/a", 1_450_000), file("t/b", 550_000)]);
    let storage = torrent.download(small.path());
    let mut written = vec![];
    let mut failed = vec![];
    for piece in 0..torrent.pieces() {
        match storage.finish_piece(piece, torrent.blocks(piece)).await {
            PieceResult::Written => written.push(piece),
            PieceResult::Disk(error) => {
                assert!(error.is_disk_full(), "{error}");
                assert!(error.to_string().contains("t/"), "{error}");
                assert!(!error.to_string().contains('\n'));
                failed.push(piece);
            }
            PieceResult::BadHash => panic!("piece {piece}"),
        }
    }
    assert!(
        written.len() >= 9 && failed.len() >= 9,
        "{written:?} {failed:?}"
    );
    for &piece in &written {
        let block = storage.read_block(piece, 0, 100_000).await.unwrap();
        assert!(block == torrent.piece(piece));
    }
    let held = check(&torrent.download(small.path())).await;
    assert_eq!(held, torrent.on_disk(small.path()));
    assert!(written.iter().all(|&piece| held.contains(piece)));
    small.remount("size=4m");
    for piece in failed {
        torrent.write(&storage, piece).await;
    }
    storage.finalize().await.unwrap();
    torrent.assert_complete(small.path());
}

#[tokio::test]
async fn a_read_only_disk_is_named() {
    let Some(small) = Small::mount("1m") else {
        return;
    };
    let torrent = Torrent::new(100, &[file("t/a", 250), file("t/b", 100)]);
    let storage = torrent.download(small.path());
    torrent.write(&storage, 0).await;
    drop(storage);
    small.remount("ro");
    let storage = torrent.download(small.path());
    assert_eq!(check(&storage).await, set(&torrent, [0]));
    for piece in [1, 3] {
        match storage.finish_piece(piece, torrent.blocks(piece)).await {
            PieceResult::Disk(error) => {
                assert!(matches!(error, StorageError::ReadOnly { .. }), "{error}");
                assert!(error.to_string().contains("t/"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    let block = storage.read_block(0, 0, 100).await.unwrap();
    assert!(block == torrent.piece(0));
}

#[tokio::test]
async fn a_file_that_goes_away_is_noticed() {
    let torrent = Torrent::new(100, &[file("t/a", 250), file("t/b", 250)]);
    let changes: [fn(PathBuf); 2] = [
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(10)
                .unwrap()
        },
    ];
    for change in changes {
        let dir = tempdir().unwrap();
        let storage = torrent.download(dir.path());
        torrent.write_all(&storage).await;
        change(dir.path().join("t/a"));
        let error = storage.finalize().await.unwrap_err();
        assert!(
            matches!(&error, StorageError::Changed { path } if path.ends_with("t/a")),
            "{error}"
        );
        // a new store finds out when it reads
        let seed = torrent.download(dir.path());
        let error = seed.read_block(0, 50, 50).await.unwrap_err();
        assert!(matches!(error, StorageError::Changed { .. }), "{error}");
        assert_eq!(check(&seed).await, set(&torrent, [3, 4]));
        for piece in 0..3 {
            torrent.write(&seed, piece).await;
        }
        seed.finalize().await.unwrap();
        torrent.assert_complete(dir.path());
    }
}

/// A torrent whose padding file hashes right only with other bytes than zeros: the disk could never give them back.
#[tokio::test]
async fn padding_that_is_not_zeros_is_the_torrents_fault() {
    let plain = Torrent::new(
        100,
        &[file("t/a", 150), file("t/.pad/50", 50), file("t/b", 100)],
    );
    let mut layout = (*plain.layout).clone();
    layout.files[1].padding = true;
    let torrent = Torrent {
        layout: Arc::new(layout),
        bytes: plain.bytes,
    };
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    match storage.finish_piece(1, torrent.blocks(1)).await {
        PieceResult::Disk(error) => {
            assert!(error.is_bad_torrent(), "{error}");
            assert!(error.to_string().contains(".pad/50"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(snapshot(dir.path()).is_empty());
}

#[tokio::test]
async fn ranges_that_do_not_exist_are_refused() {
    let torrent = Torrent::single(100, 250);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    torrent.write_all(&storage).await;
    for (piece, begin, len) in [
        (0, 0, 0),
        (0, 0, 101),
        (0, 100, 1),
        (2, 0, 51),
        (3, 0, 1),
        (u32::MAX, 0, 1),
        (0, u32::MAX, 2),
    ] {
        let error = storage.read_block(piece, begin, len).await.unwrap_err();
        assert!(matches!(error, StorageError::OutOfRange { .. }), "{error}");
    }
    let result = storage.finish_piece(3, vec![]).await;
    assert!(matches!(
        result,
        PieceResult::Disk(StorageError::OutOfRange { .. })
    ));
}

const KILLED_IN: &str = "CHUNKCAST_TEST_KILLED_IN";

fn killed() -> Torrent {
    Torrent::new(
        1 << 16,
        &[file("t/a", 8 << 20), file("t/b", 3), file("t/c", 8 << 20)],
    )
}

/// The process that [`kill_9_loses_nothing_that_was_written`] kills.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_to_be_killed() {
    let Some(dir) = std::env::var_os(KILLED_IN) else {
        return;
    };
    let torrent = killed();
    let storage = torrent.download(Path::new(&dir));
    futures::future::join_all((0..torrent.pieces()).map(async |piece| {
        torrent.write(&storage, piece).await;
        println!("written {piece}");
    }))
    .await;
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_written() {
    let dir = tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "failures::a_process_to_be_killed", "--nocapture"])
        .env(KILLED_IN, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut written = vec![];
    let number = |line: &str| {
        line.split_once("written ")
            .map(|(_, n)| n.parse::<u32>().unwrap())
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while written.len() < 20 {
        written.extend(number(&lines.next().unwrap().unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let torrent = killed();
    let storage = torrent.download(dir.path());
    let held = check(&storage).await;
    assert!(
        written.iter().all(|&piece| held.contains(piece)),
        "{written:?} {held:?}"
    );
    assert_eq!(held, torrent.on_disk(dir.path()));
    for piece in held.iter_missing() {
        torrent.write(&storage, piece).await;
    }
    storage.finalize().await.unwrap();
    torrent.assert_complete(dir.path());
    let again = u64::from(torrent.pieces() - held.count());
    assert_eq!(storage.stats().pieces_written, again);
}
