//! Server processes: started on a core, measured through `/proc`, ended with their owner.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// A server of its own.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    addr: SocketAddr,
}

impl Child {
    /// This program in another role. It prints its address and ends when its standard input does.
    pub(crate) fn serve(role: &str, core: usize) -> io::Result<Self> {
        let mut command = pinned(&std::env::current_exe()?.to_string_lossy(), core);
        command
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut line = String::new();
        let out = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(out).read_line(&mut line)?;
        let addr = line
            .trim()
            .parse()
            .map_err(|_| io::Error::other(format!("{role} did not start")))?;
        Ok(Self { process, addr })
    }

    /// A foreign server that listens at `addr`.
    pub(crate) fn foreign(mut command: Command, addr: SocketAddr) -> io::Result<Self> {
        let process = command.stdin(Stdio::null()).spawn()?;
        Ok(Self { process, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Nanoseconds of processor time of all its threads.
    pub(crate) fn cpu_ns(&self) -> io::Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let ns = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
            sum += ns.ok_or_else(|| io::Error::other("no processor time in schedstat"))?;
        }
        Ok(sum)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that stays on `core`, where `taskset` is installed and there is such a core.
pub(crate) fn pinned(program: &str, core: usize) -> Command {
    if !can_pin() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

/// Keeps this process on `core`; whether that is possible.
pub(crate) fn pin(core: usize) -> bool {
    let id = std::process::id().to_string();
    let mut command = Command::new("taskset");
    command.args(["-c", "-p", &core.to_string(), &id]);
    can_pin()
        && command
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
}

fn can_pin() -> bool {
    let installed = Command::new("taskset")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    // of the machine, not of this process, which may be pinned already
    let cores = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    installed && cores.matches("processor\t:").count() > 1
}
