//! The commands that show something: `ls`, `info`, `peers`.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::args::{InfoArgs, LsArgs, PeersArgs, StateArg};
use super::rows::{left, name, print, right};
use super::which::{Torrent, all, find_one};
use crate::cli::exit::Failure;
use crate::cli::output::{self, human, human_seconds, print_line};
use crate::discovery::unix_now;

/// Lists torrents.
///
/// # Errors
/// As [`Api::ask`].
pub(in crate::cli) async fn ls(args: &LsArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let mut torrents = all(&api).await?;
    torrents.retain(|t| is_listed(t, args));
    if args.api.json {
        let rows: Vec<Value> = torrents.into_iter().map(|t| t.0).collect();
        print_line(&json!({ "torrents": rows }).to_string());
        return Ok(());
    }
    let columns = [
        right("#"),
        left("HASH"),
        name("NAME"),
        right("SIZE"),
        right("DONE"),
        right("DOWN"),
        right("UP"),
        right("RATIO"),
        right("NEAR"),
        right("FAR"),
        left("STATE"),
    ];
    print(&columns, torrents.iter().map(row).collect());
    Ok(())
}

fn is_listed(torrent: &Torrent, args: &LsArgs) -> bool {
    let by_name = args.filter.as_ref().is_none_or(|text| {
        let lower = text.to_lowercase();
        torrent.name().to_lowercase().contains(&lower) || torrent.hash().starts_with(&lower)
    });
    let labels = torrent.0["labels"].as_array();
    let by_label = args.label.as_ref().is_none_or(|label| {
        labels.is_some_and(|all| all.iter().any(|l| l.as_str() == Some(label)))
    });
    let state = torrent.text("state");
    let by_state = args.state.is_none_or(|wanted| match wanted {
        StateArg::Downloading => matches!(state, "downloading" | "metadata" | "download_queued"),
        StateArg::Seeding => matches!(state, "seeding" | "seed_queued"),
        StateArg::Paused => state == "paused",
        StateArg::Checking => matches!(state, "checking" | "check_queued"),
        StateArg::Trouble => !torrent.0["trouble"].is_null(),
    });
    by_name && by_label && by_state
}

fn row(t: &Torrent) -> Vec<String> {
    let known = t.0["has_metadata"].as_bool() == Some(true);
    vec![
        t.number("id").to_string(),
        t.hash().chars().take(8).collect(),
        t.name().to_owned(),
        if known {
            human(t.number("wanted"))
        } else {
            "?".to_owned()
        },
        percent(t.number("verified"), t.number("wanted")),
        rate(t.number("rate_down")),
        rate(t.number("rate_up")),
        ratio(t),
        t.number("near").to_string(),
        t.number("far").to_string(),
        state(t),
    ]
}

/// 100 % only when nothing is missing.
fn percent(done: u64, all: u64) -> String {
    match all {
        0 => "-".to_owned(),
        all => format!("{}%", output::percent(done, all)),
    }
}

fn rate(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        bytes => format!("{}/s", human(bytes)),
    }
}

/// Bytes sent to those of the torrent.
fn ratio(t: &Torrent) -> String {
    #[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
    match (t.number("uploaded"), t.number("wanted")) {
        (_, 0) => "-".to_owned(),
        (up, size) => format!("{:.2}", up as f64 / size as f64),
    }
}

/// What it does, and what is wrong.
fn state(t: &Torrent) -> String {
    let part = |key: &str| {
        t.0[key]
            .as_f64()
            .map(|p| format!(" {:.0}%", (p * 100.0).floor()))
    };
    let mut text = match t.text("state") {
        "paused" if t.0["finished"].as_bool() == Some(true) => "finished".to_owned(),
        "check_queued" => "waits to be checked".to_owned(),
        "checking" => format!("checking{}", part("checked").unwrap_or_default()),
        "download_queued" | "seed_queued" => "queued".to_owned(),
        "metadata" => "looks for metadata".to_owned(),
        other => other.to_owned(),
    };
    if let Some(part) = part("moving") {
        text = format!("moving{part}");
    }
    if let Some(eta) = t.0["eta_seconds"].as_u64() {
        text.push_str(&format!(", {} to go", human_seconds(eta)));
    }
    if let Some(message) = t.0["trouble"]["message"].as_str() {
        text.push_str(&format!(": {message}"));
    }
    text
}

