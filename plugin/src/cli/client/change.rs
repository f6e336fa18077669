//! The commands that change something: `pause`, `start`, `verify`, `rm`, `limit`, `select`, `move`.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::args::{
    LimitArg, LimitArgs, MoveArgs, RateArg, RmArgs, SelectArgs, SomeArgs, StartArgs, Which,
};
use super::show::{print_files, print_limits, print_session_limits};
use super::which::{Torrent, all, find, find_one};
use crate::cli::exit::{Code, Failure};
use crate::cli::output::{Reporter, count, print_line};
use crate::cli::source::absolute;
use crate::metadata::FileSelection;

/// Stops torrents.
///
/// # Errors
/// As [`Api::ask`]; code 2 for a name of no torrent, or of several.
pub(in crate::cli) async fn pause(args: &SomeArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    each(
        &api,
        &args.which,
        "pause",
        &json!({}),
        args.api.json,
        "paused",
    )
    .await
}

/// Starts torrents.
///
/// # Errors
/// As [`pause`].
pub(in crate::cli) async fn start(args: &StartArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let body = json!({ "now": args.now });
    each(&api, &args.which, "start", &body, args.api.json, "started").await
}

/// Hashes all data of torrents again.
///
/// # Errors
/// As [`pause`].
pub(in crate::cli) async fn verify(args: &SomeArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let done = "is hashed as soon as it is its turn";
    each(&api, &args.which, "verify", &json!({}), args.api.json, done).await
}

async fn each(
    api: &Api,
    which: &Which,
    action: &str,
    body: &Value,
    json: bool,
    done: &str,
) -> Result<(), Failure> {
    let torrents = match which.all {
        true => all(api).await?,
        false => find(api, &which.torrents).await?,
    };
    let mut failed = Vec::new();
    for torrent in &torrents {
        let path = format!("/torrents/{}/{action}", torrent.hash());
        match api.ask(Method::POST, &path, Some(body)).await {
            Ok(_) => tell(torrent, json, action, done),
            Err(e) => failed.push(named(torrent, e)),
        }
    }
    first_of(failed, json)
}

/// A failure of one torrent, with its name.
fn named(torrent: &Torrent, failure: Failure) -> Failure {
    let line = format!("{}: {}", torrent.name(), failure.message);
    Failure::new(failure.code, line)
}

/// The first of some failures; the others have been told then.
fn first_of(failed: Vec<Failure>, json: bool) -> Result<(), Failure> {
    let mut failed = failed.into_iter();
    let Some(first) = failed.next() else {
        return Ok(());
    };
    let reporter = Reporter::new(json, false);
    for other in failed {
        crate::cli::report(&reporter, &other);
    }
    Err(first)
}

fn tell(torrent: &Torrent, json: bool, action: &str, done: &str) {
    let (name, hash) = (torrent.name(), torrent.hash());
    print_line(&match json {
        true => json!({ "hash": hash, "name": name, "done": action }).to_string(),
        false => format!("{name}: {done}"),
    });
}

/// Removes torrents, and their data if that is asked for.
///
/// # Errors
/// As [`pause`]; code 6 when data could not be removed.
pub(in crate::cli) async fn remove(args: &RmArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let mut failed = Vec::new();
    // all names are looked at before anything is done
    for torrent in &find(&api, &args.torrents).await? {
        let path = format!("/torrents/{}?data={}", torrent.hash(), args.data);
        let done = match args.data {
            true => "removed, and its data",
            false => "removed; its data stays",
        };
        match api.ask(Method::DELETE, &path, None).await {
            Ok(_) => tell(torrent, args.api.json, "remove", done),
            Err(e) => failed.push(named(torrent, e)),
        }
    }
    first_of(failed, args.api.json)
}

/// Changes limits, or shows them.
///
/// # Errors
/// As [`pause`].
pub(in crate::cli) async fn limit(args: &LimitArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    if args.torrents.is_empty() {
        return limit_session(&api, args).await;
    }
    let more = [
        ("session_limits", args.session_rates.map(|b| json!(b))),
        ("max_peers", args.peers.map(|n| json!(n))),
    ];
    let change = said(args, own, more);
    let torrents = find(&api, &args.torrents).await?;
    let mut failed = Vec::new();
    for torrent in &torrents {
        match limited(&api, torrent, &change).await {
            Ok(now) => print_limits(&now, args.api.json),
            Err(e) => failed.push(named(torrent, e)),
        }
    }
    first_of(failed, args.api.json)
}

/// A torrent after this change, if it is one.
async fn limited(api: &Api, torrent: &Torrent, change: &Value) -> Result<Torrent, Failure> {
    let path = format!("/torrents/{}", torrent.hash());
    if *change != json!({}) {
        api.ask(Method::PATCH, &path, Some(change)).await?;
    }
    let now = api.ask(Method::GET, &path, None).await?;
    Ok(Torrent(now))
}

/// What was said of rates and of the end of seeding, and what more there is; `limit` writes a limit down.
fn said<const N: usize>(
    args: &LimitArgs,
    limit: fn(LimitArg, bool) -> Value,
    more: [(&str, Option<Value>); N],
) -> Value {
    let all = [
        ("download_limit", args.download.map(rate)),
        ("upload_limit", args.upload.map(rate)),
        ("seed_ratio", args.ratio.map(|l| limit(l, false))),
        ("seed_idle_seconds", args.idle.map(|l| limit(l, true))),
        ("seed_time_seconds", args.time.map(|l| limit(l, true))),
    ];
    let all = all.into_iter().chain(more);
    let said = all.filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(said.collect())
}

