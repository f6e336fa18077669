//! Deleting a torrent's data: its files and the directories that are empty then, and nothing through a symlink.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::handle::DaemonError;
use super::paths::Roots;
use crate::metadata::Layout;

/// Deletes the torrent's files below each of `places`, if these are allowed. Blocking.
///
/// # Errors
/// [`DaemonError::Disk`] with the first thing that could not be deleted, after all else was; [`DaemonError::Outside`].
pub(super) fn all(layout: &Layout, places: &[PathBuf], roots: &Roots) -> Result<(), DaemonError> {
    let mut result = Ok(());
    for place in places {
        let erased = roots.check(place).and_then(|dir| {
            files(layout, &dir, |_| true).map_err(|(path, e)| {
                DaemonError::Disk(format!(
                    "{path:?} cannot be deleted: {e}; delete it by hand"
                ))
            })
        });
        result = result.and(erased);
    }
    result
}

/// Deletes those of the torrent's files below `dir` that `which` names by index, and directories that are empty then. Blocking.
///
/// # Errors
/// The first thing that could not be deleted, after all else was.
pub(super) fn files(
    layout: &Layout,
    dir: &Path,
    which: impl Fn(usize) -> bool,
) -> Result<(), (PathBuf, io::Error)> {
    let mut result = Ok(());
    let mut directories = BTreeSet::new();
    for (index, file) in layout.files.iter().enumerate() {
        if file.padding || !which(index) {
            continue;
        }
        let Some(path) = plain(dir, &file.path) else {
            continue;
        };
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => {
                if let Err(e) = fs::remove_file(&path) {
                    result = result.and(Err((path.clone(), e)));
                }
            }
            _ => {}
        }
        let above = path.ancestors().skip(1).take_while(|above| *above != dir);
        directories.extend(above.map(Path::to_path_buf));
    }
    // the deepest first: a directory is empty when those in it are gone
    for directory in directories.iter().rev() {
        let real = fs::symlink_metadata(directory).is_ok_and(|m| m.is_dir());
        if real {
            // one that is not empty holds what is somebody else's
            let _ = fs::remove_dir(directory);
        }
    }
    result
}

/// The path of a torrent's file below `dir`, if no symlink and no file is on the way to it.
pub(super) fn plain(dir: &Path, relative: &Path) -> Option<PathBuf> {
    let path = dir.join(relative);
    let between = path.ancestors().skip(1).take_while(|above| *above != dir);
    for above in between {
        match fs::symlink_metadata(above) {
            Ok(meta) if !meta.is_dir() => return None,
            _ => {}
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::layout;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_the_torrents_files_and_empty_directories_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("downloads");
        let layout = layout(&["t/a/one", "t/a/two", "t/b/three", "t/c/four", "t/d/five"]);
        for name in ["t/a/one", "t/a/two", "t/b/three", "t/b/notes"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, b"x").expect("a file");
        }
        let outside = dir.path().join("outside");
        fs::create_dir_all(&outside).expect("a directory");
        fs::write(outside.join("four"), b"x").expect("a file");
        fs::write(outside.join("target"), b"x").expect("a file");
        symlink(&outside, root.join("t/c")).expect("a symlink");
        fs::create_dir(root.join("t/d")).expect("a directory");
        symlink(outside.join("target"), root.join("t/d/five")).expect("a symlink");

        let roots = Roots::new(vec![root.clone()]);
        assert_eq!(all(&layout, std::slice::from_ref(&root), &roots), Ok(()));
        assert!(!root.join("t/a").exists(), "it is empty");
        assert!(!root.join("t/b/three").exists());
        assert!(root.join("t/b/notes").exists(), "not the torrent's");
        assert!(outside.join("four").exists() && outside.join("target").exists());
        assert!(root.join("t/c").is_symlink() && root.join("t/d/five").is_symlink());

        fs::remove_file(root.join("t/b/notes")).expect("removed");
        fs::remove_file(root.join("t/c")).expect("removed");
        fs::remove_file(root.join("t/d/five")).expect("removed");
        assert_eq!(all(&layout, std::slice::from_ref(&root), &roots), Ok(()));
        assert!(root.exists() && !root.join("t").exists());
        let refused = all(&layout, &[outside], &roots);
        assert!(matches!(refused, Err(DaemonError::Outside(_))));
    }
}
