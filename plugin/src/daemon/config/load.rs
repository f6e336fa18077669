//! The layers of the configuration, put upon each other.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, NOTED_SECTION, SECTIONS, find, find_changeable};
use super::show::env_name;
use super::value::Raw;
use super::{Config, Places, Secret, changes, check};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20; // guess: a hundred times one with every comment
/// The longest password file that is read, in bytes.
const MAX_PASSWORD: u64 = 4096; // guess
/// What every variable of the environment that concerns us begins with.
const PREFIX: &str = "CHUNKCAST_";

/// Where a value is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// The configuration file.
    File(PathBuf, usize),
    /// A change made while the daemon ran.
    Runtime(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            // without a line: of the whole file
            Self::File(path, 0) | Self::Runtime(path, 0) => path.display().fmt(f),
            Self::File(path, line) | Self::Runtime(path, line) => {
                write!(f, "{}:{line}", path.display())
            }
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Something that cannot be: where it was said, the key if it is one's fault, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// Where.
    pub origin: Origin,
    /// `section.key`.
    pub key: Option<String>,
    /// One line.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin, message, ..
        } = self;
        match &self.key {
            Some(key) => write!(f, "{origin}: {key}: {message}"),
            None => write!(f, "{origin}: {message}"),
        }
    }
}

/// A value given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// What the user knows it by, such as `--max-download`.
    pub flag: String,
    /// `section.key`.
    pub key: String,
    /// The value.
    pub text: String,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file; `None`: [`Places::config`], if it is there.
    pub file: Option<PathBuf>,
    /// This user's directories.
    pub places: Places,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// Flags.
    pub flags: Vec<Flag>,
}

impl Sources {
    /// The file, and this process's environment.
    pub fn new(file: Option<PathBuf>) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            file,
            places: Places::of_user(),
            env,
            flags: Vec::new(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What is odd, but stops nothing; each one line.
    pub warnings: Vec<String>,
    /// The download directory without what was changed while the daemon ran.
    pub download_dir: PathBuf,
    pub(super) origins: Origins,
}

impl Loaded {
    /// The keys, as `section.key`, whose value was changed while the daemon ran.
    pub fn changed_at_runtime(&self) -> Vec<String> {
        let origins = self.origins.iter();
        let changed = origins.filter(|(_, origin)| matches!(origin, Origin::Runtime(..)));
        changed.map(|(key, _)| key.clone()).collect()
    }
}

/// By `section.key`; a key that is not there has its default.
pub(super) type Origins = BTreeMap<String, Origin>;

/// One key of a layer.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) key: &'static Key,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// All that is wrong, in the order of the sources.
    pub fn load(sources: &Sources) -> Result<Loaded, Vec<Mistake>> {
        Self::load_with(sources, changes::read)
    }

    /// Reads all sources but what was changed while the daemon ran.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_without_changes(sources: &Sources) -> Result<Loaded, Vec<Mistake>> {
        Self::load_with(sources, |_, _| Vec::new())
    }

    fn load_with(
        sources: &Sources,
        read_changes: impl FnOnce(&Path, &mut Vec<String>) -> Vec<Said>,
    ) -> Result<Loaded, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let (file, base) = read_file(sources, &mut mistakes);
        let mut over = environment(&sources.env, &mut mistakes);
        over.extend(flags(&sources.flags, &mut mistakes));
        // the file of changes is where all the others say
        let mut operator = Self::defaults(&sources.places);
        let mut ignored = Vec::new();
        for said in base.iter().chain(&over) {
            if said.key.section == "paths" {
                apply(&mut operator, said, &mut ignored);
            }
        }
        let mut warnings = Vec::new();
        let mut changed = read_changes(&operator.paths.state_dir, &mut warnings);
        let layers = |changed: &[Said], mistakes: &mut Vec<Mistake>| {
            let (mut config, mut origins) = (Self::defaults(&sources.places), Origins::new());
            for said in base.iter().chain(changed).chain(&over) {
                apply(&mut config, said, mistakes);
                origins.insert(said.key.path(), said.origin.clone());
            }
            put_password(&mut config, &origins, mistakes);
            (config, origins)
        };
        let (mut config, mut origins) = layers(&changed, &mut mistakes);
        if mistakes.is_empty() {
            let mut wrong = check::mistakes(&config, &origins);
            // what somebody changed while the daemon ran must not keep it from starting
            while let Some(first) = wrong.first()
                && !changed.is_empty()
            {
                let at_fault = changes::at_fault(&config, &changed, &wrong);
                warnings.push(format!("{first}; left out: {}", at_fault.join(", ")));
                changed.retain(|said| !at_fault.contains(&said.key.path()));
                (config, origins) = layers(&changed, &mut mistakes);
                wrong = check::mistakes(&config, &origins);
            }
            mistakes.extend(wrong);
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        warnings.extend(check::warnings(&config, &origins, file.as_deref()));
        Ok(Loaded {
            config,
            file,
            warnings,
            download_dir: operator.settings.download_dir,
            origins,
        })
    }
}