async fn limit_session(api: &Api, args: &LimitArgs) -> Result<(), Failure> {
    let limits = [
        ("--ratio", args.ratio),
        ("--idle", args.idle),
        ("--time", args.time),
    ];
    let session = |(_, limit): &&(_, _)| *limit == Some(LimitArg::Session);
    if let Some((flag, _)) = limits.iter().find(session) {
        let line = format!("{flag} session: that is for a torrent; name one");
        return Err(Failure::new(Code::Usage, line));
    }
    let more = [
        ("connections", args.peers.map(|n| json!(n))),
        ("schedule", args.schedule.map(|on| json!({ "on": on }))),
    ];
    let change = said(args, own_or_null, more);
    if change != json!({}) {
        api.ask(Method::PATCH, "/session", Some(&change)).await?;
    }
    let now = api.ask(Method::GET, "/session", None).await?;
    print_session_limits(&now, args.api.json);
    Ok(())
}

fn rate(RateArg(rate): RateArg) -> Value {
    json!(rate.map(crate::limits::Rate::bytes))
}

/// A limit of a torrent: a number, or a word.
fn own(limit: LimitArg, whole: bool) -> Value {
    match limit {
        LimitArg::Unlimited => json!("unlimited"),
        LimitArg::Session => json!("session"),
        own @ LimitArg::Own(_) => own_or_null(own, whole),
    }
}

/// A limit of all torrents: a number, or none.
fn own_or_null(limit: LimitArg, whole: bool) -> Value {
    match limit {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole seconds of a century"
        )]
        LimitArg::Own(n) if whole => json!(n as u64),
        LimitArg::Own(n) => json!(n),
        LimitArg::Unlimited | LimitArg::Session => Value::Null,
    }
}

/// Chooses files, or shows them.
///
/// # Errors
/// As [`pause`]; code 2 for files that do not exist.
pub(in crate::cli) async fn select(args: &SelectArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let torrent = find_one(&api, &args.torrent).await?;
    let path = format!("/torrents/{}", torrent.hash());
    let files = api.ask(Method::GET, &format!("{path}/files"), None).await?;
    let number = files["files"].as_array().map_or(0, Vec::len);
    let flags = [&args.only, &args.skip, &args.low, &args.normal, &args.high];
    if !args.all && flags.iter().all(|f| f.is_none()) {
        print_files(&files, args.api.json);
        return Ok(());
    }
    if number == 0 {
        let line = format!(
            "{}: which files there are is not known yet; wait until peers have sent the metadata",
            torrent.name()
        );
        return Err(Failure::new(Code::Other, line));
    }
    let changes = choice(args, number)?;
    let change = json!({ "files": changes });
    api.ask(Method::PATCH, &path, Some(&change)).await?;
    match args.api.json {
        true => {
            let files = api.ask(Method::GET, &format!("{path}/files"), None).await?;
            print_files(&files, true);
        }
        false => print_line(&format!(
            "{}: {} changed",
            torrent.name(),
            count(changes.len(), "file")
        )),
    }
    Ok(())
}

/// What becomes of each file of so many; the flags that name a file by its number win over --only and --all.
fn choice(args: &SelectArgs, number: usize) -> Result<Vec<Value>, Failure> {
    let mut priorities: Vec<Option<&str>> = vec![None; number];
    let mut set = |flag: &str, files: &FileSelection, priority| {
        let last = files.ranges().last().map_or(0, |r| *r.end());
        if usize::try_from(last).map_or(true, |last| last >= number) {
            let line = format!(
                "{flag}: there is no file {last}: the last one is {}",
                number - 1
            );
            return Err(Failure::new(Code::Usage, line));
        }
        for index in files.files(number) {
            priorities[index] = Some(priority);
        }
        Ok(())
    };
    let everything = FileSelection::parse(&format!("0-{}", number.saturating_sub(1)));
    if let (true, Ok(everything)) = (args.all, &everything) {
        set("--all", everything, "normal")?;
    }
    if let (Some(only), Ok(everything)) = (&args.only, &everything) {
        set("--only", everything, "skip")?;
        set("--only", only, "normal")?;
    }
    let named = [
        ("--skip", &args.skip, "skip"),
        ("--low", &args.low, "low"),
        ("--normal", &args.normal, "normal"),
        ("--high", &args.high, "high"),
    ];
    for (flag, files, priority) in named {
        if let Some(files) = files {
            set(flag, files, priority)?;
        }
    }
    let changes = priorities.into_iter().enumerate();
    Ok(changes
        .filter_map(|(index, p)| p.map(|p| json!({ "index": index, "priority": p })))
        .collect())
}

/// Has a torrent's data in another directory.
///
/// # Errors
/// As [`pause`].
pub(in crate::cli) async fn relocate(args: &MoveArgs) -> Result<(), Failure> {
    let api = Api::open(&args.api)?;
    let torrent = find_one(&api, &args.torrent).await?;
    let dir = absolute("the directory", &args.dir)?;
    let path = format!("/torrents/{}/relocate", torrent.hash());
    let body = json!({ "dir": dir, "move": !args.no_data });
    api.ask(Method::POST, &path, Some(&body)).await?;
    let done = match args.no_data {
        true => format!("is looked for in {dir}"),
        false => format!("is being moved to {dir}"),
    };
    tell(&torrent, args.api.json, "move", &done);
    Ok(())
}
