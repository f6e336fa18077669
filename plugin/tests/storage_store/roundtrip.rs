//! What was put in comes out, in any order and through any accident.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use chunkcast_bittorrent::storage::{Mode, PieceResult, Storage, StorageConfig, Target};
use proptest::prelude::*;
use tempfile::tempdir;
use tokio::runtime::Runtime;

use super::support::*;

fn run<T>(test: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(test)
}

/// What happens to data on disk.
#[derive(Clone, Debug)]
enum Accident {
    Flip { file: usize, at: u64 },
    Truncate { file: usize, to: u64 },
    Remove { file: usize },
}

fn accidents() -> impl Strategy<Value = Vec<Accident>> {
    let one = prop_oneof![
        4 => (any::<usize>(), any::<u64>()).prop_map(|(file, at)| Accident::Flip { file, at }),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(file, to)| Accident::Truncate { file, to }),
        1 => any::<usize>().prop_map(|file| Accident::Remove { file }),
    ];
    prop::collection::vec(one, 0..6)
}

fn happen(torrent: &Torrent, root: &std::path::Path, accident: &Accident) {
    let real: Vec<_> = torrent.layout.files.iter().filter(|f| !f.padding).collect();
    let path = |file: usize| (!real.is_empty()).then(|| root.join(&real[file % real.len()].path));
    match *accident {
        Accident::Flip { file, at } => {
            let Some(path) = path(file) else { return };
            let Ok(mut bytes) = fs::read(&path) else {
                return;
            };
            if !bytes.is_empty() {
                let at = usize::try_from(at % bytes.len() as u64).unwrap();
                bytes[at] ^= 0x40;
                fs::write(path, bytes).unwrap();
            }
        }
        Accident::Truncate { file, to } => {
            let Some(path) = path(file) else { return };
            let Ok(file) = fs::File::options().write(true).open(path) else {
                return;
            };
            let length = file.metadata().unwrap().len();
            file.set_len(to % (length + 1)).unwrap();
        }
        Accident::Remove { file } => {
            if let Some(path) = path(file) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pieces in any order make files that are byte for byte the source's, and every range reads back.
    #[test]
    fn any_order_gives_the_source(torrent in torrents(), keys in any::<u64>(), ranges in prop::collection::vec(any::<(u32, u32, u32)>(), 8)) {
        run(async {
            let dir = tempdir().unwrap();
            let storage = torrent.download(dir.path());
            let mut order: Vec<u32> = (0..torrent.pieces()).collect();
            order.sort_by_key(|&p| (keys ^ u64::from(p)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            for &piece in &order {
                torrent.write(&storage, piece).await;
            }
            storage.finalize().await.unwrap();
            torrent.assert_complete(dir.path());
            for (piece, begin, len) in ranges {
                let piece = piece % torrent.pieces();
                let begin = begin % torrent.layout.piece_len(piece);
                let len = 1 + len % (torrent.layout.piece_len(piece) - begin);
                let block = storage.read_block(piece, begin, len).await.unwrap();
                assert!(block == torrent.piece(piece)[begin as usize..(begin + len) as usize]);
            }
            let again = torrent.open(dir.path(), Mode::SeedOnly).unwrap();
            assert!(check(&again).await.is_full());
            assert_eq!(storage.stats().pieces_written, u64::from(torrent.pieces()));
            assert_eq!(storage.stats().bytes_queued, 0);
        });
    }

    /// The check finds exactly the pieces that are right on disk, and the rest can be had again.
    #[test]
    fn the_check_finds_exactly_what_is_right(torrent in torrents(), accidents in accidents()) {
        run(async {
            let dir = tempdir().unwrap();
            torrent.put(dir.path());
            for accident in &accidents {
                happen(&torrent, dir.path(), accident);
            }
            let storage = torrent.download(dir.path());
            let held = check(&storage).await;
            assert_eq!(held, torrent.on_disk(dir.path()));
            for piece in held.iter_missing() {
                torrent.write(&storage, piece).await;
            }
            storage.finalize().await.unwrap();
            torrent.assert_complete(dir.path());
        });
    }

    /// A download that was cut short goes on where it was: no piece that was written is missing.
    #[test]
    fn what_was_written_is_found_again(torrent in torrents(), which in any::<u64>()) {
        run(async {
            let dir = tempdir().unwrap();
            let storage = torrent.download(dir.path());
            let some: Vec<u32> = (0..torrent.pieces()).filter(|p| which >> (p % 64) & 1 == 1).collect();
            for &piece in &some {
                torrent.write(&storage, piece).await;
            }
            drop(storage);
            let held = check(&torrent.download(dir.path())).await;
            assert_eq!(held, torrent.on_disk(dir.path()));
            assert!(some.iter().all(|&piece| held.contains(piece)));
        });
    }

    /// One wrong bit anywhere in a piece: the piece is refused and the disk is as it was.
    #[test]
    fn a_wrong_bit_changes_nothing(torrent in torrents(), piece in any::<u32>(), at in any::<u32>(), first in any::<bool>()) {
        run(async {
            let dir = tempdir().unwrap();
            let storage = torrent.download(dir.path());
            let piece = piece % torrent.pieces();
            if !first {
                torrent.write_all(&storage).await;
            }
            let before = snapshot(dir.path());
            let mut bad = torrent.piece(piece).to_vec();
            let at = at as usize % bad.len();
            bad[at] ^= 1;
            let result = storage.finish_piece(piece, vec![Bytes::from(bad)]).await;
            assert!(matches!(result, PieceResult::BadHash), "{result:?}");
            assert_eq!(snapshot(dir.path()), before);
            assert_eq!(storage.stats().pieces_bad, 1);
        });
    }
}

#[tokio::test]
async fn a_piece_of_the_wrong_length_is_bad() {
    let torrent = Torrent::single(1000, 2500);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    for blocks in [
        vec![],
        vec![Bytes::from(vec![0; 999])],
        vec![Bytes::from(vec![0; 1001])],
    ] {
        let result = storage.finish_piece(0, blocks).await;
        assert!(matches!(result, PieceResult::BadHash), "{result:?}");
    }
    assert!(snapshot(dir.path()).is_empty());
}

#[tokio::test]
async fn the_check_reports_its_progress() {
    let torrent = Torrent::single(1000, 25_500);
    let dir = tempdir().unwrap();
    torrent.put(dir.path());
    let mut heard = vec![];
    torrent
        .download(dir.path())
        .check_existing(|n, of| heard.push((n, of)))
        .await
        .unwrap();
    assert_eq!(heard, (1..=26).map(|n| (n, 26)).collect::<Vec<_>>());
}

#[tokio::test]
async fn bep47_padding_and_empty_files() {
    let mut specs = vec![
        file("t/a", 700),
        file("t/.pad/300", 300),
        file("t/b", 50),
        file("t/empty/e", 0),
    ];
    specs[1].padding = true;
    let torrent = Torrent::new(1000, &specs);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    torrent.write_all(&storage).await;
    assert!(
        !dir.path().join("t/empty").exists(),
        "empty files come at the end"
    );
    storage.finalize().await.unwrap();
    torrent.assert_complete(dir.path());
    assert!(!dir.path().join("t/.pad").exists());
    let block = storage.read_block(0, 600, 300).await.unwrap();
    assert!(block[..100] == torrent.bytes[600..700] && block[100..].iter().all(|&b| b == 0));
}

#[tokio::test]
async fn several_padding_files_may_share_a_path() {
    let mut specs = vec![
        file("t/a", 70),
        file("t/.pad/30", 30),
        file("t/b", 70),
        file("t/.pad/30", 30),
    ];
    specs[1].padding = true;
    specs[3].padding = true;
    let torrent = Torrent::new(100, &specs);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    torrent.write_all(&storage).await;
    storage.finalize().await.unwrap();
    torrent.assert_complete(dir.path());
}

#[tokio::test]
async fn bep47_executable_bits() {
    let mut specs = vec![file("t/run", 10), file("t/text", 10), file("t/nothing", 0)];
    specs[0].executable = true;
    specs[2].executable = true;
    let torrent = Torrent::new(8, &specs);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    torrent.write_all(&storage).await;
    storage.finalize().await.unwrap();
    let mode = |name| {
        fs::metadata(dir.path().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    let readers = |mode| (mode & 0o444) >> 2;
    assert_eq!(mode("t/run") & 0o111, readers(mode("t/run")));
    assert_eq!(mode("t/nothing") & 0o111, readers(mode("t/nothing")));
    assert_eq!(mode("t/text") & 0o111, 0);
}

/// A file that no wanted piece touches does not appear.
#[tokio::test]
async fn only_wanted_files_appear() {
    let torrent = Torrent::new(100, &[file("t/a", 100), file("t/b", 100), file("t/c", 100)]);
    let dir = tempdir().unwrap();
    let storage = torrent.download(dir.path());
    torrent.write(&storage, 1).await;
    storage.finalize().await.unwrap();
    let found = snapshot(dir.path());
    assert_eq!(
        found.into_keys().collect::<Vec<_>>(),
        [dir.path().join("t/b")]
    );
}

/// `seed --data PATH`: the file or the folder may have any name.
#[tokio::test]
async fn content_may_have_another_name() {
    let dir = tempdir().unwrap();
    let single = Torrent::single(1000, 2500);
    fs::write(dir.path().join("other name.bin"), &single.bytes).unwrap();
    let many = Torrent::new(1000, &[file("t/a", 700), file("t/d/b", 1700)]);
    many.put(dir.path());
    fs::rename(dir.path().join("t"), dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("folder"), dir.path().join("link")).unwrap();
    let before = snapshot(dir.path());
    for (torrent, name) in [
        (&single, "other name.bin"),
        (&many, "folder"),
        (&many, "link"),
    ] {
        let path = dir.path().join(name);
        let target = Target::Content(&path);
        let layout = torrent.layout.clone();
        let storage =
            Storage::open_at(layout, target, Mode::SeedOnly, StorageConfig::default()).unwrap();
        assert!(check(&storage).await.is_full(), "{name}");
        let block = storage.read_block(1, 100, 900).await.unwrap();
        assert!(block == torrent.piece(1)[100..]);
        storage.finalize().await.unwrap();
        let refused = storage.finish_piece(0, torrent.blocks(0)).await;
        assert!(matches!(refused, PieceResult::Disk(_)));
    }
    assert_eq!(snapshot(dir.path()), before, "seeding writes nothing");
}

#[tokio::test]
async fn content_may_be_downloaded_to() {
    let dir = tempdir().unwrap();
    let single = Torrent::single(1000, 2500);
    let many = Torrent::new(1000, &[file("t/a", 700), file("t/d/b", 1700)]);
    for (torrent, name) in [(&single, "file"), (&many, "folder")] {
        let path = dir.path().join("new").join(name);
        let layout = torrent.layout.clone();
        let target = Target::Content(&path);
        let storage =
            Storage::open_at(layout, target, Mode::Download, StorageConfig::default()).unwrap();
        torrent.write_all(&storage).await;
        storage.finalize().await.unwrap();
    }
    let found = snapshot(&dir.path().join("new"));
    let read = |name: &str| &found[&dir.path().join("new").join(name)];
    assert!(*read("file") == single.bytes);
    assert!(*read("folder/a") == many.bytes[..700] && *read("folder/d/b") == many.bytes[700..]);
}
