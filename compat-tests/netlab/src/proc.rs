//! Processes that end with us, and what they cost.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A process in a group of its own, out of Ctrl-C's reach. If it still runs when this is dropped, it is killed with its
/// group; what outlives it by itself goes with its namespace.
#[derive(Debug)]
pub(crate) struct Proc {
    child: Child,
    /// What it had used when it was last seen, in seconds.
    cpu: f64,
    ended: bool,
}

impl Proc {
    /// Starts `command`; both outputs go to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("`{}`", log.display()))?;
        command.stdout(out.try_clone()?).stderr(out);
        Self::spawn_with_outputs(command.stdin(Stdio::null()))
    }

    /// Starts `command` with the inputs and outputs that it has been given.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn_with_outputs(command: &mut Command) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("`{}` cannot be started", command.get_program().display()))?;
        Ok(Self {
            child,
            cpu: 0.0,
            ended: false,
        })
    }

    /// The standard streams that were piped.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether it still runs; takes down what it has used.
    pub(crate) fn runs(&mut self) -> bool {
        if self.ended {
            return false;
        }
        // what has ended keeps its figures until it is waited for
        let seen = usage(self.child.id());
        if let Some((_, cpu)) = seen {
            self.cpu = cpu;
        }
        if seen.is_none_or(|(state, _)| state == 'Z') {
            let _ = self.child.wait();
            self.ended = true;
        }
        !self.ended
    }

    /// User and system time until now or its end, with that of its own children that have ended, in seconds.
    pub(crate) fn cpu(&mut self) -> f64 {
        self.runs();
        self.cpu
    }

    /// Its number, which is also that of what it has become through `ip netns exec`.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The memory that is resident now, in bytes; `None` once it has ended.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.status("VmRSS")
    }

    /// The most memory that was resident at once until now, in bytes; `None` once it has ended.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        self.status("VmHWM")
    }

    fn status(&self, name: &str) -> Option<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        memory(&std::fs::read_to_string(path).ok()?, name)
    }

    /// Asks it to end.
    pub(crate) fn terminate(&mut self) {
        if self.runs()
            && let Some(pid) = self.pid()
        {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for its end; whether it came in time.
    pub(crate) fn wait(&mut self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        while self.runs() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Kills it and what it has started in its group.
    pub(crate) fn kill(&mut self) {
        if self.runs() {
            if let Some(pid) = self.pid() {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let _ = self.child.wait();
            self.ended = true;
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.kill();
    }
}

/// State, and seconds used, of a process; `None` when there is none with that number.
fn usage(pid: u32) -> Option<(char, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat, rustix::param::clock_ticks_per_second())
}

/// State, and seconds used, from a line of `/proc/PID/stat`. The name, in brackets, may itself have brackets and spaces.
fn parse_stat(stat: &str, ticks: u64) -> Option<(char, f64)> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    let mut used = 0u64;
    for i in 11..15 {
        used += fields.get(i)?.parse::<u64>().ok()?;
    }
    Some((state, used as f64 / ticks as f64))
}

/// Bytes from a line `name:  123 kB` of `/proc/PID/status`.
fn memory(status: &str, name: &str) -> Option<u64> {
    let rest = status
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// When a process began, in ticks since the machine did: with its number, a name that no other process has had.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// Seconds that the machine's cores have worked, and that they have had, since it began.
pub(crate) fn machine() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .filter_map(|f| f.parse().ok())
        .collect();
    let all: u64 = fields.iter().take(8).sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some(((all - idle) as f64 / ticks, all as f64 / ticks))
}

/// The load of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|l| l.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_after_the_last_bracket() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 200 0 0 150 50 7 3 20 0 1 0 12345 1 2";
        assert_eq!(parse_stat(stat, 100), Some(('S', 2.1)));
        assert_eq!(parse_stat("", 100), None);
        assert_eq!(parse_stat("42 (x) S 1", 100), None);
        assert_eq!(parse_stat("no brackets", 100), None);
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    1234 kB\nRssAnon:\t 5 kB\n";
        assert_eq!(memory(status, "VmHWM"), Some(1234 * 1024));
        assert_eq!(memory(status, "VmRSS"), None);
        assert_eq!(memory("VmHWM: 12", "VmHWM"), None);
        assert_eq!(memory("", "VmHWM"), None);
    }

    #[test]
    fn a_process_that_ended_by_itself_has_its_figures() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo end",
        ]);
        let log = dir.path().join("log");
        let mut proc = Proc::spawn(&mut command, &log).expect("sh runs");
        assert!(proc.wait(Duration::from_secs(60)));
        assert!(proc.cpu() > 0.0);
        assert_eq!(std::fs::read_to_string(log).expect("a log"), "end\n");
    }

    #[test]
    fn the_start_of_a_process_is_known_while_it_lives() {
        assert!(start_time(std::process::id()).is_some());
        assert_eq!(start_time(u32::MAX), None);
        let (busy, all) = machine().expect("/proc/stat");
        assert!(busy <= all);
    }
}
