//! The matrix of what works with which stock client: what tests write down, and the table that is made of it.
//!
//! Every test writes one small JSON file per cell; [`Matrix::read`] collects them and [`Matrix::render`] makes
//! `docs/compat.md`. The text holds no times and is the same for the same outcomes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::stock::Client;

/// The rows: names of the tests' modules, and what the table calls them.
pub const SCENARIOS: &[(&str, &str)] = &[
    ("tracker_http", ".torrent, peers from an HTTP tracker"),
    ("tracker_udp", ".torrent, peers from a UDP tracker"),
    (
        "magnet_tracker",
        "magnet link, peers from a tracker, metadata from the peer (BEP 9)",
    ),
    ("magnet_dht", "magnet link, peers from the DHT (BEP 5)"),
    ("pex", "peers from another peer alone (PEX, BEP 11)"),
    (
        "lsd",
        "peers on the local network alone (local discovery, BEP 14)",
    ),
    (
        "encryption_theirs",
        "the client requires encryption (MSE), ours has its default",
    ),
    ("encryption_both", "both require encryption (MSE)"),
    ("utp", "both speak only uTP (BEP 29)"),
    (
        "default_settings",
        "the client's default settings, on a host of its own",
    ),
    ("ipv6", "IPv6 only"),
    ("hybrid", "v1 part of a hybrid torrent (v1 and v2)"),
    ("padding", "v1 torrent with padding files (BEP 47)"),
    ("selected_files", "the leecher takes only some of the files"),
    ("many_pieces", "torrent of 10,000 pieces"),
    (
        "resume",
        "the leecher is killed half-way, and fetches only the rest",
    ),
    (
        "web_seed",
        "web seed (BEP 19): beside the client that seeds; or alone, for the client that leeches a torrent of `create --web-seed`",
    ),
    ("swarm", "every client at once in one swarm"),
];

/// What the stock client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It has the data, we fetch it.
    Seeds,
    /// We have the data, it fetches it.
    Leeches,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Seeds, Self::Leeches];

    /// As the table says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seeds => "seeds",
            Self::Leeches => "leeches",
        }
    }
}

/// How a cell's test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The data arrived.
    Passed,
    /// It did not, in time.
    Failed,
    /// It was not tried, for this reason.
    Skipped(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// Writes down how one cell's test ended, below `results`.
///
/// # Panics
/// When the scenario has no row, or the disk refuses.
pub fn record(results: &Path, scenario: &str, client: Client, role: Role, outcome: &Outcome) {
    assert!(
        SCENARIOS.iter().any(|(name, _)| *name == scenario),
        "{scenario} has no row"
    );
    let reason = match outcome {
        Outcome::Skipped(reason) => reason,
        Outcome::Passed | Outcome::Failed => "",
    };
    let cell = json!({ "scenario": scenario, "client": client.name(), "version": client.version(),
        "role": role.name(), "outcome": outcome.word(), "reason": reason });
    let name = format!("{scenario}-{}-{}.json", client.name(), role.name());
    crate::write(&results.join(name), cell.to_string().as_bytes());
}

/// Row, column without version, to the word in the cell.
type Words = BTreeMap<(String, String), String>;

/// What a run of the tests has written down.
#[derive(Debug, Default)]
pub struct Matrix {
    cells: BTreeMap<(&'static str, Client, Role), Outcome>,
    versions: BTreeMap<Client, String>,
}

impl Matrix {
    /// Everything below `results`.
    ///
    /// # Errors
    /// What the disk says, or that a file is not one of [`record`]'s.
    pub fn read(results: &Path) -> io::Result<Self> {
        let mut this = Self::default();
        for entry in fs::read_dir(results)? {
            let path = entry?.path();
            let cell: Value = serde_json::from_slice(&fs::read(&path)?)?;
            this.insert(&cell)
                .ok_or_else(|| io::Error::other(format!("{}: no cell", path.display())))?;
        }
        Ok(this)
    }

    fn insert(&mut self, cell: &Value) -> Option<()> {
        let text = |name: &str| cell[name].as_str();
        let scenario = SCENARIOS.iter().find(|s| Some(s.0) == text("scenario"))?.0;
        let client = *Client::ALL
            .iter()
            .find(|c| Some(c.name()) == text("client"))?;
        let role = *Role::ALL.iter().find(|r| Some(r.name()) == text("role"))?;
        let outcome = match text("outcome")? {
            "passed" => Outcome::Passed,
            "failed" => Outcome::Failed,
            "skipped" => Outcome::Skipped(text("reason")?.to_owned()),
            _ => return None,
        };
        if let Some(version) = text("version") {
            self.versions.insert(client, version.to_owned());
        }
        self.cells.insert((scenario, client, role), outcome);
        Some(())
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut reasons: Vec<&str> = Vec::new();
        let mut head = "| |".to_owned();
        let mut line = "| --- |".to_owned();
        for client in Client::ALL {
            let version = self.versions.get(&client).map_or("", String::as_str);
            for role in Role::ALL {
                let _ = write!(head, " {} {version} {} |", client.name(), role.name());
                line += " --- |";
            }
        }
        let mut rows = String::new();
        for (scenario, title) in SCENARIOS {
            let _ = write!(rows, "| {title} |");
            for (client, role) in columns() {
                let cell = match self.cells.get(&(*scenario, client, role)) {
                    None => "not run".to_owned(),
                    Some(Outcome::Skipped(reason)) => {
                        let known = reasons.iter().position(|r| r == reason);
                        let number = known.unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                        format!("skipped [^{}]", number + 1)
                    }
                    Some(outcome) => outcome.word().to_owned(),
                };
                let _ = write!(rows, " {cell} |");
            }
            rows.push('\n');
        }
        let notes: String = (reasons.iter().enumerate())
            .map(|(i, reason)| format!("[^{}]: Skipped: {reason}.\n", i + 1))
            .collect();
        let text = format!("{INTRODUCTION}\n{head}\n{line}\n{rows}\n{notes}");
        text.trim_end().to_owned() + "\n"
    }

    /// How the cells differ from those of a rendered document; client versions do not count.
    pub fn differences(&self, document: &str) -> Differences {
        let (old, new) = (words(document), words(&self.render()));
        let mut out = Differences::default();
        let places: Vec<_> = old.keys().chain(new.keys()).collect();
        for place in std::collections::BTreeSet::from_iter(places) {
            let word = |words: &Words| {
                let word = words.get(place).map_or("no such cell", String::as_str);
                word.to_owned()
            };
            let (was, is) = (word(&old), word(&new));
            if was != is {
                out.worse |= is == "failed";
                let (row, column) = place;
                out.lines.push(format!("{row}, {column}: {was} -> {is}"));
            }
        }
        out
    }
}

/// How a run differs from a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// One line per cell.
    pub lines: Vec<String>,
    /// Whether a cell is `failed` now and was not before.
    pub worse: bool,
}

fn columns() -> impl Iterator<Item = (Client, Role)> {
    let both = |client| Role::ALL.map(|role| (client, role));
    Client::ALL.into_iter().flat_map(both)
}

/// The cells of a rendered table.
fn words(document: &str) -> Words {
    let mut out = Words::new();
    for row in document.lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let Some((title, cells)) = cells.split_first() else {
            continue;
        };
        if !SCENARIOS.iter().any(|(_, known)| known == title) {
            continue;
        }
        for ((client, role), cell) in columns().zip(cells) {
            let column = format!("{} {}", client.name(), role.name());
            let word = cell.split(" [").next().unwrap_or(cell).to_owned();
            out.insert(((*title).to_owned(), column), word);
        }
    }
    out
}

