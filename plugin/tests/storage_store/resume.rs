//! What a save point vouches for, and what is looked at all the same.

#![allow(clippy::disallowed_methods, reason = "files are given an age")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::storage::{Mode, Resume, Storage, StorageConfig};
use proptest::prelude::*;
use tempfile::tempdir;
use tokio::runtime::Runtime;

use super::support::*;

fn run<T>(test: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(test)
}

fn paths(torrent: &Torrent, root: &Path) -> Vec<PathBuf> {
    let real = torrent.layout.files.iter().filter(|f| !f.padding);
    real.map(|f| root.join(&f.path)).collect()
}

/// Some time passes: every file was last changed long ago, each at a time of its own.
fn age(torrent: &Torrent, root: &Path) {
    for (path, i) in paths(torrent, root).into_iter().zip(0..) {
        if let Ok(file) = File::options().write(true).open(path) {
            let long_ago = SystemTime::now() - Duration::from_secs(1000 + i);
            file.set_modified(long_ago).unwrap();
        }
    }
}

/// What a start with this save point holds, and the bytes that it reads for that.
async fn restart(torrent: &Torrent, root: &Path, resume: &Resume) -> (ChunkSet, u64) {
    let storage = torrent.download(root);
    let look = storage.look(Some(resume.clone())).await.unwrap();
    let held = match look.known() {
        Some(held) => held.clone(),
        None => storage.check(look, |_, _| {}).await.unwrap(),
    };
    (held, storage.stats().bytes_checked)
}

/// A torrent of three files with two pieces each, the middle piece pairs over the borders, all on disk and old.
fn three_files(root: &Path) -> Torrent {
    let torrent = Torrent::new(100, &[file("t/a", 250), file("t/b", 200), file("t/c", 150)]);
    torrent.put(root);
    age(&torrent, root);
    torrent
}

/// A store for which a change shows at once that is so old.
fn open(torrent: &Torrent, root: &Path, settled: Duration) -> Storage {
    let config = StorageConfig {
        settled,
        ..StorageConfig::default()
    };
    Storage::open(torrent.layout.clone(), root, Mode::Download, config).unwrap()
}

/// Somebody else changes a file, at a moment of its own.
fn meddle(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let Ok(mut bytes) = fs::read(path) else {
        return;
    };
    let then = fs::metadata(path).unwrap().modified().unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(then + Duration::from_micros(1)).unwrap();
}

async fn saved(torrent: &Torrent, root: &Path) -> (Storage, Resume) {
    let storage = torrent.download(root);
    let held = check(&storage).await;
    let resume = storage.save_point(held).await.unwrap();
    (storage, resume)
}

#[test]
fn what_did_not_change_is_not_read() {
    run(async {
        let dir = tempdir().unwrap();
        let torrent = three_files(dir.path());
        let (_, resume) = saved(&torrent, dir.path()).await;
        let (held, read) = restart(&torrent, dir.path(), &resume).await;
        assert!(held.is_full());
        assert_eq!(read, 0);
    });
}

/// What happens to the middle file.
type Change = fn(&Path);

#[test]
fn every_piece_of_a_file_that_changed_is_hashed_and_no_other() {
    let changes: &[(&str, Change, &[u32])] = &[
        (
            "other content",
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[120] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            &[0, 1, 2, 4, 5],
        ),
        (
            "other length",
            |path| {
                let file = File::options().write(true).open(path).unwrap();
                let then = file.metadata().unwrap().modified().unwrap();
                file.set_len(199).unwrap();
                file.set_modified(then).unwrap();
            },
            &[0, 1, 2, 3, 5],
        ),
        (
            "touched",
            |path| {
                let file = File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(50))
                    .unwrap();
            },
            &[0, 1, 2, 3, 4, 5],
        ),
        (
            "another file in its place",
            |path| {
                let other = path.with_extension("new");
                fs::write(&other, [7; 200]).unwrap();
                fs::rename(other, path).unwrap();
            },
            &[0, 1, 5],
        ),
        ("gone", |path| fs::remove_file(path).unwrap(), &[0, 1, 5]),
    ];
    for (what, change, left) in changes {
        run(async {
            let dir = tempdir().unwrap();
            let torrent = three_files(dir.path());
            let (_, resume) = saved(&torrent, dir.path()).await;
            change(&dir.path().join("t/b"));
            let (held, read) = restart(&torrent, dir.path(), &resume).await;
            assert_eq!(held, set(&torrent, left.iter().copied()), "{what}");
            // pieces 2 to 4 have bytes of it
            assert!(read <= 300, "{what}: {read} bytes were read");
        });
    }
}

#[test]
fn a_change_between_the_check_and_the_save_point_is_found() {
    run(async {
        let dir = tempdir().unwrap();
        let torrent = three_files(dir.path());
        let storage = torrent.download(dir.path());
        let held = check(&storage).await;
        meddle(&dir.path().join("t/b"), |bytes| bytes.fill(7));
        let resume = storage.save_point(held).await.unwrap();
        let (held, _) = restart(&torrent, dir.path(), &resume).await;
        assert_eq!(held, set(&torrent, [0, 1, 5]));
    });
}

