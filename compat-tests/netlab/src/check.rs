//! Whether the emulation is what it claims to be: round-trip times and one flow's throughput, before anything is measured.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::fault::{Fault, Interrupt};
use crate::lab::{CONGESTION_CONTROL, Lab};
use crate::ns::output;
use crate::proc::Proc;

const PORT: u16 = 7777;

/// A machine that is busy for a moment is given this many chances.
const TRIES: u32 = 3;

/// One thing that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// What, such as `rtt site 0 -> site 1`.
    pub(crate) what: String,
    /// What was asked for, in `unit`.
    pub(crate) asked: f64,
    /// What was found.
    pub(crate) found: f64,
    /// `ms` or `Mbit/s`.
    pub(crate) unit: &'static str,
    /// Whether it is near enough.
    pub(crate) good: bool,
}

/// What was checked.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// Each thing.
    pub(crate) findings: Vec<Finding>,
    /// Congestion control of the flows.
    pub(crate) algorithm: String,
    /// How many times it had to be tried.
    pub(crate) tries: u32,
}

impl Checked {
    /// For the report.
    pub(crate) fn json(&self) -> Value {
        let findings = self
            .findings
            .iter()
            .map(|f| json!({ "what": f.what, "asked": f.asked, "found": f.found, "unit": f.unit }));
        json!({
            "tries": self.tries,
            "congestion_control": self.algorithm,
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

/// Checks the network.
///
/// # Errors
/// [`Fault::Emulation`] when it is off.
pub(crate) fn check(lab: &Lab, interrupt: &Interrupt) -> Result<Checked> {
    for tries in 1.. {
        let mut checked = once(lab, interrupt)?;
        checked.tries = tries;
        let off = checked.findings.iter().find(|f| !f.good);
        match off {
            None => return Ok(checked),
            Some(f) if tries >= TRIES => {
                let text = format!(
                    "{}: asked {:.2} {}, found {:.2}",
                    f.what, f.asked, f.unit, f.found
                );
                return Err(Fault::Emulation(text).into());
            }
            Some(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
    unreachable!("the last try returns")
}

/// A path from one peer to another.
struct Path {
    from: usize,
    to: usize,
    name: String,
}

fn once(lab: &Lab, interrupt: &Interrupt) -> Result<Checked> {
    let exe = std::env::current_exe().context("the harness's own program")?;
    let first = |site: usize| lab.peers.iter().position(|p| p.site == site);
    let sites = lab.gateways.len();
    let mut wan = Vec::new();
    for site in 0..sites {
        let next = (site + 1) % sites;
        if let (Some(from), Some(to)) = (first(site), first(next))
            && site != next
        {
            wan.push(Path {
                from,
                to,
                name: format!("site {site} -> site {next}"),
            });
        }
    }
    // the seed and its first neighbour
    let lan: Vec<Path> = lab.peers[1..]
        .iter()
        .position(|p| p.site == 0)
        .map(|i| Path {
            from: 0,
            to: i + 1,
            name: "within site 0".to_owned(),
        })
        .into_iter()
        .collect();
    let mut servers = Vec::new();
    let mut served: Vec<usize> = lan.iter().chain(&wan).map(|p| p.to).collect();
    served.sort_unstable();
    served.dedup();
    for peer in served {
        let mut command = lab.peers[peer].ns.urgent(&exe);
        command.args(["probe", "serve", &format!("0.0.0.0:{PORT}")]);
        let log = lab.set.dir().join(format!("probe-{peer}.log"));
        servers.push(Proc::spawn(&mut command, &log)?);
    }
    let probe = Probe { lab, exe };
    let mut findings = Vec::new();
    for path in lan.iter().chain(&wan) {
        interrupt.check()?;
        probe.ask(path, &["reach"])?;
        let found = probe.ask(path, &["rtt"])?["ms"]
            .as_f64()
            .unwrap_or(f64::NAN);
        findings.push(match lab.spec.wan {
            Some(wan) if path.name != lan_name(&lan) => rtt(&path.name, wan.rtt, found, false),
            _ => rtt(&path.name, lab.spec.rtt_lan, found, true),
        });
    }
    let mut algorithm = String::new();
    for path in &lan {
        interrupt.check()?;
        let value = probe.ask(path, &["flow", "--seconds", "3", "--skip", "1"])?;
        findings.push(rate(&path.name, lab.spec.access.bits(), &value));
        algorithm = text(&value["congestion_control"]);
    }
    // every uplink and every downlink with one flow, all at once
    let mut flows = Vec::new();
    for path in &wan {
        let mut command = probe.command(path, &["flow", "--seconds", "6", "--skip", "2"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        flows.push((path, Proc::spawn_with_outputs(&mut command)?));
    }
    for (path, mut flow) in flows {
        let end = Instant::now() + Duration::from_secs(40);
        while !flow.wait(Duration::from_millis(100)) {
            interrupt.check()?;
            if Instant::now() >= end {
                bail!("the flow {} hangs", path.name);
            }
        }
        let stdout = flow.child().stdout.take().context("piped")?;
        let value = std::io::read_to_string(stdout)?;
        let value: Value =
            serde_json::from_str(&value).with_context(|| format!("flow {}", path.name))?;
        let asked = lab
            .spec
            .wan
            .map_or(0, |w| w.uplink.min(lab.spec.access).bits());
        findings.push(rate(&path.name, asked, &value));
        algorithm = text(&value["congestion_control"]);
    }
    if algorithm != CONGESTION_CONTROL {
        let text = format!("TCP uses `{algorithm}`, not `{CONGESTION_CONTROL}`");
        return Err(Fault::Emulation(text).into());
    }
    Ok(Checked {
        findings,
        algorithm,
        tries: 1,
    })
}

struct Probe<'a> {
    lab: &'a Lab,
    exe: PathBuf,
}

impl Probe<'_> {
    fn command(&self, path: &Path, words: &[&str]) -> std::process::Command {
        let mut command = self.lab.peers[path.from].ns.urgent(&self.exe);
        let to = format!("{}:{PORT}", self.lab.peers[path.to].ip);
        command.args(["probe", words[0], &to]).args(&words[1..]);
        command
    }

    fn ask(&self, path: &Path, words: &[&str]) -> Result<Value> {
        let text = output(&mut self.command(path, words))?;
        serde_json::from_str(&text).with_context(|| format!("probe {}: `{text}`", words[0]))
    }
}

fn lan_name(lan: &[Path]) -> &str {
    lan.first().map_or("", |p| p.name.as_str())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Within 10 % and half a millisecond; within a site, where nothing delays, only not above.
fn rtt(name: &str, asked: Duration, found: f64, at_most: bool) -> Finding {
    let asked = asked.as_secs_f64() * 1e3;
    let room = asked / 10.0 + 0.5;
    Finding {
        what: format!("rtt {name}"),
        asked,
        found,
        unit: "ms",
        good: found <= asked + room && (at_most || found >= asked - room),
    }
}

/// Within 10 %.
fn rate(name: &str, asked: u64, value: &Value) -> Finding {
    let (asked, found) = (
        asked as f64 / 1e6,
        value["bits"].as_f64().unwrap_or(f64::NAN) / 1e6,
    );
    Finding {
        what: format!("flow {name}"),
        asked,
        found,
        unit: "Mbit/s",
        good: (found / asked - 1.0).abs() <= 0.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_and_half_a_millisecond_are_tolerated() {
        let wan = |found| rtt("a", Duration::from_millis(60), found, false).good;
        assert!(wan(60.0) && wan(66.4) && wan(53.6));
        assert!(!wan(66.6) && !wan(53.4) && !wan(f64::NAN));
        let lan = |found| rtt("a", Duration::from_millis(1), found, true).good;
        assert!(lan(0.05) && lan(1.6) && !lan(1.7) && !lan(f64::NAN));
    }

    #[test]
    fn a_flow_is_within_a_tenth_of_the_rate() {
        let flow = |mbit: f64| rate("a", 20_000_000, &json!({ "bits": mbit * 1e6 })).good;
        assert!(flow(20.0) && flow(18.1) && flow(21.9));
        assert!(!flow(17.9) && !flow(22.1));
        assert!(!rate("a", 20_000_000, &json!({})).good);
    }
}
