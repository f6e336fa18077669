//! `chunkcast config`: what a daemon would read, and what is wrong with it.

use std::io::Write;

use super::daemon_args::{ConfigArgs, ConfigCommand};
use super::exit::{Code, Failure};
use super::output::{print_line, printable};
use crate::daemon::config::{Config, Loaded, Mistake, Sources, drop_changes, example};

/// Shows, checks, resets.
///
/// # Errors
/// Code 2 for mistakes, each of which has been told in a line of its own; 6 when the changes made at runtime cannot be removed.
pub(super) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Show(from) => {
            let loaded = load(&from.sources()?)?;
            warn(&loaded);
            loaded.show().lines().for_each(print_line);
        }
        ConfigCommand::Check { file } => {
            let loaded = load(&Sources::new(file.clone()))?;
            warn(&loaded);
            print_line(&match &loaded.file {
                Some(file) => format!("{}: good", file.display()),
                None => "there is no configuration file: the defaults hold, and they are good"
                    .to_owned(),
            });
        }
        ConfigCommand::Reset(from) => {
            let loaded = load(&from.sources()?)?;
            let dir = loaded.config.paths.state_dir;
            let dropped = drop_changes(&dir).map_err(|e| {
                let line = format!("the changes in `{}` cannot be removed: {e}", dir.display());
                Failure::new(Code::Disk, line)
            })?;
            print_line(&match dropped.as_slice() {
                [] => "nothing was changed at runtime".to_owned(),
                keys => format!(
                    "forgotten: {}; a daemon that runs goes on with them until it is reloaded (SIGHUP) or restarted",
                    keys.join(", ")
                ),
            });
        }
        ConfigCommand::Example { system } => example(*system).lines().for_each(print_line),
    }
    Ok(())
}

/// Reads the configuration.
///
/// # Errors
/// Code 2; every mistake has been told.
pub(super) fn load(sources: &Sources) -> Result<Loaded, Failure> {
    Config::load(sources).map_err(|mistakes| told(&mistakes))
}

/// Tells of every mistake in a line of its own.
fn told(mistakes: &[Mistake]) -> Failure {
    for mistake in mistakes {
        tell(&mistake.to_string());
    }
    let message = mistakes.first().map(Mistake::to_string).unwrap_or_default();
    Failure {
        told: true,
        ..Failure::new(Code::Usage, message)
    }
}

fn warn(loaded: &Loaded) {
    for line in &loaded.warnings {
        tell(&format!("warning: {line}"));
    }
}

fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "chunkcast: {}", printable(line));
}