fn apply(config: &mut Config, said: &Said, mistakes: &mut Vec<Mistake>) {
    if let Err(message) = (said.key.read)(config, &said.raw) {
        mistakes.push(Mistake {
            origin: said.origin.clone(),
            key: Some(said.key.path()),
            message,
        });
    }
}

fn read_file(sources: &Sources, mistakes: &mut Vec<Mistake>) -> (Option<PathBuf>, Vec<Said>) {
    let named = sources.file.clone();
    let Some(path) = named.clone().or_else(|| sources.places.config.clone()) else {
        return (None, Vec::new());
    };
    let whole = |message| Mistake {
        origin: Origin::File(path.clone(), 0),
        key: None,
        message,
    };
    match read_text(&path, MAX_FILE) {
        Ok(text) => {
            let origin = |line| Origin::File(path.clone(), line);
            let said = parse(&text, Kind::Configuration, origin, mistakes);
            both(&said, mistakes);
            (Some(path), said)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && named.is_none() => (None, Vec::new()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            mistakes.push(whole(
                "there is no such file; `chunkcast config example` prints one to begin with"
                    .to_owned(),
            ));
            (None, Vec::new())
        }
        Err(e) => {
            mistakes.push(whole(format!("cannot be read: {e}")));
            (None, Vec::new())
        }
    }
}

/// Two keys for one thing.
fn both(said: &[Said], mistakes: &mut Vec<Mistake>) {
    let has = |path: &str| said.iter().find(|s| s.key.path() == path);
    if let (Some(_), Some(second)) = (has("api.password"), has("api.password-file")) {
        mistakes.push(Mistake {
            origin: second.origin.clone(),
            key: Some(second.key.path()),
            message: "api.password is there too; leave one of them out".to_owned(),
        });
    }
}

pub(super) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut text = String::new();
    let read = file.take(most + 1).read_to_string(&mut text)?;
    if read as u64 > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(text)
}

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An operator's.
    Configuration,
    /// What the daemon keeps.
    Changes,
}

impl Kind {
    fn find(self, section: &str, name: &str) -> Option<&'static Key> {
        match self {
            Self::Configuration => find(section, name),
            Self::Changes => find_changeable(section, name),
        }
    }
}

/// What the text says, and what is wrong with it.
pub(super) fn parse(
    text: &str,
    kind: Kind,
    origin: impl Fn(usize) -> Origin,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Said> {
    let at = |offset: usize| {
        let before = &text.as_bytes()[..offset.min(text.len())];
        origin(1 + before.iter().filter(|b| **b == b'\n').count())
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            let words: Vec<_> = e.message().split_whitespace().collect();
            mistakes.push(Mistake {
                origin: at(e.span().map_or(0, |s| s.start)),
                key: None,
                message: format!("this is no TOML: {}", words.join(" ")),
            });
            return Vec::new();
        }
    };
    let mut said = Vec::new();
    for (section, value) in table.get_ref() {
        let name = section.get_ref().as_ref();
        let wrong = |message| Mistake {
            origin: at(section.span().start),
            key: None,
            message,
        };
        let DeValue::Table(keys) = value.get_ref() else {
            mistakes.push(wrong(match SECTIONS.iter().any(|(s, _)| *s == name) {
                true => format!("{name}: this is a section; write [{name}] and its keys below"),
                false => unknown_key(None, name),
            }));
            continue;
        };
        let noted = name == NOTED_SECTION && kind == Kind::Changes;
        if !noted && !SECTIONS.iter().any(|(s, _)| *s == name) {
            mistakes.push(wrong(unknown_section(name)));
            continue;
        }
        for (key, value) in keys {
            match kind.find(name, key.get_ref()) {
                Some(found) => said.push(Said {
                    key: found,
                    raw: Raw::of(value.get_ref()),
                    origin: at(key.span().start),
                }),
                None => mistakes.push(Mistake {
                    origin: at(key.span().start),
                    key: None,
                    message: unknown_key(Some(name), key.get_ref()),
                }),
            }
        }
    }
    said
}