const INTRODUCTION: &str = "\
# Compatibility

What works between ChunkCast and stock clients. This file is written by the tests in `compat-tests/tests/compat`
(`./test.sh` runs them; `cargo run -p chunkcast-compat-tests --bin compat-matrix` writes it again); do not edit it.

In a column \"seeds\" the stock client has the data and `chunkcast get` fetches it; in \"leeches\" `chunkcast seed` has it
and the stock client fetches it. `passed`: every byte arrived and was compared. In each row only what the row names is
switched on, in both clients: with \"peers from an HTTP tracker\", for example, DHT, peer exchange, local discovery and our
directory are off.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(outcome: &Outcome) -> Matrix {
        let dir = crate::scratch();
        record(
            dir.path(),
            "ipv6",
            Client::Aria2,
            Role::Seeds,
            &Outcome::Passed,
        );
        record(dir.path(), "ipv6", Client::Aria2, Role::Leeches, outcome);
        Matrix::read(dir.path()).expect("readable")
    }

    #[test]
    fn a_cell_that_fails_now_is_worse() {
        let before = matrix(&Outcome::Passed);
        let now = matrix(&Outcome::Failed);
        assert_eq!(before.differences(&before.render()), Differences::default());
        let found = now.differences(&before.render());
        assert_eq!(found.lines, ["IPv6 only, aria2 leeches: passed -> failed"]);
        assert!(found.worse);
        assert!(!before.differences(&now.render()).worse);
    }

    #[test]
    fn a_reason_becomes_a_footnote() {
        let text = matrix(&Outcome::Skipped("it has no legs".to_owned())).render();
        assert!(text.contains("| skipped [^1] |"), "{text}");
        assert!(
            text.contains("\n[^1]: Skipped: it has no legs.\n"),
            "{text}"
        );
        let reworded = matrix(&Outcome::Skipped("it has no arms".to_owned()));
        assert_eq!(reworded.differences(&text), Differences::default());
    }

    #[test]
    fn another_version_is_no_difference() {
        let before = matrix(&Outcome::Passed);
        let text = before.render().replace("aria2 ", "aria2 0.1 ");
        assert_eq!(before.differences(&text), Differences::default());
    }
}
