//! Nothing outside the output directory is created, written or read, and nothing of the user's is destroyed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use chunkcast_bittorrent::storage::{
    Mode, PieceResult, Storage, StorageConfig, StorageError, Target,
};
use tempfile::tempdir;

use super::support::*;

async fn write_first(torrent: &Torrent, storage: &Storage) -> StorageError {
    match storage.finish_piece(0, torrent.blocks(0)).await {
        PieceResult::Disk(error) => error,
        other => panic!("{other:?}"),
    }
}

fn refused(torrent: &Torrent, root: &Path) -> StorageError {
    let seeding = torrent.open(root, Mode::SeedOnly).unwrap_err();
    let error = torrent.open(root, Mode::Download).unwrap_err();
    assert_eq!(seeding.to_string(), error.to_string());
    one_line(&error);
    error
}

fn one_line(error: &StorageError) {
    let text = error.to_string();
    assert!(
        !text.contains(char::is_control) && text.contains('"'),
        "{text:?}"
    );
}

/// `out` to download into, and `outside` next to it.
fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempdir().unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&outside).unwrap();
    (dir, out, outside)
}

#[tokio::test]
async fn a_symlinked_directory_that_leads_out_is_refused() {
    let torrent = Torrent::new(100, &[file("t/d/a", 250)]);
    let (_dir, out, outside) = places();
    fs::create_dir(out.join("t")).unwrap();
    let storage = torrent.download(&out);
    // there at the start, absolute or relative; or later
    for to in [outside.clone(), PathBuf::from("../../outside")] {
        symlink(to, out.join("t/d")).unwrap();
        assert!(matches!(
            refused(&torrent, &out),
            StorageError::Escapes { .. }
        ));
        let error = write_first(&torrent, &storage).await;
        assert!(matches!(error, StorageError::Escapes { .. }), "{error}");
        assert!(snapshot(&outside).is_empty());
        fs::remove_file(out.join("t/d")).unwrap();
    }
    symlink(&outside, out.join("t/d")).unwrap();
    fs::write(outside.join("a"), torrent.file_bytes(0)).unwrap();
    let error = storage.read_block(0, 0, 100).await.unwrap_err();
    assert!(matches!(error, StorageError::Escapes { .. }), "{error}");
    assert!(storage.check_existing(|_, _| {}).await.is_err());
    assert!(storage.finalize().await.is_err());
}

#[tokio::test]
async fn a_symlinked_file_that_leads_out_is_refused() {
    let torrent = Torrent::single(100, 250);
    let (_dir, out, outside) = places();
    let storage = torrent.download(&out);
    symlink(outside.join("victim"), out.join("t")).unwrap();
    assert!(
        matches!(refused(&torrent, &out), StorageError::Escapes { .. }),
        "leads to nothing"
    );
    let error = write_first(&torrent, &storage).await;
    assert!(matches!(error, StorageError::Escapes { .. }), "{error}");
    assert!(!outside.join("victim").exists());
    fs::write(outside.join("victim"), "mine").unwrap();
    assert!(matches!(
        refused(&torrent, &out),
        StorageError::Escapes { .. }
    ));
    write_first(&torrent, &storage).await;
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"mine");
}

#[tokio::test]
async fn a_symlink_loop_is_refused() {
    let torrent = Torrent::new(100, &[file("t/d/a", 250)]);
    let (_dir, out, _) = places();
    symlink("t", out.join("t")).unwrap();
    assert!(matches!(
        refused(&torrent, &out),
        StorageError::Escapes { .. }
    ));
}

#[tokio::test]
async fn symlinks_that_stay_inside_and_the_root_itself_are_followed() {
    let torrent = Torrent::new(100, &[file("t/d/a", 250), file("t/b", 10)]);
    let (dir, out, _) = places();
    fs::create_dir_all(out.join("real")).unwrap();
    fs::create_dir_all(out.join("t")).unwrap();
    symlink("../real", out.join("t/d")).unwrap();
    symlink(&out, dir.path().join("link")).unwrap();
    let storage = torrent.download(&dir.path().join("link"));
    torrent.write_all(&storage).await;
    storage.finalize().await.unwrap();
    assert!(fs::read(out.join("real/a")).unwrap() == torrent.bytes[..250]);
    assert!(check(&torrent.download(&out)).await.is_full());
}

