//! The configuration as TOML: what holds and where it is from, and an example with every key.

use std::fmt::Write as _;

use super::keys::{KEYS, Key, SECTIONS};
use super::load::{Loaded, Origin};
use super::{Config, Places};

/// Columns of a comment.
const WIDTH: usize = 100;

/// The variable of the environment that sets a key.
pub(super) fn env_name(key: &Key) -> String {
    let words = format!("CHUNKCAST_{}_{}", key.section, key.name);
    words.to_uppercase().replace('-', "_")
}

impl Loaded {
    /// All values that hold, as TOML that says the same when it is read, each with a comment about where it is from.
    /// Secrets are not shown.
    pub fn show(&self) -> String {
        let mut out = String::new();
        for (section, _) in SECTIONS {
            let _ = writeln!(out, "[{section}]");
            for key in KEYS.iter().filter(|k| k.section == section) {
                let value = (key.show)(&self.config);
                let hidden = if key.secret { "# " } else { "" };
                let origin = match self.origins.get(&key.path()) {
                    None | Some(Origin::Default) => "default".to_owned(),
                    Some(Origin::Runtime(..)) => "changed at runtime".to_owned(),
                    Some(origin) => origin.to_string(),
                };
                let line = format!("{hidden}{} = {value}", key.name);
                let _ = writeln!(out, "{line:<44} # {}", origin.escape_debug());
            }
            out.push('\n');
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    /// Keys whose values differ from those of `before`: those that a running daemon takes, and those that need a restart.
    pub fn changed_since(&self, before: &Config) -> (Vec<String>, Vec<String>) {
        let differ = |k: &&Key| match k.secret {
            false => (k.show)(&self.config) != (k.show)(before),
            true => secrets(&self.config, k.name) != secrets(before, k.name),
        };
        let (now, later): (Vec<&Key>, Vec<&Key>) =
            KEYS.iter().filter(differ).partition(|k| k.at_once);
        let paths = |keys: Vec<&Key>| keys.iter().map(|k| k.path()).collect();
        (paths(now), paths(later))
    }
}

fn secrets<'a>(config: &'a Config, name: &str) -> Option<&'a super::Secret> {
    match name {
        "key" => config.network.key.as_ref(),
        _ => config.api.password.as_ref(),
    }
}

/// A file with every key at its default, commented out, and what it says. `system`: for a service of the whole machine, with
/// its paths set.
pub fn example(system: bool) -> String {
    let places = if system {
        Places::of_system()
    } else {
        Places::of_user()
    };
    let config = Config::defaults(&places);
    let mut out = String::from(
        "# The configuration of `chunkcast daemon`. What is commented out is the default.\n\
         # Every key can also be set by a variable of the environment, such as CHUNKCAST_RATES_DOWNLOAD, which wins over this\n\
         # file. `chunkcast config check FILE` reads it, `chunkcast config show` says what holds; SIGHUP reloads it.\n",
    );
    for (section, about) in SECTIONS {
        let _ = write!(out, "\n# {about}\n[{section}]\n");
        for key in KEYS.iter().filter(|k| k.section == section) {
            let value = match key.secret {
                true => "\"…\"".to_owned(),
                false => (key.show)(&config),
            };
            let set = system && matches!(key.name, "download-dir" | "state-dir");
            let off = if set { "" } else { "#" };
            comment(&mut out, &format!("{} Default: {}.", key.about, key.source));
            let _ = writeln!(out, "{off}{} = {value}", key.name);
        }
    }
    out
}

/// A comment, in lines of at most [`WIDTH`] characters.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