#[test]
fn a_stamp_right_after_a_write_vouches_for_nothing() {
    run(async {
        let dir = tempdir().unwrap();
        let torrent = Torrent::single(100, 300);
        let storage = torrent.download(dir.path());
        assert!(check(&storage).await.is_none());
        torrent.write_all(&storage).await;
        let full = ChunkSet::full(torrent.pieces());
        let young = storage.save_point(full.clone()).await.unwrap();
        // within the granularity of the clock: the time of the last change stays as it is
        let path = dir.path().join("t");
        let then = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, [7; 300]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(then).unwrap();
        let (held, _) = restart(&torrent, dir.path(), &young).await;
        assert!(held.is_none(), "bytes that nobody verified are held");
    });
}

#[test]
fn the_last_save_point_vouches_for_what_was_written_just_before_it() {
    run(async {
        let dir = tempdir().unwrap();
        let torrent = Torrent::single(100, 300);
        let storage = open(&torrent, dir.path(), Duration::from_millis(20));
        check(&storage).await;
        torrent.write_all(&storage).await;
        let full = ChunkSet::full(torrent.pieces());
        let resume = storage.last_save_point(full).await.unwrap();
        let (held, read) = restart(&torrent, dir.path(), &resume).await;
        assert!(held.is_full());
        assert_eq!(read, 0);
    });
}

#[test]
fn a_change_by_somebody_else_between_two_writes_of_ours_is_found() {
    run(async {
        let dir = tempdir().unwrap();
        let torrent = Torrent::single(100, 300);
        let storage = open(&torrent, dir.path(), Duration::ZERO);
        check(&storage).await;
        torrent.write(&storage, 0).await;
        meddle(&dir.path().join("t"), |bytes| bytes[0] ^= 1);
        torrent.write(&storage, 1).await;
        let held = set(&torrent, [0, 1]);
        let resume = storage.save_point(held).await.unwrap();
        let (held, _) = restart(&torrent, dir.path(), &resume).await;
        assert_eq!(held, set(&torrent, [1]));
    });
}

#[test]
fn what_another_torrent_s_save_point_says_is_not_believed() {
    run(async {
        let dir = tempdir().unwrap();
        let torrent = three_files(dir.path());
        let (_, resume) = saved(&torrent, dir.path()).await;
        let mut files = resume.clone();
        files.files.pop();
        let longer = Resume {
            held: ChunkSet::full(torrent.pieces() + 1),
            ..resume
        };
        for wrong in [files, longer, Resume::default()] {
            let (held, read) = restart(&torrent, dir.path(), &wrong).await;
            assert!(held.is_full());
            assert_eq!(read, torrent.layout.total_length);
        }
    });
}

/// What happens between two starts.
#[derive(Clone, Debug)]
enum Step {
    /// A piece is written.
    Write(u32),
    /// A save point is made, which the next start gets.
    Save,
    /// Somebody flips a byte of a file.
    Flip(usize, usize),
    /// Somebody shortens a file.
    Cut(usize, usize),
    /// Somebody removes a file.
    Remove(usize),
    /// The process is killed and starts again.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<u32>().prop_map(Step::Write),
        4 => Just(Step::Save),
        2 => any::<(usize, usize)>().prop_map(|(f, at)| Step::Flip(f, at)),
        1 => any::<(usize, usize)>().prop_map(|(f, at)| Step::Cut(f, at)),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is written, saved, changed by others and killed: a start holds exactly the pieces that are right on disk.
    #[test]
    fn a_start_holds_exactly_what_is_right_on_disk(torrent in torrents(), steps in steps()) {
        run(async {
            let dir = tempdir().unwrap();
            let root = dir.path();
            let mut storage = open(&torrent, root, Duration::ZERO);
            let mut held = check(&storage).await;
            let mut resume = Resume::default();
            let files = paths(&torrent, root);
            let pick = |i: usize| (!files.is_empty()).then(|| &files[i % files.len()]);
            for step in steps.into_iter().chain([Step::Restart]) {
                match step {
                    Step::Write(piece) => {
                        let piece = piece % torrent.pieces();
                        torrent.write(&storage, piece).await;
                        held.insert(piece);
                    }
                    Step::Save => resume = storage.save_point(held.clone()).await.unwrap(),
                    Step::Flip(file, at) => {
                        if let Some(path) = pick(file) {
                            meddle(path, |bytes| if !bytes.is_empty() {
                                let at = at % bytes.len();
                                bytes[at] ^= 1;
                            });
                        }
                    }
                    Step::Cut(file, to) => {
                        if let Some(path) = pick(file) {
                            meddle(path, |bytes| bytes.truncate(to % (bytes.len() + 1)));
                        }
                    }
                    Step::Remove(file) => {
                        if let Some(path) = pick(file) {
                            let _ = fs::remove_file(path);
                        }
                    }
                    Step::Restart => {
                        drop(storage);
                        let (found, _) = restart(&torrent, root, &resume).await;
                        assert_eq!(found, torrent.on_disk(root));
                        storage = open(&torrent, root, Duration::ZERO);
                        held = check(&storage).await;
                    }
                }
            }
        });
    }
}
