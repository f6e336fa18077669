//! What was changed while the daemon ran: a file of the same form in the state directory, written whole and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::keys::{KEYS, Key, NOTED, NOTED_SECTION, SECTIONS};
use super::load::{Kind, Mistake, Origin, Said, parse, read_text};
use super::{Config, Places, Settings};
use crate::daemon::rules::faults;

const FILE: &str = "settings.toml";
const NEW: &str = "settings.toml.new";
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20; // guess: far more than all keys

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// What was changed. What cannot be read is left out, with a warning.
pub(super) fn read(state_dir: &Path, warnings: &mut Vec<String>) -> Vec<Said> {
    if state_dir.as_os_str().is_empty() {
        return Vec::new();
    }
    let path = path(state_dir);
    let text = match read_text(&path, MAX_FILE) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            warnings.push(format!("{}: cannot be read: {e}", path.display()));
            return Vec::new();
        }
    };
    let mut mistakes = Vec::new();
    let origin = |line| Origin::Runtime(path.clone(), line);
    let mut said = parse(&text, Kind::Changes, origin, &mut mistakes);
    let mut scratch = Config::defaults(&Places::of_system());
    said.retain(|said| match (said.key.read)(&mut scratch, &said.raw) {
        Ok(()) => true,
        Err(message) => {
            let (origin, key) = (&said.origin, said.key.path());
            warnings.push(format!("{origin}: {key}: {message}; it is left out"));
            false
        }
    });
    warnings.extend(mistakes.iter().map(|m| format!("{m}; it is left out")));
    said
}

/// Keeps what differs between two states of the settings over a restart, beside what was kept before. It is on disk when this
/// returns.
///
/// # Errors
/// What the disk said; the old file is untouched then.
pub fn keep_changes(state_dir: &Path, before: &Settings, after: &Settings) -> io::Result<()> {
    let config = |settings: &Settings| Config {
        settings: settings.clone(),
        ..Config::defaults(&Places::of_system())
    };
    let (before, after) = (config(before), config(after));
    let mut kept: Vec<(&Key, String)> = Vec::new();
    let mut holder = after.clone();
    for said in read(state_dir, &mut Vec::new()) {
        if (said.key.read)(&mut holder, &said.raw).is_ok() {
            kept.push((said.key, (said.key.show)(&holder)));
        }
    }
    for key in KEYS.iter().filter(|k| k.at_once).chain(NOTED) {
        let value = (key.show)(&after);
        if value != (key.show)(&before) {
            kept.retain(|(k, _)| k.path() != key.path());
            kept.push((key, value));
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    let mut text = String::from(
        "# What was changed while the daemon ran: it wins over the configuration file until that is reloaded (SIGHUP),\n\
         # or until `chunkcast config reset`.\n",
    );
    let sections = SECTIONS.iter().map(|(section, _)| *section);
    for section in sections.chain([NOTED_SECTION]) {
        let keys: Vec<_> = kept.iter().filter(|(k, _)| k.section == section).collect();
        if !keys.is_empty() {
            text.push_str(&format!("\n[{section}]\n"));
        }
        for (key, value) in keys {
            text.push_str(&format!("{} = {value}\n", key.name));
        }
    }
    write(state_dir, &text)
}

/// Forgets what was changed while the daemon ran; the keys that were, as `section.key`.
///
/// # Errors
/// What the disk said.
pub fn drop_changes(state_dir: &Path) -> io::Result<Vec<String>> {
    let said = read(state_dir, &mut Vec::new());
    match fs::remove_file(path(state_dir)) {
        Ok(()) => File::open(state_dir)?.sync_all()?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(said.iter().map(|s| s.key.path()).collect())
}

/// Of what was changed, the keys that make the configuration wrong; all of them if none is known to.
pub(super) fn at_fault(config: &Config, changed: &[Said], wrong: &[Mistake]) -> Vec<String> {
    let faults = faults(&config.settings);
    let named = |key: &str| {
        wrong.iter().any(|m| m.key.as_deref() == Some(key))
            || faults.iter().any(|fault| fault.keys.contains(&key))
    };
    let all: Vec<String> = changed.iter().map(|said| said.key.path()).collect();
    let at_fault: Vec<String> = all.iter().filter(|key| named(key)).cloned().collect();
    if at_fault.is_empty() { all } else { at_fault }
}

/// Whole or not at all, and on disk.
fn write(state_dir: &Path, text: &str) -> io::Result<()> {
    let new = state_dir.join(NEW);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path(state_dir))?;
    File::open(state_dir)?.sync_all()
}
