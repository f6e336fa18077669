//! What one core of an index node does, and what one entry costs.
//!
//! `cargo run --release -p chunkcast --example load [-- [--rounds N] [--requests N] [--window N]]` alternates short
//! rounds over loopback against a bare UDP echo, the shipped driver and node, and opentracker (when it is installed).
//! Every server is a process of its own with one thread, on one core; the asker is on another one. Requests and answers
//! of the echo have the sizes of those that it stands beside.
//!
//! Rates are those of a core that does nothing else: one second over the processor time that the server took for a
//! request. That says the same on a busy machine as on an idle one; the requests answered in a second of the clock stand
//! beside it. `--entries` measures memory instead. Linux only: processor time and memory are read from `/proc`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock and owns sockets"
)]

mod ask;
mod memory;
mod messages;
mod process;
mod report;
mod serve;
mod tracker;

use std::io;
use std::process::ExitCode;

use chunkcast::node::Network;

use ask::Asker;
use messages::{Echo, Lookups, Publishes};
use process::Child;
use report::Report;

const USAGE: &str = "usage: load [--rounds N] [--requests N] [--window N] | load --entries";
/// The core of the servers, and that of the asker.
const CORES: [usize; 2] = [1, 0];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--serve-echo"] => serve::echo(),
        ["--serve-open"] => serve::node(Network::Open),
        ["--serve-closed"] => serve::node(Network::Closed(serve::KEY)),
        ["--measure", what] => memory::measure(what),
        ["--entries"] => memory::report(),
        _ => match Options::read(&words) {
            Ok(options) => load(&options),
            Err(message) => {
                eprintln!("load: {message}");
                return ExitCode::from(2);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("load: {e}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    rounds: usize,
    requests: u32,
    window: u32,
}

impl Options {
    fn read(args: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            rounds: 10,
            requests: 20_000,
            window: 32,
        };
        for pair in args.chunks(2) {
            let &[name, value] = pair else {
                return Err(USAGE.to_owned());
            };
            let number: u32 = value.parse().map_err(|e| format!("{name}: {e}"))?;
            match name {
                "--rounds" if (1..=1000).contains(&number) => options.rounds = number as usize,
                "--requests" if (100..=1_000_000).contains(&number) => options.requests = number,
                "--window" if (1..=64).contains(&number) => options.window = number,
                "--rounds" | "--requests" | "--window" => {
                    return Err(format!(
                        "{name} {value}: 1..=1000 rounds of 100..=1000000 requests, 1..=64 at once"
                    ));
                }
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }
}

fn load(options: &Options) -> io::Result<()> {
    let pinned = process::pin(CORES[1]);
    let echo = Child::serve("--serve-echo", CORES[0])?;
    let open = Child::serve("--serve-open", CORES[0])?;
    let closed = Child::serve("--serve-closed", CORES[0])?;
    let tracker = tracker::start(CORES[0])?;

    let mut at_echo = Asker::new(echo.addr(), options.window)?;
    let mut at_open = Asker::new(open.addr(), options.window)?;
    let mut publishes = Publishes::new(&mut at_open, true)?;
    publishes.fill(&mut at_open, messages::SMALL)?;
    publishes.fill(&mut at_open, messages::LARGE)?;
    let mut other = Asker::new(open.addr(), options.window)?;
    Publishes::new(&mut other, true)?.propagate(&mut other, messages::FAR)?;
    let lookups = |entries| Lookups::new(entries, publishes.token());
    let mut small = lookups(messages::SMALL);
    let mut large = lookups(messages::LARGE);
    let mut far = lookups(messages::FAR);

    let mut at_closed = Asker::sealed(closed.addr(), options.window)?;
    let mut sealed_publishes = Publishes::new(&mut at_closed, false)?;
    sealed_publishes.fill(&mut at_closed, messages::SMALL)?;
    sealed_publishes.fill(&mut at_closed, messages::LARGE)?;
    let mut sealed_lookups = Lookups::new(messages::SMALL, sealed_publishes.token());

    let mut lookup_echo = Echo::beside(&mut small, &mut at_open)?;
    publishes.prepare(1);
    let mut publish_echo = Echo::beside(&mut publishes, &mut at_open)?;
    let mut announces = match &tracker {
        Some(tracker) => {
            let mut asker = Asker::new(tracker.addr(), options.window)?;
            let mut announces = tracker::Announces::new(&mut asker)?;
            let echo = Echo::beside(&mut announces, &mut asker)?;
            Some((asker, announces, echo))
        }
        None => None,
    };

    let mut report = Report::new(pinned, options);
    let n = options.requests;
    for _ in 0..options.rounds {
        report.add(
            "echo, as lookup",
            at_echo.round(&echo, &mut lookup_echo, n)?,
        );
        report.add(
            "lookup, 50 at one place",
            at_open.round(&open, &mut small, n)?,
        );
        report.add("lookup, 511 places", at_open.round(&open, &mut far, n)?);
        report.add(
            "lookup, 512 at one place",
            at_open.round(&open, &mut large, n)?,
        );
        report.add(
            "closed: lookup, 50",
            at_closed.round(&closed, &mut sealed_lookups, n)?,
        );
        publishes.prepare(n / 8);
        sealed_publishes.prepare(n);
        report.add(
            "echo, as publish",
            at_echo.round(&echo, &mut publish_echo, n)?,
        );
        report.add(
            "publish, signed",
            at_open.round(&open, &mut publishes, n / 8)?,
        );
        report.add(
            "closed: publish",
            at_closed.round(&closed, &mut sealed_publishes, n)?,
        );
        if let (Some((asker, announces, beside)), Some(tracker)) = (&mut announces, &tracker) {
            report.add("echo, as announce", at_echo.round(&echo, beside, n)?);
            report.add(
                "opentracker's announce",
                asker.round(tracker, announces, n)?,
            );
        }
    }
    report.print()
}
