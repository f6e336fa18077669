//! Which names from a torrent may become names on disk.
//!
//! A bad name is refused, never mended: a renamed file would no longer be the one that others seed.

use std::path::{Path, PathBuf};

/// Bytes that a Linux file system takes in one name.
const NAME_BYTES: usize = 255;
/// Bytes that Linux takes in one path (`PATH_MAX` without its NUL).
const PATH_BYTES: usize = 4095;

/// Why a name from a torrent cannot become a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name at all.
    #[error("an empty name")]
    Empty,
    /// `.` or `..`.
    #[error("a name that stands for a folder above")]
    Dots,
    /// `/` or `\`.
    #[error("a path separator inside a name")]
    Separator,
    /// A NUL byte.
    #[error("a NUL byte inside a name")]
    Nul,
    /// More than 255 bytes in a name.
    #[error("a name of more than 255 bytes")]
    Long,
    /// More than 4095 bytes in a path.
    #[error("a path of more than 4095 bytes")]
    LongPath,
}

/// Whether `name` is one plain component of a path.
pub(super) fn check(name: &str) -> Result<(), NameError> {
    match name {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Dots),
        _ if name.contains(['/', '\\']) => Err(NameError::Separator),
        _ if name.contains('\0') => Err(NameError::Nul),
        _ if name.len() > NAME_BYTES => Err(NameError::Long),
        _ => Ok(()),
    }
}

/// The path of these components below the output directory.
pub(super) fn join<'a>(
    name: &str,
    components: impl Iterator<Item = &'a str>,
) -> Result<PathBuf, NameError> {
    let mut path = PathBuf::from(name);
    let mut bytes = name.len();
    for component in components {
        check(component)?;
        bytes += 1 + component.len();
        if bytes > PATH_BYTES {
            return Err(NameError::LongPath);
        }
        path.push(component);
    }
    Ok(path)
}

/// Two files that cannot both exist on disk: the same path twice, or a file where another needs a folder.
pub(super) fn clash(mut paths: Vec<&Path>) -> Option<(&Path, &Path)> {
    // ordered component by component, whatever lies below a path comes right behind it
    paths.sort_unstable();
    paths
        .windows(2)
        .map(|w| (w[0], w[1]))
        .find(|(a, b)| b.starts_with(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_components_pass() {
        for good in [
            "a",
            "...",
            ".hidden",
            "a b",
            "ä",
            "c:",
            "con",
            "~",
            "a\nb",
            &"x".repeat(255),
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for (bad, why) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("/etc", NameError::Separator),
            ("a/b", NameError::Separator),
            ("a\\b", NameError::Separator),
            ("a\0", NameError::Nul),
            (&"x".repeat(256), NameError::Long),
            (&"ä".repeat(128), NameError::Long),
        ] {
            assert_eq!(check(bad), Err(why), "{bad:?}");
        }
        let long = "x".repeat(250);
        assert!(join("n", std::iter::repeat_n(long.as_str(), 16)).is_ok());
        assert_eq!(
            join("n", std::iter::repeat_n(long.as_str(), 17)),
            Err(NameError::LongPath)
        );
    }

    #[test]
    fn clashes_are_found_between_neighbours_and_across_others() {
        let clash = |paths: &[&str]| {
            super::clash(paths.iter().map(Path::new).collect()).map(|(a, b)| {
                (
                    a.to_str().expect("ascii").to_owned(),
                    b.to_str().expect("ascii").to_owned(),
                )
            })
        };
        assert_eq!(clash(&["n/a", "n/b", "n/c/a"]), None);
        // `a!` sorts between `a` and `a/b` as bytes, but not as components
        assert_eq!(
            clash(&["n/a", "n/a!", "n/a/b"]),
            Some(("n/a".into(), "n/a/b".into()))
        );
        assert_eq!(
            clash(&["n/a/b/c", "n/x", "n/a"]),
            Some(("n/a".into(), "n/a/b/c".into()))
        );
        assert_eq!(
            clash(&["n/b", "n/a", "n/b"]),
            Some(("n/b".into(), "n/b".into()))
        );
    }
}
