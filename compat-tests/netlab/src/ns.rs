//! Network namespaces of one harness: made with `ip`, and removed with everything in them when it ends.
//!
//! A name is `netlab-PID-START-ROLE`, with the harness's process id and start time. Namespaces and directories whose
//! harness is gone, because it was killed outright, are removed by the next one; no others are touched.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::fault::Fault;
use crate::proc::start_time;

const PREFIX: &str = "netlab";

/// A network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Ns(String);

/// All namespaces and files of this harness; they end with this.
#[derive(Debug)]
pub(crate) struct Set {
    tag: String,
    names: Vec<String>,
    dir: PathBuf,
}

impl Set {
    /// None yet, and an empty directory below `parent`. What killed harnesses have left is removed first.
    ///
    /// # Errors
    /// [`Fault::NotAllowed`] without root; when the directory cannot be made.
    pub(crate) fn new(parent: &Path) -> Result<Self> {
        if !geteuid().is_root() {
            return Err(Fault::NotAllowed("not root".into()).into());
        }
        sweep(parent);
        let pid = std::process::id();
        let start = start_time(pid).context("/proc/self/stat")?;
        let tag = format!("{PREFIX}-{pid}-{start}");
        let dir = parent.join(&tag);
        std::fs::create_dir_all(&dir).with_context(|| format!("`{}`", dir.display()))?;
        // opentracker gives up root and reads its whitelist here
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
        let names = Vec::new();
        Ok(Self { tag, names, dir })
    }

    /// The directory for this harness's files.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Another namespace, with loopback.
    ///
    /// # Errors
    /// [`Fault::NotAllowed`] where namespaces cannot be made.
    pub(crate) fn add(&mut self, role: &str) -> Result<Ns> {
        let name = format!("{}-{role}", self.tag);
        ip(&["netns", "add", &name]).map_err(|e| Fault::NotAllowed(format!("{e:#}")))?;
        self.names.push(name.clone());
        let ns = Ns(name);
        ns.ip(&["link set lo up"])?;
        Ok(ns)
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        for name in &self.names {
            remove(name);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Ns {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A command that runs there; its process id is the program's own.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.0])
            .arg(program.as_ref());
        command
    }

    /// The same ahead of everybody else: for what emulates and what checks it, or a busy machine would look like a slow
    /// network.
    pub(crate) fn urgent(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.command("nice");
        command.args(["-n", "-20"]).arg(program.as_ref());
        command
    }

    /// Runs lines of `ip -batch` there.
    ///
    /// # Errors
    /// With what `ip` has said.
    pub(crate) fn ip(&self, lines: &[&str]) -> Result<()> {
        batch("ip", &self.0, lines)
    }

    /// Runs lines of `tc -batch` there.
    ///
    /// # Errors
    /// With what `tc` has said.
    pub(crate) fn tc(&self, lines: &[&str]) -> Result<()> {
        batch("tc", &self.0, lines)
    }

    /// Sets files below `/proc/sys/net`.
    ///
    /// # Errors
    /// When there is no such setting.
    pub(crate) fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        let script: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("echo {value} > /proc/sys/net/{name}"))
            .collect();
        let mut command = self.command("sh");
        output(command.args(["-ec", &script.join("\n")])).map(drop)
    }
}

/// Removes a namespace, and first kills what runs in it.
fn remove(name: &str) {
    let pids = ip(&["netns", "pids", name]).unwrap_or_default();
    for pid in pids.lines().filter_map(|l| l.trim().parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = ip(&["netns", "del", name]);
}

/// Removes what harnesses that were killed have left.
fn sweep(parent: &Path) {
    for line in ip(&["netns", "list"]).unwrap_or_default().lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if is_stale(name) {
            remove(name);
        }
    }
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_stale) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a name is that of a harness that no longer runs.
fn is_stale(name: &str) -> bool {
    owner(name).is_some_and(|(pid, start)| start_time(pid) != Some(start))
}

/// Process id and start time in a name of ours.
fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.split('-');
    (parts.next()? == PREFIX).then_some(())?;
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Runs `ip` with these words; what it has printed.
///
/// # Errors
/// With what it has said.
pub(crate) fn ip(words: &[&str]) -> Result<String> {
    output(Command::new("ip").args(words))
}

/// Runs a command out of Ctrl-C's reach; its standard output.
///
/// # Errors
/// With what it has said, when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words
            .map(|w| w.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let shown = shown();
    let out = command
        .process_group(0)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{shown}` cannot be started"))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!("`{shown}`: {}, {}", out.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn batch(program: &str, name: &str, lines: &[&str]) -> Result<()> {
    let mut child = Command::new(program)
        .args(["-n", name, "-batch", "-"])
        .process_group(0)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{program}` cannot be started; it is in Debian's iproute2"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all((lines.join("\n") + "\n").as_bytes())?;
    }
    let out = child.wait_with_output()?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!("{program} -n {name}: {}: {}", said.trim(), lines.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_harnesses_that_are_gone_are_stale() {
        let pid = std::process::id();
        let start = start_time(pid).expect("we live");
        assert!(!is_stale(&format!("netlab-{pid}-{start}-gw0")));
        assert!(!is_stale(&format!("netlab-{pid}-{start}")));
        // the number was given to another process since
        assert!(is_stale(&format!("netlab-{pid}-{}-gw0", start + 1)));
        assert!(is_stale("netlab-4294967295-1-peer3"));
        for other in [
            "netlab",
            "netlab-x-1-y",
            "netlab-1",
            "other-1-1-hub",
            "ccct-1-1-hub",
            "",
        ] {
            assert!(!is_stale(other), "{other}");
        }
    }
}