#[test]
fn unsafe_paths_of_the_torrent_are_refused() {
    let (dir, out, _) = places();
    for path in [
        "../x",
        "/etc/x",
        "t/../../x",
        "",
        ".",
        "..",
        "t/\0/x",
        "a/./../b",
    ] {
        let torrent = Torrent::new(100, &[file(path, 250), file("t/ok", 1)]);
        let error = torrent.open(&out, Mode::Download).unwrap_err();
        assert!(
            matches!(error, StorageError::UnsafePath { .. }),
            "{path:?}: {error}"
        );
        assert!(error.is_bad_torrent());
    }
    assert!(snapshot(dir.path()).is_empty());
}

#[test]
fn a_path_that_is_there_twice_is_refused() {
    let (_dir, out, _) = places();
    for paths in [["t/a", "t/a"], ["t/a", "t/a/b"], ["t/x/y/z", "t/x"]] {
        let torrent = Torrent::new(
            100,
            &[file(paths[0], 10), file("t/other", 1), file(paths[1], 10)],
        );
        let error = torrent.open(&out, Mode::Download).unwrap_err();
        assert!(
            matches!(error, StorageError::Conflict { .. }),
            "{paths:?}: {error}"
        );
        assert!(error.is_bad_torrent());
    }
    let near = Torrent::new(100, &[file("t/a", 10), file("t/a.b", 1), file("t/ab", 10)]);
    near.open(&out, Mode::Download).unwrap();
}

#[tokio::test]
async fn names_cannot_write_on_the_terminal() {
    let torrent = Torrent::new(100, &[file("t/a\n\x1b[2Jb", 250)]);
    let (_dir, out, _) = places();
    fs::create_dir_all(out.join("t/a\n\x1b[2Jb")).unwrap();
    one_line(&refused(&torrent, &out));
}

