//! The command line program: arguments, what is printed, exit codes. All else lives in [`crate::session`].

mod args;
mod budgets;
mod client;
mod config;
mod create;
mod daemon;
mod daemon_args;
mod demo;
mod exit;
mod get;
mod index;
mod journal;
mod log;
mod lookup;
mod manual;
mod node;
mod notify;
mod output;
mod seed;
mod signal;
mod source;
mod table;
mod torrents;
mod tracker;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use self::args::{Cli, Command};
use self::exit::{Code, Failure};
use self::output::Reporter;

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() {
                ExitCode::from(Code::Usage as u8)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    // the daemon's log is as its configuration says
    if !matches!(cli.command, Command::Daemon(_)) {
        log::start(cli.log_format.unwrap_or_default(), log::level(cli.verbose));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            let failure = Failure::new(Code::Other, format!("no runtime: {e}"));
            report(&Reporter::new(false, false), &failure);
            return ExitCode::from(failure.code as u8);
        }
    };
    let (result, json) = runtime.block_on(async {
        match cli.command {
            Command::Get(a) => (get::run(&a).await, a.network.json),
            Command::Seed(a) => (seed::run(&a).await, a.network.json),
            Command::Create(a) => (create::run(&a).await, a.json),
            Command::Node(a) => (node::run(&a).await, a.json),
            Command::Tracker(a) => (tracker::run(&a).await, a.json),
            Command::Lookup(a) => (lookup::run(&a).await, a.json),
            Command::Table(a) => (table::run(&a).await, a.json),
            Command::Demo(a) => (demo::run(&a).await, false),
            Command::Daemon(a) => {
                let format = cli.log_format;
                (daemon::run(&a, cli.verbose, format).await, a.json)
            }
            Command::Add(a) => (client::add(&a).await, a.api.json),
            Command::Ls(a) => (client::ls(&a).await, a.api.json),
            Command::Info(a) => (client::info(&a).await, a.api.json),
            Command::Peers(a) => (client::peers(&a).await, a.api.json),
            Command::Pause(a) => (client::pause(&a).await, a.api.json),
            Command::Start(a) => (client::start(&a).await, a.api.json),
            Command::Verify(a) => (client::verify(&a).await, a.api.json),
            Command::Rm(a) => (client::remove(&a).await, a.api.json),
            Command::Limit(a) => (client::limit(&a).await, a.api.json),
            Command::Select(a) => (client::select(&a).await, a.api.json),
            Command::Move(a) => (client::relocate(&a).await, a.api.json),
            Command::Config(a) => (config::run(&a), false),
            Command::Man(a) => (manual::man(&a), false),
            Command::Completions(a) => {
                manual::completions(&a);
                (Ok(()), false)
            }
        }
    });
    // a disk that hangs must not keep the program from ending
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.told {
                report(&Reporter::new(json, false), &failure);
            }
            ExitCode::from(failure.code as u8)
        }
    }
}

/// One error line on standard error, one `error` event with `--json`.
fn report(reporter: &Reporter, failure: &Failure) {
    let code = failure.code as u8;
    reporter.event("error", json!({ "message": failure.message, "code": code }));
    reporter.aside(|| {
        let _ = writeln!(std::io::stderr().lock(), "chunkcast: {failure}");
    });
}