/// Shows a torrent.
///
/// # Errors
/// As [`Api::ask`]; code 2 for a name of no torrent, or of several.
pub(in crate::cli) async fn info(args: &InfoArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let hash = find_one(&api, &args.torrent).await?.hash().to_owned();
    let path = format!("/torrents/{hash}");
    let mut t = Torrent(api.ask(Method::GET, &path, None).await?);
    let parts = [
        (args.files, "files"),
        (args.trackers, "trackers"),
        (args.lookups, "lookups"),
    ];
    for (_, part) in parts.into_iter().filter(|(wanted, _)| *wanted) {
        let mut more = api
            .ask(Method::GET, &format!("{path}/{part}"), None)
            .await?;
        // the number of files has that name
        let key = if part == "files" { "file_list" } else { part };
        t.0[key] = more[part].take();
    }
    if args.api.json {
        print_line(&t.0.to_string());
        return Ok(());
    }
    print_info(&t);
    if args.files {
        print_line("");
        print_files(&json!({ "files": t.0["file_list"] }), false);
    }
    if args.trackers {
        print_line("");
        print_trackers(&t.0["trackers"]);
    }
    if args.lookups {
        print_line("");
        print_lookups(&t.0["lookups"]);
    }
    Ok(())
}

fn print_info(t: &Torrent) {
    let line = |what: &str, text: String| print_line(&format!("{what:<12} {text}"));
    let by = &t.0["by_distance"];
    let moved = |near: &str, far: &str| {
        let bytes = |key: &str| human(by[key].as_u64().unwrap_or(0));
        format!("{} near, {} far", bytes(near), bytes(far))
    };
    line("name", t.name().to_owned());
    line("infohash", t.hash().to_owned());
    line("state", state(t));
    line("directory", t.text("dir").to_owned());
    line(
        "size",
        format!(
            "{} in {} files, {} of them wanted, {} verified ({})",
            human(t.number("size")),
            t.number("files"),
            human(t.number("wanted")),
            human(t.number("verified")),
            percent(t.number("verified"), t.number("wanted"))
        ),
    );
    line(
        "pieces",
        format!(
            "{} of {}",
            t.number("pieces"),
            human(t.number("piece_length"))
        ),
    );
    line(
        "downloaded",
        format!(
            "{} ({}), {} in vain; now {}",
            human(t.number("downloaded")),
            moved("near_down", "far_down"),
            human(t.number("wasted")),
            rate(t.number("rate_down"))
        ),
    );
    line(
        "uploaded",
        format!(
            "{} ({}), ratio {}; now {}",
            human(t.number("uploaded")),
            moved("near_up", "far_up"),
            ratio(t),
            rate(t.number("rate_up"))
        ),
    );
    line(
        "peers",
        format!("{} near, {} far", t.number("near"), t.number("far")),
    );
    let labels: Vec<&str> = (t.0["labels"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    if !labels.is_empty() {
        line("labels", labels.join(", "));
    }
    line("limits", limits(t));
    if t.0["private"].as_bool() == Some(true) {
        line("private", "only its trackers name peers".to_owned());
    }
    if let Some(at) = t.0["added"].as_u64() {
        line("added", ago(at));
    }
    if let Some(at) = t.0["done"].as_u64() {
        line("complete", ago(at));
    }
    for (what, key) in [("comment", "comment"), ("magnet", "magnet")] {
        if !t.text(key).is_empty() {
            line(what, t.text(key).to_owned());
        }
    }
}

/// `3h 05m ago`.
fn ago(at: u64) -> String {
    format!("{} ago", human_seconds(unix_now().saturating_sub(at)))
}

fn limits(t: &Torrent) -> String {
    let rate = |key: &str| t.0[key].as_u64().map_or("unlimited".to_owned(), rate);
    let word =
        |key: &str, number: &dyn Fn(f64) -> String| match (&t.0[key].as_f64(), t.0[key].as_str()) {
            (Some(n), _) => number(*n),
            (None, Some("session")) => "as all".to_owned(),
            (None, _) => "unlimited".to_owned(),
        };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole seconds"
    )]
    let time = |n: f64| human_seconds(n as u64);
    format!(
        "{} down, {} up{}; seeds to ratio {}, idle {}, time {}; {} peers",
        rate("download_limit"),
        rate("upload_limit"),
        match t.0["session_limits"].as_bool() {
            Some(false) => ", whatever holds for all",
            _ => "",
        },
        word("seed_ratio", &|n| n.to_string()),
        word("seed_idle_seconds", &time),
        word("seed_time_seconds", &time),
        t.number("max_peers")
    )
}