#[tokio::test]
async fn a_longer_file_is_refused_and_kept() {
    let torrent = Torrent::new(100, &[file("t/a", 250), file("t/empty", 0)]);
    let (_dir, out, _) = places();
    let storage = torrent.download(&out);
    fs::create_dir(out.join("t")).unwrap();
    for (name, length) in [("t/a", 251), ("t/empty", 1)] {
        fs::write(out.join(name), vec![7; length]).unwrap();
        let error = refused(&torrent, &out);
        assert!(matches!(error, StorageError::TooLong { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(storage.finalize().await.is_err());
        assert_eq!(fs::read(out.join(name)).unwrap(), vec![7; length]);
        fs::remove_file(out.join(name)).unwrap();
    }
    fs::write(out.join("t/a"), vec![7; 251]).unwrap();
    assert!(matches!(
        write_first(&torrent, &storage).await,
        StorageError::TooLong { .. }
    ));
    assert_eq!(fs::read(out.join("t/a")).unwrap(), vec![7; 251]);
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let torrent = Torrent::new(100, &[file("t/d/a", 250)]);
    let (_dir, out, _) = places();
    let storage = torrent.download(&out);
    fs::create_dir(out.join("t")).unwrap();
    // a file where a directory must be
    fs::write(out.join("t/d"), "mine").unwrap();
    let error = refused(&torrent, &out);
    assert!(
        matches!(&error, StorageError::NotADirectory { path } if path.ends_with("t/d")),
        "{error}"
    );
    let error = write_first(&torrent, &storage).await;
    assert!(
        matches!(error, StorageError::NotADirectory { .. }),
        "{error}"
    );
    assert_eq!(fs::read(out.join("t/d")).unwrap(), b"mine");
    // a directory where a file must be
    fs::remove_file(out.join("t/d")).unwrap();
    fs::create_dir_all(out.join("t/d/a")).unwrap();
    let error = refused(&torrent, &out);
    assert!(
        matches!(&error, StorageError::NotAFile { path } if path.ends_with("t/d/a")),
        "{error}"
    );
    let error = write_first(&torrent, &storage).await;
    assert!(matches!(error, StorageError::NotAFile { .. }), "{error}");
}

#[tokio::test]
async fn a_device_or_a_socket_is_no_file() {
    let torrent = Torrent::single(100, 250);
    let (_dir, out, _) = places();
    let _socket = std::os::unix::net::UnixListener::bind(out.join("t")).unwrap();
    assert!(matches!(
        refused(&torrent, &out),
        StorageError::NotAFile { .. }
    ));
}

#[test]
fn an_output_directory_that_cannot_be() {
    let torrent = Torrent::single(100, 250);
    let (_dir, out, _) = places();
    fs::write(out.join("file"), "").unwrap();
    for below in ["file", "file/x", "file/x/y"] {
        let error = torrent.open(&out.join(below), Mode::Download).unwrap_err();
        assert!(
            matches!(&error, StorageError::NotADirectory { path } if path.ends_with("file")),
            "{error}"
        );
        one_line(&error);
    }
    // /proc lets nobody create anything, root included
    let error = torrent
        .open(Path::new("/proc/chunkcast-out"), Mode::Download)
        .unwrap_err();
    assert!(error.to_string().contains("/proc/chunkcast-out"), "{error}");
    torrent
        .open(&out.join("new/and/deep"), Mode::Download)
        .unwrap();
    assert!(out.join("new/and/deep").is_dir());
}

#[test]
fn nothing_to_seed() {
    let single = Torrent::single(100, 250);
    let many = Torrent::new(100, &[file("t/a", 250)]);
    let (_dir, out, _) = places();
    let open = |torrent: &Torrent, path: &Path| {
        let target = Target::Content(path);
        Storage::open_at(
            torrent.layout.clone(),
            target,
            Mode::SeedOnly,
            StorageConfig::default(),
        )
        .unwrap_err()
    };
    for torrent in [&single, &many] {
        let error = open(torrent, &out.join("nothing"));
        assert!(matches!(error, StorageError::Missing { .. }), "{error}");
        one_line(&error);
    }
    fs::write(out.join("f"), "").unwrap();
    assert!(matches!(
        open(&many, &out.join("f")),
        StorageError::NotADirectory { .. }
    ));
    assert!(matches!(open(&single, &out), StorageError::NotAFile { .. }));
    assert!(matches!(
        open(&single, Path::new("/")),
        StorageError::NotAFile { .. }
    ));
    assert!(!out.join("nothing").exists());
}

/// A hard link or a symlink between two files of the torrent: writing one would spoil the other.
#[tokio::test]
async fn two_files_that_are_one_on_disk_are_refused() {
    let torrent = Torrent::new(100, &[file("t/a", 100), file("t/b", 200)]);
    let (_dir, out, _) = places();
    fs::create_dir(out.join("t")).unwrap();
    fs::write(out.join("t/a"), torrent.file_bytes(0)).unwrap();
    for link in [
        fs::hard_link::<PathBuf, PathBuf>,
        symlink::<PathBuf, PathBuf>,
    ] {
        // there at the start
        link(out.join("t/a"), out.join("t/b")).unwrap();
        let storage = torrent.download(&out);
        assert_eq!(check(&storage).await, set(&torrent, [0]));
        for piece in [0, 1] {
            let result = storage.finish_piece(piece, torrent.blocks(piece)).await;
            assert!(
                matches!(result, PieceResult::Disk(StorageError::SameFile { .. })),
                "{result:?}"
            );
        }
        assert!(fs::read(out.join("t/a")).unwrap() == torrent.file_bytes(0));
        // the way out that the message names
        fs::remove_file(out.join("t/b")).unwrap();
        torrent.write_all(&storage).await;
        torrent.assert_complete(&out);
        fs::remove_file(out.join("t/b")).unwrap();
        // later
        let storage = torrent.download(&out);
        link(out.join("t/a"), out.join("t/b")).unwrap();
        let result = storage.finish_piece(1, torrent.blocks(1)).await;
        assert!(
            matches!(result, PieceResult::Disk(StorageError::SameFile { .. })),
            "{result:?}"
        );
        assert!(fs::read(out.join("t/a")).unwrap() == torrent.file_bytes(0));
        fs::remove_file(out.join("t/b")).unwrap();
    }
}
