//! A small network of its own for a test: hosts with private addresses on one switch, each a network namespace.
//!
//! Stock clients refuse or treat specially what is on loopback (Transmission dials no 127.0.0.0/8), and with their
//! default settings they all want the same ports. Here each has a host to itself. There is a default route and nothing
//! behind it, so nothing leaves. Needs root and `ip`.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::installed;

/// Names of our namespaces: this, the process id, a number, the host.
const PREFIX: &str = "ccct";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A switch, to which hosts are connected; it ends with this.
#[derive(Debug)]
pub struct Lan {
    hub: String,
    hosts: Cell<u8>,
}

/// One host: a network namespace with one address; it ends with this.
#[derive(Debug)]
pub struct Host {
    name: String,
    /// Its address.
    pub ip: String,
}

impl Lan {
    /// A network without hosts; `None`, with a line that says so, where namespaces cannot be made.
    ///
    /// # Panics
    /// When a namespace can be made and then not be set up.
    pub fn new(skipped: &str) -> Option<Self> {
        if !installed("ip", skipped) {
            return None;
        }
        if !std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0) {
            println!("SKIPPED: {skipped}: network namespaces need root");
            return None;
        }
        sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hub = format!("{PREFIX}-{}-{number}-hub", std::process::id());
        if !ip(&["netns", "add", &hub]) {
            println!("SKIPPED: {skipped}: network namespaces are not allowed here");
            return None;
        }
        let this = Self {
            hub,
            hosts: Cell::new(0),
        };
        for command in [
            "link add br0 type bridge",
            "addr add 10.77.0.1/24 dev br0",
            "link set br0 up",
            "route add unreachable default",
        ] {
            within(&this.hub, command);
        }
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        let done = exec(&this.hub, "sh").args(["-c", forward]).status();
        assert!(done.is_ok_and(|s| s.success()), "{forward}");
        Some(this)
    }

    /// Another host.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub fn host(&self, name: &str) -> Host {
        let number = self.hosts.get() + 1;
        self.hosts.set(number);
        let host = Host {
            name: self.hub.replace("-hub", &format!("-{name}{number}")),
            ip: format!("10.77.0.{}", number + 1),
        };
        assert!(ip(&["netns", "add", &host.name]), "ip netns add");
        let (far, addr) = (&host.name, &host.ip);
        within(
            &self.hub,
            &format!("link add p{number} type veth peer name eth0 netns {far}"),
        );
        within(&self.hub, &format!("link set p{number} master br0 up"));
        within(far, "link set lo up");
        within(far, &format!("addr add {addr}/24 dev eth0"));
        within(far, "link set eth0 up");
        within(far, "route add default via 10.77.0.1");
        host
    }
}

impl Host {
    /// A command that runs there; its process id is the program's own.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        exec(&self.name, program)
    }

    /// It has this address too.
    ///
    /// # Panics
    /// When it cannot be given one more.
    pub fn also(&self, addr: &str) {
        within(&self.name, &format!("addr add {addr}/24 dev eth0"));
    }

    /// What programs there find in `/etc/hosts`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn knows(&self, hosts: &str) {
        crate::write(&etc(&self.name).join("hosts"), hosts.as_bytes());
    }
}

/// Files below this are seen below `/etc` by what runs in the namespace: see ip-netns(8).
fn etc(namespace: &str) -> PathBuf {
    Path::new("/etc/netns").join(namespace)
}

/// Removes a namespace, and its files.
fn remove(namespace: &str) {
    ip(&["netns", "del", namespace]);
    let _ = std::fs::remove_dir_all(etc(namespace));
}

impl Drop for Lan {
    fn drop(&mut self) {
        remove(&self.hub);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn exec(namespace: &str, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", namespace])
        .arg(program.as_ref());
    command
}

fn within(namespace: &str, command: &str) {
    let mut args = vec!["-n", namespace];
    args.extend(command.split(' '));
    assert!(ip(&args), "ip {}", args.join(" "));
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip")
        .args(args)
        .status()
        .is_ok_and(|s| s.success())
}

/// Removes what test runs that were killed have left.
fn sweep() {
    let Ok(list) = Command::new("ip").args(["netns", "list"]).output() else {
        return;
    };
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let mut parts = name.split('-');
        let ours = parts.next() == Some(PREFIX);
        let pid = parts.next().and_then(|p| p.parse::<u32>().ok());
        if let Some(pid) = pid.filter(|_| ours)
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            remove(name);
        }
    }
}