/// The limits of a torrent on one line.
pub(super) fn print_limits(t: &Torrent, json: bool) {
    if json {
        let keys = [
            "hash",
            "name",
            "download_limit",
            "upload_limit",
            "session_limits",
            "seed_ratio",
            "seed_idle_seconds",
            "seed_time_seconds",
            "max_peers",
        ];
        let fields = keys.map(|key| (key.to_owned(), t.0[key].clone()));
        return print_line(&Value::Object(fields.into_iter().collect()).to_string());
    }
    print_line(&format!("{}: {}", t.name(), limits(t)));
}

/// The limits of all torrents.
pub(super) fn print_session_limits(session: &Value, json: bool) {
    let s = &session["settings"];
    if json {
        return print_line(&s.to_string());
    }
    let limit = |v: &Value| v.as_u64().map_or("unlimited".to_owned(), rate);
    let time = |v: &Value| v.as_u64().map_or("never".to_owned(), human_seconds);
    let line = |what: &str, text: String| print_line(&format!("{what:<12} {text}"));
    let rates = |v: &Value| {
        let (down, up) = (&v["download_limit"], &v["upload_limit"]);
        format!("{} down, {} up", limit(down), limit(up))
    };
    line("all together", rates(s));
    let on = match s["schedule"]["on"].as_bool() {
        Some(true) => "on",
        _ => "off",
    };
    line("schedule", format!("{}; now {on}", rates(&s["schedule"])));
    let ratio = s["seed_ratio"].as_f64();
    line(
        "seeding",
        format!(
            "to ratio {}, idle {}, time {}",
            ratio.map_or("unlimited".to_owned(), |r| r.to_string()),
            time(&s["seed_idle_seconds"]),
            time(&s["seed_time_seconds"])
        ),
    );
    line("connections", s["connections"].to_string());
}

/// The files of a torrent, by the numbers that `select` takes.
pub(super) fn print_files(files: &Value, json: bool) {
    if json {
        return print_line(&files.to_string());
    }
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or("?").to_owned();
    let number = |f: &Value, key: &str| f[key].as_u64().unwrap_or(0);
    let rows = (files["files"].as_array().into_iter().flatten())
        .filter(|f| f["padding"].as_bool() != Some(true))
        .map(|f| {
            vec![
                number(f, "index").to_string(),
                text(f, "priority"),
                human(number(f, "size")),
                percent(number(f, "held"), number(f, "size")),
                text(f, "path"),
            ]
        })
        .collect();
    let columns = [
        right("#"),
        left("PRIORITY"),
        right("SIZE"),
        right("DONE"),
        left("PATH"),
    ];
    print(&columns, rows);
}

fn print_trackers(trackers: &Value) {
    let rows = (trackers.as_array().into_iter().flatten())
        .map(|t| {
            let number = |key: &str| t[key].as_u64().map_or("-".to_owned(), |n| n.to_string());
            let said = match (t["asking"].as_bool(), t["message"].as_str()) {
                (Some(true), _) => "being asked".to_owned(),
                (_, Some(message)) if !message.is_empty() => message.to_owned(),
                _ if t["last_announce"].is_null() => "not asked yet".to_owned(),
                _ => "good".to_owned(),
            };
            vec![
                number("tier"),
                t["announce"].as_str().unwrap_or("?").to_owned(),
                number("peers"),
                number("seeders"),
                number("leechers"),
                said,
            ]
        })
        .collect();
    let columns = [
        right("TIER"),
        left("TRACKER"),
        right("PEERS"),
        right("SEEDS"),
        right("LEECHERS"),
        left("SAYS"),
    ];
    print(&columns, rows);
}

