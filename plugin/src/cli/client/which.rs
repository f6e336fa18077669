//! Which torrent somebody means.

use reqwest::Method;
use serde_json::Value;

use super::api::Api;
use crate::cli::exit::{Code, Failure};

/// Candidates that a line names.
const NAMED: usize = 5;

/// A torrent of the daemon, as the API shows it.
#[derive(Clone, Debug)]
pub(super) struct Torrent(pub(super) Value);

impl Torrent {
    pub(super) fn hash(&self) -> &str {
        self.text("hash")
    }

    pub(super) fn name(&self) -> &str {
        self.text("name")
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or("")
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or(0)
    }
}

/// All torrents, by their place in the queue.
///
/// # Errors
/// As [`Api::ask`].
pub(super) async fn all(api: &Api) -> Result<Vec<Torrent>, Failure> {
    let mut answer = api.ask(Method::GET, "/torrents", None).await?;
    match answer["torrents"].take() {
        Value::Array(all) => Ok(all.into_iter().map(Torrent).collect()),
        _ => Err(Failure::new(
            Code::Network,
            "the daemon's answer has no torrents in it",
        )),
    }
}

/// Those that are named, each once.
///
/// # Errors
/// Code 2 for a name of none, or of several.
pub(super) async fn find(api: &Api, names: &[String]) -> Result<Vec<Torrent>, Failure> {
    let all = all(api).await?;
    let mut found: Vec<Torrent> = Vec::new();
    for name in names {
        let torrent = one(&all, name)?;
        if !found.iter().any(|f| f.hash() == torrent.hash()) {
            found.push(torrent.clone());
        }
    }
    Ok(found)
}

/// The one that is named.
///
/// # Errors
/// As [`find`].
pub(super) async fn find_one(api: &Api, name: &str) -> Result<Torrent, Failure> {
    let mut found = find(api, &[name.to_owned()]).await?;
    Ok(found.remove(0))
}

/// Its infohash, its number, its name, the beginning of its infohash, a part of its name: the first of these that fits any.
fn one<'a>(all: &'a [Torrent], name: &str) -> Result<&'a Torrent, Failure> {
    let lower = name.to_lowercase();
    let number = name.parse::<u64>().ok();
    let fits: [&dyn Fn(&Torrent) -> bool; 5] = [
        &|t| t.hash() == lower,
        &|t| number.is_some_and(|n| t.number("id") == n),
        &|t| t.name() == name,
        &|t| !lower.is_empty() && t.hash().starts_with(&lower),
        &|t| !lower.is_empty() && t.name().to_lowercase().contains(&lower),
    ];
    let found = fits.iter().find_map(|fit| {
        let found: Vec<&Torrent> = all.iter().filter(|t| fit(t)).collect();
        (!found.is_empty()).then_some(found)
    });
    match found.as_deref() {
        Some([torrent]) => Ok(torrent),
        None => {
            let line = format!("`{name}` is no torrent of the daemon; `chunkcast ls` shows them");
            Err(Failure::new(Code::Usage, line))
        }
        Some(several) => {
            let named = several.iter().take(NAMED);
            let mut named: Vec<String> = named
                .map(|t| format!("{} {}", &t.hash()[..8.min(t.hash().len())], t.name()))
                .collect();
            if several.len() > NAMED {
                named.push(format!("{} more", several.len() - NAMED));
            }
            let line = format!(
                "`{name}` may be {}; name it by the beginning of its infohash",
                named.join(", or ")
            );
            Err(Failure::new(Code::Usage, line))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn torrents() -> Vec<Torrent> {
        let torrent = |id: u64, hash: &str, name: &str| {
            Torrent(json!({ "id": id, "hash": hash.repeat(40 / hash.len()), "name": name }))
        };
        vec![
            torrent(1, "ab", "debian-13.iso"),
            torrent(2, "abcd", "Debian-12.iso"),
            torrent(3, "3f", "debian"),
            torrent(40, "cd", "übung"),
        ]
    }

    #[test]
    fn a_torrent_is_named_in_any_way_that_fits_one() {
        let all = torrents();
        for (name, id) in [
            ("1", 1),
            (&"ab".repeat(20), 1),
            (&"AB".repeat(20), 1),
            ("abcd", 2),
            ("debian", 3), // its whole name, although it is a part of others
            ("-12", 2),
            ("ÜB", 40),
            ("3", 3), // its number, although it is the beginning of an infohash too
            ("cd", 40),
        ] {
            let found = one(&all, name).expect(name);
            assert_eq!(found.number("id"), id, "{name}");
        }
    }

    #[test]
    fn what_fits_none_or_several_is_refused_with_a_way_out() {
        let all = torrents();
        for (name, words) in [
            ("", "chunkcast ls"),
            ("fedora", "chunkcast ls"),
            ("ab", "abababab debian-13.iso, or abcdabcd Debian-12.iso"),
            ("DEBIAN-1", "beginning of its infohash"),
        ] {
            let line = one(&all, name).expect_err(name).to_string();
            assert!(line.contains(words) && line.contains(name), "{line}");
        }
        let many: Vec<Torrent> = (0..9).map(|_| all[0].clone()).collect();
        let line = one(&many, "debian-1").expect_err("many").to_string();
        assert!(line.contains("4 more"), "{line}");
    }
}
