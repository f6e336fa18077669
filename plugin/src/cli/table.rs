//! `chunkcast table`: whom a running node knows, and what it holds.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::args::TableArgs;
use super::exit::{Code, Failure};
use super::output::{Reporter, count, entries, human, print_line};
use super::signal::interrupted;
use crate::control::{AskError, Request, ask};
use crate::state::{User, control_path, default_dir};

/// Objects listed in the text; all of them are in the JSON.
const OBJECTS: usize = 20;

/// Asks and prints.
///
/// # Errors
/// Code 4 when no node runs there or it does not answer, 2 when there is no state directory to look in.
pub(super) async fn run(args: &TableArgs) -> Result<(), Failure> {
    let paths = match &args.control {
        Some(path) => vec![path.clone()],
        None => {
            let dir = args.state.clone().or_else(default_dir).ok_or_else(|| {
                let message =
                    "this user has no state directory; name the control socket with --control PATH";
                Failure::new(Code::Usage, message)
            })?;
            User::ALL.map(|user| control_path(&dir, user)).to_vec()
        }
    };
    let table = tokio::select! {
        table = first(&paths) => table?,
        () = interrupted() => return Err(Failure::interrupted("before the node answered")),
    };
    let reporter = Reporter::new(args.json, false);
    if args.json {
        reporter.event("table", table);
    } else {
        text(&table).lines().for_each(print_line);
    }
    Ok(())
}

/// The answer of the first that runs.
async fn first(paths: &[PathBuf]) -> Result<Value, Failure> {
    for path in paths {
        match ask(path, Request::Table).await {
            Err(AskError::NobodyThere(_)) => {}
            answer => return answer.map_err(|e| Failure::new(Code::Network, e)),
        }
    }
    let nobody = AskError::NobodyThere(paths[0].clone());
    let others = match paths.len() {
        1 => "",
        _ => ", and no `node`, `get`, `seed` or `tracker` beside it",
    };
    Err(Failure::new(
        Code::Network,
        format!(
            "{nobody}{others}; start `chunkcast daemon` or `chunkcast node`, or name the socket of a running one with --control PATH"
        ),
    ))
}

fn text(table: &Value) -> String {
    let mut out = String::new();
    let word = |key: &str| table[key].as_str().unwrap_or("?").to_owned();
    let number = |key: &str| table[key].as_u64().unwrap_or(0);
    let home = &table["home"];
    let joined = match (table["joined"].as_bool(), home["addr"].as_str()) {
        (Some(true), Some(addr)) => format!("asking through {addr}"),
        (Some(true), None) => "in the ring".to_owned(),
        _ => "joining".to_owned(),
    };
    let seen = match table["observed"].as_str() {
        Some(addr) => format!(", seen by others as {addr}"),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "{} node {} on {}, {joined}{seen}",
        word("role"),
        word("id"),
        word("listen")
    );
    let _ = writeln!(out, "coordinate {}", coordinate(&table["coord"]));
    let _ = writeln!(
        out,
        "{} known, {} silent",
        count(usize::try_from(number("peers")).unwrap_or(0), "node"),
        number("suspects")
    );
    let none = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| none.clone());
    let leaves = list(&table["leaves"]);
    let _ = writeln!(out, "\nleaf set, {}:", count(leaves.len(), "node"));
    for leaf in &leaves {
        let _ = writeln!(out, "  {}", peer(leaf));
    }
    let slots = list(&table["slots"]);
    let _ = writeln!(
        out,
        "\nrouting table, {}: digits shared, next digit, contacts and spares",
        count(slots.len(), "slot")
    );
    for slot in &slots {
        let (row, column) = (&slot["row"], slot["column"].as_u64().unwrap_or(0));
        for (i, contact) in list(&slot["contacts"]).iter().enumerate() {
            let place = match i {
                0 => format!("{row:>2} {column:x}"),
                _ => String::new(),
            };
            let _ = writeln!(out, "  {place:<4} {}", peer(contact));
        }
    }
    let mut held: Vec<(&String, u64)> = (table["held"].as_object().into_iter().flatten())
        .map(|(object, n)| (object, n.as_u64().unwrap_or(0)))
        .collect();
    held.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let _ = writeln!(
        out,
        "\nholds {} of {}, {}",
        entries(number("entries")),
        count(held.len(), "object"),
        human(number("cache_bytes"))
    );
    for (object, n) in held.iter().take(OBJECTS) {
        let _ = writeln!(out, "  {object} {}", entries(*n));
    }
    if held.len() > OBJECTS {
        let _ = writeln!(
            out,
            "  and {} more (--json lists all)",
            held.len() - OBJECTS
        );
    }
    out
}

/// A node on one line: id, address, measured and predicted round-trip time.
fn peer(peer: &Value) -> String {
    let ms = |key: &str| match peer[key].as_f64() {
        Some(us) => format!("{:.1} ms", us / 1e3),
        None => "not measured".to_owned(),
    };
    format!(
        "{} {:<21} {:>12}, predicted {:>9}{}",
        peer["id"].as_str().unwrap_or("?"),
        peer["addr"].as_str().unwrap_or("?"),
        ms("rtt_us"),
        ms("predicted_us"),
        match peer["suspect"].as_bool() {
            Some(true) => ", silent",
            _ => "",
        }
    )
}

/// `(1.0, -2.5, 0.3) + 0.4 ms, error 12 %`.
fn coordinate(coord: &Value) -> String {
    let ms = |v: &Value| v.as_f64().unwrap_or(0.0) * 1e3;
    let position: Vec<String> = (coord["position"].as_array().into_iter().flatten())
        .map(|v| format!("{:.1}", ms(v)))
        .collect();
    format!(
        "({}) + {:.1} ms, error {:.0} %",
        position.join(", "),
        ms(&coord["height"]),
        coord["error"].as_f64().unwrap_or(1.0) * 100.0
    )
}