fn print_lookups(lookups: &Value) {
    let rows = (lookups.as_array().into_iter().flatten())
        .map(|l| {
            vec![
                l["at"].as_u64().map_or("?".to_owned(), ago),
                l["took_ms"].as_f64().map_or("?".to_owned(), milliseconds),
                l["hops"]
                    .as_u64()
                    .map_or("no answer".to_owned(), |n| n.to_string()),
                l["peers"].as_u64().unwrap_or(0).to_string(),
                l["answered_by"].as_str().unwrap_or("our own").to_owned(),
            ]
        })
        .collect();
    let columns = [
        right("ASKED"),
        right("TOOK"),
        right("HOPS"),
        right("PEERS"),
        left("ANSWERED BY"),
    ];
    print(&columns, rows);
}

fn milliseconds(ms: f64) -> String {
    format!("{ms:.1} ms")
}

/// Shows the peers of a torrent.
///
/// # Errors
/// As [`info`].
pub(in crate::cli) async fn peers(args: &PeersArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let torrent = find_one(&api, &args.torrent).await?;
    let path = format!("/torrents/{}/peers", torrent.hash());
    let mut answer = api.ask(Method::GET, &path, None).await?;
    if let Some(all) = answer["peers"].as_array_mut() {
        all.retain(|p| args.all || p["connected"].as_bool() == Some(true));
    }
    if args.api.json {
        print_line(&answer.to_string());
        return Ok(());
    }
    let pieces = torrent.number("pieces");
    let rows = (answer["peers"].as_array().into_iter().flatten())
        .map(|p| peer(p, pieces))
        .collect();
    let columns = [
        left("PEER"),
        left("CLIENT"),
        left("SOURCE"),
        left(""),
        right("RTT"),
        right("PREDICTED"),
        right("HAS"),
        right("DOWN"),
        right("UP"),
        left("WHY"),
    ];
    print(&columns, rows);
    Ok(())
}

fn peer(p: &Value, pieces: u64) -> Vec<String> {
    let text = |key: &str| p[key].as_str();
    let number = |key: &str| p[key].as_u64().unwrap_or(0);
    let ms = |v: &Value| v.as_f64().map_or("-".to_owned(), milliseconds);
    vec![
        text("webseed").or(text("addr")).unwrap_or("?").to_owned(),
        text("client").unwrap_or("-").to_owned(),
        text("source").unwrap_or("?").to_owned(),
        match p["near"].as_bool() {
            Some(true) => "near".to_owned(),
            _ => "far".to_owned(),
        },
        ms(&p["rtt_ms"]),
        ms(&p["why"]["predicted_ms"]),
        percent(number("held"), pieces),
        rate(number("rate_down")),
        rate(number("rate_up")),
        why(&p["why"]),
    ]
}

/// `place 1, 2 hops, matched 12, load 3`.
fn why(why: &Value) -> String {
    let (Some(rank), Some(hops)) = (why["rank"].as_u64(), why["hops"].as_u64()) else {
        return "-".to_owned();
    };
    let number = |key: &str| why[key].as_u64().unwrap_or(0);
    let by = match (hops, why["answered_by"].as_str()) {
        (0, _) => "our own index node".to_owned(),
        (1, Some(by)) => format!("{by}, 1 hop"),
        (n, Some(by)) => format!("{by}, {n} hops"),
        (n, None) => format!("{n} hops"),
    };
    let score = why["score"]
        .as_f64()
        .map_or(String::new(), |s| format!(", score {s:.2}"));
    let (matched, load) = (number("matched"), number("load"));
    format!(
        "place {} of {by}: {matched} wanted pieces, load {load}{score}",
        rank + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_peer_was_named_is_said_in_words() {
        assert_eq!(why(&Value::Null), "-");
        let own = json!({ "rank": 0, "hops": 0, "matched": 3, "load": 7, "score": 1.5 });
        assert_eq!(
            why(&own),
            "place 1 of our own index node: 3 wanted pieces, load 7, score 1.50"
        );
        let far = json!({ "rank": 2, "hops": 2, "matched": 1, "load": 0, "answered_by": "192.0.2.1:4240" });
        assert_eq!(
            why(&far),
            "place 3 of 192.0.2.1:4240, 2 hops: 1 wanted pieces, load 0"
        );
    }

    #[test]
    fn a_torrent_is_done_when_nothing_is_missing() {
        assert_eq!(percent(0, 0), "-");
        assert_eq!(percent(999, 1000), "99%");
        assert_eq!(percent(1000, 1000), "100%");
    }
}