fn nearest<T>(text: &str, all: impl Iterator<Item = T>, name: impl Fn(&T) -> String) -> Option<T> {
    let text = text.to_lowercase().replace('_', "-");
    // the first of equals: in the order of the table
    let far = |t: &T| strsim::damerau_levenshtein(&text, &name(t));
    all.min_by_key(far)
}

fn unknown_section(name: &str) -> String {
    let near = nearest(name, SECTIONS.iter(), |(s, _)| (*s).to_owned());
    let near = near.map_or("", |(s, _)| s);
    format!(
        "there is no section [{}]; did you mean [{near}]?",
        shown(name)
    )
}

fn unknown_key(section: Option<&str>, name: &str) -> String {
    let mut same = KEYS.iter().filter(|k| k.name == name);
    let near = match (section, same.next()) {
        (_, Some(elsewhere)) => Some(elsewhere),
        (Some(section), None) => {
            let keys = KEYS.iter().filter(|k| k.section == section);
            nearest(name, keys, |k| k.name.to_owned())
        }
        (None, None) => nearest(name, KEYS.iter(), |k| k.name.to_owned()),
    };
    let near = near.map(|k| format!("`{}` of [{}]", k.name, k.section));
    let place = section.map_or("outside of a section".to_owned(), |s| format!("in [{s}]"));
    format!(
        "there is no key `{}` {place}; did you mean {}?",
        shown(name),
        near.unwrap_or_default()
    )
}

/// As much of a stranger's name as a line takes.
fn shown(name: &str) -> String {
    name.chars().take(60).collect()
}

fn environment(env: &[(String, String)], mistakes: &mut Vec<Mistake>) -> Vec<Said> {
    let mut said = Vec::new();
    let ours = |(section, _): &(&str, &str)| format!("{PREFIX}{}_", section.to_uppercase());
    let mut env: Vec<_> = env.iter().filter(|(n, _)| n.starts_with(PREFIX)).collect();
    env.sort();
    for (name, value) in env {
        let origin = Origin::Environment(name.clone());
        if let Some(key) = KEYS.iter().find(|k| env_name(k) == *name) {
            let raw = Raw::Loose(value.clone());
            said.push(Said { key, raw, origin });
        } else if SECTIONS.iter().any(|s| name.starts_with(&ours(s))) {
            let near = nearest(name, KEYS.iter(), |k| {
                env_name(k).to_lowercase().replace('_', "-")
            });
            let near = near.map(env_name).unwrap_or_default();
            mistakes.push(Mistake {
                origin,
                key: None,
                message: format!("this variable means nothing; did you mean {near}?"),
            });
        }
    }
    both(&said, mistakes);
    said
}

fn flags(flags: &[Flag], mistakes: &mut Vec<Mistake>) -> Vec<Said> {
    let mut said = Vec::new();
    for flag in flags {
        let origin = Origin::Flag(flag.flag.clone());
        let (section, name) = flag.key.split_once('.').unwrap_or(("", &flag.key));
        match find(section, name) {
            Some(key) => said.push(Said {
                key,
                raw: Raw::Loose(flag.text.clone()),
                origin,
            }),
            None => mistakes.push(Mistake {
                origin,
                key: None,
                message: match SECTIONS.iter().any(|(s, _)| *s == section) {
                    true => unknown_key(Some(section), name),
                    false if section.is_empty() => unknown_key(None, name),
                    false => unknown_section(section),
                },
            }),
        }
    }
    said
}

/// Puts what the password file holds into its place.
fn put_password(config: &mut Config, origins: &Origins, mistakes: &mut Vec<Mistake>) {
    let Some(path) = &config.api.password_file else {
        return;
    };
    let key = "api.password-file".to_owned();
    let origin = origins.get(&key).cloned().unwrap_or_default();
    let wrong = |message| Mistake {
        origin,
        key: Some(key),
        message,
    };
    match read_password(path) {
        Ok(password) => config.api.password = Some(password),
        Err(message) => mistakes.push(wrong(message)),
    }
}

/// The first line of a file.
///
/// # Errors
/// A line that names the file.
pub fn read_password(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let text = read_text(path, MAX_PASSWORD);
    let text = text.map_err(|e| format!("`{shown}` cannot be read: {e}"))?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret(line.to_owned())),
        None => Err(format!("`{shown}` has no first line")),
    }
}
