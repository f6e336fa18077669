//! Which directories the daemon may use.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::handle::DaemonError;

/// The directories that the configuration allows, and all below them.
#[derive(Clone, Debug)]
pub(super) struct Roots(Vec<PathBuf>);

impl Roots {
    /// All below these; those that are not absolute count as none.
    pub(super) fn new(allowed: Vec<PathBuf>) -> Self {
        Self(allowed)
    }

    /// `path` without what is superfluous in it. It need not exist; symlinks on the way are followed as far as it does.
    /// Blocking.
    ///
    /// # Errors
    /// [`DaemonError::Invalid`] for one that is not absolute, leads upwards or is not UTF-8, [`DaemonError::Outside`].
    pub(super) fn check(&self, path: &Path) -> Result<PathBuf, DaemonError> {
        let invalid = |why: &str| DaemonError::Invalid(format!("{}: {why}", path.display()));
        if !path.is_absolute() {
            return Err(invalid("not an absolute path; begin it with a slash"));
        }
        if path.to_str().is_none_or(|text| text.contains('\0')) {
            return Err(invalid("a path must be UTF-8, without NUL"));
        }
        if path.components().any(|c| c == Component::ParentDir) {
            return Err(invalid("a path with `..`; name the directory itself"));
        }
        let path: PathBuf = path.components().collect();
        let real = resolved(&path).ok_or_else(|| DaemonError::Outside(path.clone()))?;
        let allowed = |root: &PathBuf| resolved(root).is_some_and(|root| real.starts_with(root));
        if self.0.iter().any(allowed) {
            Ok(path)
        } else {
            Err(DaemonError::Outside(path))
        }
    }
}

/// Where `path` leads, free of symlinks as far as it exists; `None`: a symlink on the way leads to nothing, or the system does
/// not let us look.
pub(super) fn resolved(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    for there in path.ancestors() {
        if fs::symlink_metadata(there).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            continue;
        }
        let rest = path.strip_prefix(there).ok()?;
        let real = fs::canonicalize(there).ok()?;
        return Some(real.join(rest).components().collect());
    }
    None
}

/// The part of `path` that exists.
pub(super) fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|there| there.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_is_below_the_roots_is_allowed_symlinks_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        for name in ["in/deep", "out/in"] {
            fs::create_dir_all(at(name)).expect("a directory");
        }
        symlink(at("out"), at("in/leads-out")).expect("a symlink");
        symlink(at("in/deep"), at("out/leads-in")).expect("a symlink");
        symlink(at("nowhere"), at("in/dangling")).expect("a symlink");
        let roots = Roots::new(vec![at("in"), "relative".into()]);
        for good in ["in", "in/deep", "in/./new/one/", "out/leads-in/x"] {
            let path: PathBuf = at(good).components().collect();
            assert_eq!(roots.check(&at(good)), Ok(path), "{good}");
        }
        for bad in [
            "out",
            "inner",
            "in/leads-out",
            "in/leads-out/in",
            "in/dangling/x",
            "",
        ] {
            let refused = roots.check(&at(bad));
            assert!(
                matches!(refused, Err(DaemonError::Outside(_))),
                "{bad}: {refused:?}"
            );
        }
        for bad in ["in/deep", "relative", ""] {
            let refused = roots.check(Path::new(bad));
            assert!(matches!(refused, Err(DaemonError::Invalid(_))), "{bad}");
        }
        assert!(matches!(
            roots.check(&at("in/../in")),
            Err(DaemonError::Invalid(_))
        ));
    }

    #[test]
    fn a_root_that_is_a_symlink_holds_what_it_leads_to() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("disk")).expect("a directory");
        symlink(dir.path().join("disk"), dir.path().join("link")).expect("a symlink");
        let roots = Roots::new(vec![dir.path().join("link")]);
        assert!(roots.check(&dir.path().join("disk/x")).is_ok());
        assert!(roots.check(&dir.path().join("link/x")).is_ok());
    }
}
