//! `node`, `table` and the index node's flags as their user sees them: what is printed, what is kept, who is found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use chunkcast_compat_tests::netns::Lan;
use chunkcast_compat_tests::{
    Proc, chunkcast, command, create, noise, scratch, shield, wait_for, write,
};
use serde_json::Value;

use super::common::{self, good, in_namespace, stderr};

const DEADLINE: Duration = Duration::from_secs(60);

/// Nobody but those who are named; what is kept is up to the test.
const OFFLINE: [&str; 3] = ["--no-lan", "--no-dht", "--json"];

fn node(name: &str, dir: &Path, args: &[&str]) -> Proc {
    let mut command = command(dir);
    command
        .args(["node", "--index-listen", "127.0.0.1:0"])
        .args(OFFLINE)
        .args(args);
    Proc::spawn(name, dir, &mut command)
}

fn event(of: &Proc, name: &str) -> Value {
    wait_for(name, DEADLINE, || of.events(name).pop())
}

fn listening(node: &Proc) -> (String, String) {
    let event = event(node, "listening");
    let text = |key: &str| event[key].as_str().expect("text").to_owned();
    (text("index"), text("id"))
}

fn stop(mut node: Proc) {
    node.wait_for_handlers(DEADLINE);
    node.terminate();
    let status = node.wait(DEADLINE);
    assert!(status.success(), "{}", node.log());
}

/// Runs the program in a directory that is empty.
fn run(args: &[&str]) -> Output {
    common::run(scratch().path(), args)
}

/// Runs `script` where there is loopback and one more interface.
fn on_a_lan(dir: &Path, script: &str) -> Option<Output> {
    let lan = "ip link set lo up && ip link add lan0 type veth peer name lan1 && ip addr add 10.9.8.1/24 dev lan0 && ip link set lan0 up && ip link set lan1 up";
    in_namespace(dir, lan, "nodes that find each other on a LAN", script)
}

/// The node of this state directory, once `ready` likes what it shows.
fn table(state: &str, ready: impl Fn(&Value) -> bool) -> Value {
    wait_for("a table that is as wanted", DEADLINE, || {
        let out = run(&["table", "--json", "--state", state]);
        let table = serde_json::from_slice::<Value>(&out.stdout).ok()?;
        ready(&table).then_some(table)
    })
}

#[test]
fn identity_and_contacts_survive_a_restart() {
    let dir = scratch();
    let state = dir.path().join("state").display().to_string();
    let first = node("first", dir.path(), &["--no-state"]);
    let (first_addr, first_id) = listening(&first);
    let kept = ["--state", &state];
    let second = node(
        "second",
        dir.path(),
        &[&kept[..], &["--bootstrap", &first_addr]].concat(),
    );
    let (_, id) = listening(&second);
    table(&state, |t| t["peers"] == 1);
    stop(second);
    // nobody tells it of the first any more
    let again = node("again", dir.path(), &kept);
    assert_eq!(listening(&again).1, id);
    let table = table(&state, |t| t["peers"] == 1);
    assert_eq!(table["leaves"][0]["id"], first_id.as_str());
    let mode = |path: &str| {
        let path = Path::new(&state).join(path);
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode("node"), 0o700);
    assert_eq!(mode("node/state"), 0o600);
    assert_eq!(mode("node/control.sock"), 0o600);
    stop(again);
    assert!(!Path::new(&state).join("node/control.sock").exists());
}

#[test]
fn a_killed_node_keeps_its_identity_and_its_socket_is_replaced() {
    let dir = scratch();
    let state = dir.path().join("s").display().to_string();
    let mut first = node("first", dir.path(), &["--state", &state]);
    let (_, id) = listening(&first);
    first.kill();
    assert!(Path::new(&state).join("node/control.sock").exists());
    let second = node("second", dir.path(), &["--state", &state]);
    assert_eq!(listening(&second).1, id);
    assert_eq!(table(&state, |_| true)["id"], id.as_str());
    stop(second);
}

#[test]
fn a_second_node_with_the_same_state_runs_under_another_identity_and_says_so() {
    let dir = scratch();
    let state = dir.path().join("s").display().to_string();
    let first = node("first", dir.path(), &["--state", &state]);
    let (_, id) = listening(&first);
    let second = node("second", dir.path(), &["--state", &state]);
    let (_, other) = listening(&second);
    assert_ne!(id, other);
    let warning = event(&second, "warning")["message"].to_string();
    assert!(warning.contains(&state), "{warning}");
    assert!(warning.contains("--state"), "{warning}");
    assert_eq!(table(&state, |_| true)["id"], id.as_str());
}

#[test]
fn a_damaged_state_file_is_set_aside_with_one_line() {
    let dir = scratch();
    let state = dir.path().join("s");
    write(&state.join("node/state"), b"not a state");
    let state = state.display().to_string();
    let node = node("node", dir.path(), &["--state", &state]);
    listening(&node);
    assert_eq!(node.events("warning").len(), 1, "{}", node.log());
    assert!(node.log().contains("state.bad"), "{}", node.log());
    let aside = fs::read(Path::new(&state).join("node/state.bad"));
    assert_eq!(aside.expect("kept"), b"not a state");
}

#[test]
fn a_state_directory_that_cannot_be_used_is_code_6_when_it_was_named() {
    let dir = scratch();
    write(&dir.path().join("file"), b"");
    let path = dir.path().join("file").display().to_string();
    let out = run(&[
        "node",
        "--index-listen",
        "127.0.0.1:0",
        "--no-dht",
        "--state",
        &path,
    ]);
    assert_eq!(out.status.code(), Some(6));
    let err = stderr(&out);
    assert!(err.contains(&path) && err.contains("--no-state"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn one_that_nobody_named_is_only_warned_of() {
    let dir = scratch();
    write(&dir.path().join("file"), b"");
    let mut command = command(dir.path());
    command
        .args(["node", "--index-listen", "127.0.0.1:0"])
        .args(OFFLINE)
        .env("XDG_STATE_HOME", dir.path().join("file"));
    let node = Proc::spawn("node", dir.path(), &mut command);
    listening(&node);
    let warning = event(&node, "warning")["message"].to_string();
    assert!(warning.contains("--no-state"), "{warning}");
}

#[test]
fn the_usual_place_is_the_users_state_directory() {
    let dir = scratch();
    let home = || {
        let mut command = command(dir.path());
        command.env("XDG_STATE_HOME", dir.path().join("home"));
        command
    };
    let mut start = home();
    start
        .args(["node", "--index-listen", "127.0.0.1:0"])
        .args(OFFLINE);
    let node = Proc::spawn("node", dir.path(), &mut start);
    let (addr, id) = listening(&node);
    assert!(dir.path().join("home/chunkcast/node/state").exists());
    let text = good(&home().arg("table").output().expect("chunkcast runs"));
    let first = format!("index node {id} on {addr}, in the ring");
    assert!(text.starts_with(&first), "{text}");
}

#[test]
fn table_shows_leaves_slots_and_objects() {
    let dir = scratch();
    let nodes: Vec<(Proc, String, String)> = (0..4).fold(Vec::new(), |mut nodes, i| {
        let socket = dir.path().join(format!("n{i}.sock")).display().to_string();
        let mut args = vec!["--no-state", "--control", &socket];
        if let Some((_, addr, _)) = nodes.first() {
            args.extend(["--bootstrap", addr]);
        }
        let node = node(&format!("n{i}"), dir.path(), &args);
        let (addr, _) = listening(&node);
        nodes.push((node, addr, socket));
        nodes
    });
    write(&dir.path().join("data"), &noise(3, 100_000));
    let torrent = dir.path().join("t.torrent").display().to_string();
    let hash = create(&dir.path().join("data"), Path::new(&torrent), &[]);
    let seed_socket = dir.path().join("seed.sock").display().to_string();
    let mut seed = command(dir.path());
    seed.args(["seed", &torrent, "--data"])
        .arg(dir.path().join("data"))
        .args(["--listen", "127.0.0.1:0", "--no-index", "--no-trackers"])
        .args(["--bootstrap", &nodes[0].1, "--no-state"])
        .args(["--control", &seed_socket])
        .args(OFFLINE);
    let _seed = Proc::spawn("seed", dir.path(), &mut seed);
    let shown = |socket: &str, ready: &dyn Fn(&Value) -> bool| {
        wait_for("a table that is as wanted", DEADLINE, || {
            let out = run(&["table", "--json", "--control", socket]);
            let table = serde_json::from_slice::<Value>(&out.stdout).ok()?;
            ready(&table).then_some(table)
        })
    };
    // the seed publishes through whichever is near, and the root and its neighbours hold what it publishes
    let holder = wait_for("a node that holds the torrent", DEADLINE, || {
        let holds = |socket: &&String| {
            let out = run(&["table", "--json", "--control", socket]);
            let table = serde_json::from_slice::<Value>(&out.stdout).unwrap_or_default();
            table["held"][&hash] == 1
        };
        nodes.iter().map(|(_, _, socket)| socket).find(holds)
    });
    let measured = |leaf: &Value| leaf["rtt_us"].is_u64();
    let table = shown(holder, &|t| {
        t["held"][&hash] == 1
            && t["peers"] == 3
            && t["leaves"]
                .as_array()
                .is_some_and(|l| l.iter().all(measured))
    });
    assert_eq!(table["event"], "table");
    assert_eq!(
        (&table["objects"], &table["entries"]),
        (&1.into(), &1.into())
    );
    let leaves = table["leaves"].as_array().expect("a list");
    assert_eq!(leaves.len(), 3);
    for leaf in leaves {
        assert!(leaf["predicted_us"].is_u64(), "{leaf}");
        assert!(leaf["coord"]["position"].is_array(), "{leaf}");
    }
    let me = table["id"].as_str().expect("an id");
    let mut in_slots = 0;
    for slot in table["slots"].as_array().expect("a list") {
        let row = usize::try_from(slot["row"].as_u64().expect("a row")).expect("small");
        for contact in slot["contacts"].as_array().expect("a list") {
            let id = contact["id"].as_str().expect("an id");
            assert_eq!(id[..row], me[..row]);
            let digit = format!("{:x}", slot["column"].as_u64().expect("a digit"));
            assert_eq!(id[row..=row], digit);
            assert_ne!(me[row..=row], digit);
            in_slots += 1;
        }
    }
    assert_eq!(in_slots, 3);
    let text = good(&run(&["table", "--control", holder]));
    for words in [
        "leaf set, 3 nodes",
        "routing table",
        &hash,
        "1 entry of 1 object",
    ] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    let trace = [
        "lookup",
        &hash,
        "--trace",
        "--json",
        "--bootstrap",
        &nodes[1].1,
    ];
    let answer = wait_for("the seed is found", DEADLINE, || {
        let out = run(&trace);
        let found = out.status.success();
        found.then(|| serde_json::from_slice::<Value>(&out.stdout).expect("JSON"))
    });
    for hop in answer["trace"].as_array().expect("the way") {
        assert!(hop["why"].is_string() && hop["known"].is_u64(), "{hop}");
    }
    // the seed is a client of one of them, and says so
    let client = shown(&seed_socket, &|t| t["home"].is_object());
    assert_eq!(client["role"], "client");
    let text = good(&run(&["table", "--control", &seed_socket]));
    assert!(text.contains("asking through 127.0.0.1:"), "{text}");
}

#[test]
fn without_a_running_node_table_is_code_4_and_names_the_path() {
    let dir = scratch();
    let state = dir.path().join("s").display().to_string();
    let out = run(&["table", "--state", &state]);
    assert_eq!(out.status.code(), Some(4));
    let err = stderr(&out);
    let path = format!("{state}/daemon/control.sock");
    assert!(err.contains(&path) && err.contains("--control"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    // a file in its place, and a socket that somebody else serves
    let file = dir.path().join("file").display().to_string();
    write(Path::new(&file), b"");
    let args = |control| {
        let listen = [
            "node",
            "--index-listen",
            "127.0.0.1:0",
            "--no-dht",
            "--no-lan",
        ];
        [&listen[..], &["--no-state", "--control", control]].concat()
    };
    let out = run(&args(&file));
    assert_eq!(out.status.code(), Some(6), "{}", stderr(&out));
    assert!(stderr(&out).contains(&file), "{}", stderr(&out));
    assert!(Path::new(&file).exists(), "it is not ours to remove");
    let socket = dir.path().join("sock").display().to_string();
    let first = node("first", dir.path(), &["--no-state", "--control", &socket]);
    listening(&first);
    let out = run(&args(&socket));
    assert_eq!(out.status.code(), Some(4), "{}", stderr(&out));
    let err = stderr(&out);
    assert!(err.contains(&socket) && err.contains("--control"), "{err}");
}

#[test]
fn a_node_tells_of_its_joining_and_then_of_itself() {
    let dir = scratch();
    let first = node("first", dir.path(), &["--no-state"]);
    let (addr, _) = listening(&first);
    let second = node(
        "second",
        dir.path(),
        &["--no-state", "--bootstrap", &addr, "--status-every", "1"],
    );
    let (own, _) = listening(&second);
    event(&second, "joined");
    assert_eq!(event(&second, "observed")["addr"], own.as_str());
    let status = wait_for("a status with a neighbour", DEADLINE, || {
        let all = second.events("status");
        all.into_iter().find(|s| s["nearest_rtt_us"].is_u64())
    });
    assert_eq!(status["role"], "index", "{status}");
    assert_eq!(status["peers"], 1, "{status}");
    assert_eq!(status["suspects"], 0, "{status}");
    for key in [
        "bytes_per_second_in",
        "bytes_per_second_out",
        "entries",
        "objects",
        "cache_bytes",
    ] {
        assert!(status[key].is_u64(), "{key}: {status}");
    }
    assert!(status["coord"]["error"].is_number(), "{status}");
    assert!(status["counters"]["drops"].is_object(), "{status}");
}

#[test]
fn a_status_line_is_one_line_for_people() {
    let dir = scratch();
    let mut command = command(dir.path());
    command.args([
        "node",
        "--index-listen",
        "127.0.0.1:0",
        "--no-dht",
        "--no-state",
    ]);
    let node = Proc::spawn("node", dir.path(), &mut command);
    let line = wait_for("a status line", DEADLINE, || {
        let log = node.log();
        log.lines()
            .find(|l| l.starts_with("in the ring"))
            .map(str::to_owned)
    });
    for words in [
        "0 neighbours",
        "0 nodes known",
        "0 entries of 0 objects",
        "0 lookups answered",
        "/s up",
    ] {
        assert!(line.contains(words), "`{words}` is not in: {line}");
    }
}

#[test]
fn whoever_has_another_key_is_told_where_to_look() {
    let dir = scratch();
    let key = "5a".repeat(32);
    let closed = node("closed", dir.path(), &["--no-state", "--network-key", &key]);
    let (addr, _) = listening(&closed);
    let other = "6b".repeat(32);
    for (key, words) in [
        (None, "does it do without a --network-key?"),
        (Some(&other), "does it have the same --network-key?"),
    ] {
        let key = key.map_or(Vec::new(), |key| vec!["--network-key", key]);
        let args = [&["--no-state", "--bootstrap", &addr], &key[..]].concat();
        let outside = node("outside", dir.path(), &args);
        let warning = event(&outside, "warning")["message"].to_string();
        assert!(
            warning.contains(&addr) && warning.contains(words),
            "{warning}"
        );
        let hash = "ab".repeat(20);
        let args = ["lookup", &hash, "--timeout", "1", "--bootstrap", &addr];
        let out = run(&[&args, &key[..]].concat());
        let err = stderr(&out);
        assert_eq!(out.status.code(), Some(4), "{err}");
        assert!(err.contains(&addr) && err.contains(words), "{err}");
    }
}

#[test]
fn a_key_is_read_from_flag_file_or_environment_and_never_shown() {
    let dir = scratch();
    let bad = "zz".repeat(32);
    let out = run(&["node", "--network-key", &bad]);
    let err = stderr(&out);
    assert_eq!(out.status.code(), Some(2), "{err}");
    assert!(
        err.contains("--network-key") && !err.contains("zz"),
        "{err}"
    );
    let out = command(dir.path())
        .args(["lookup", &"ab".repeat(20)])
        .env("CHUNKCAST_NETWORK_KEY", &bad)
        .output()
        .expect("chunkcast runs");
    let err = stderr(&out);
    assert_eq!(out.status.code(), Some(2), "{err}");
    assert!(!err.contains("zz"), "{err}");
    let help = run(&["node", "--help"]);
    let out = command(dir.path())
        .args(["node", "--help"])
        .env("CHUNKCAST_NETWORK_KEY", &bad)
        .output()
        .expect("chunkcast runs");
    assert_eq!(out.stdout, help.stdout);
    let key = "5a".repeat(32);
    write(&dir.path().join("key"), key.as_bytes());
    let path = dir.path().join("key").display().to_string();
    for given in [&key, &path] {
        let node = node(
            "node",
            dir.path(),
            &["--no-state", "--network-key", given, "-vvv"],
        );
        listening(&node);
        event(&node, "joined");
        assert!(!node.log().contains("5a5a"), "{}", node.log());
    }
}

/// A script that starts nodes with these flags, waits until the first shows `peers`, for `seconds` at most.
fn script(flags: &[&str], peers: u32, seconds: u32) -> String {
    let mut out = String::new();
    for (i, flags) in flags.iter().enumerate() {
        out += &format!(
            "$CHUNKCAST node --no-dht --no-state --control n{i}.sock --json {flags} > n{i}.log & p{i}=$!\n"
        );
    }
    out += &format!(
        "for i in $(seq {}); do
           $CHUNKCAST table --control n0.sock --json > table 2>/dev/null
           grep -q '\"peers\":{peers},' table && break
           sleep 0.2
         done
         kill{}; wait; cat table",
        seconds * 5,
        (0..flags.len())
            .map(|i| format!(" $p{i}"))
            .collect::<String>()
    );
    out
}

#[test]
fn nodes_on_one_network_find_each_other_with_nothing_configured() {
    let dir = scratch();
    for (what, flags, peers) in [
        ("IPv4", &["--index-listen 0.0.0.0:0"; 3][..], 2),
        ("dual stack", &["--index-listen [::]:0"; 2], 1),
        (
            "one address",
            &["--index-listen 10.9.8.1:0", "--index-listen 0.0.0.0:0"],
            1,
        ),
    ] {
        let Some(out) = on_a_lan(dir.path(), &script(flags, peers, 30)) else {
            return;
        };
        let table: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        assert_eq!(table["peers"], peers, "{what}: {table}");
        let addr = table["leaves"][0]["addr"].as_str().expect("an address");
        assert!(addr.starts_with("10.9.8.1:"), "{what}: {addr}");
    }
}

#[test]
fn machines_on_one_switch_find_each_other_and_one_that_restarts_is_found_again() {
    let Some(lan) = Lan::new("index nodes on several machines") else {
        return;
    };
    let dir = scratch();
    let hosts = [lan.host("a"), lan.host("b"), lan.host("c")];
    let start = |i: usize| {
        let socket = dir.path().join(format!("{i}.sock"));
        let mut command = hosts[i].command(chunkcast());
        shield(&mut command);
        command
            .args(["node", "--no-dht", "--no-state", "--json", "--control"])
            .arg(&socket);
        let node = Proc::spawn(&format!("{i}"), dir.path(), &mut command);
        (node, socket.display().to_string())
    };
    let neighbours = |socket: &str| -> Option<Vec<String>> {
        let out = run(&["table", "--json", "--control", socket]);
        let table: Value = serde_json::from_slice(&out.stdout).ok()?;
        let leaves = table["leaves"].as_array()?.iter();
        let mut addrs: Vec<String> = leaves
            .filter(|l| l["suspect"] == false)
            .filter_map(|l| Some(l["addr"].as_str()?.to_owned()))
            .collect();
        addrs.sort();
        Some(addrs)
    };
    let mut nodes: Vec<(Proc, String)> = (0..3).map(start).collect();
    let others = |i: usize| -> Vec<String> {
        let others = hosts.iter().enumerate().filter(|(j, _)| *j != i);
        others.map(|(_, h)| format!("{}:4240", h.ip)).collect()
    };
    let all_meet = |nodes: &[(Proc, String)]| {
        for (i, (_, socket)) in nodes.iter().enumerate() {
            wait_for("all know each other", DEADLINE, || {
                (neighbours(socket)? == others(i)).then_some(())
            });
        }
    };
    all_meet(&nodes);
    nodes[1].0.kill();
    nodes[1] = start(1);
    all_meet(&nodes);
}

#[test]
fn nodes_of_other_networks_and_those_that_do_not_want_to_are_not_found() {
    let dir = scratch();
    let (one, other) = ("11".repeat(32), "22".repeat(32));
    let one = format!("--index-listen 0.0.0.0:0 --network-key {one}");
    let other = format!("--index-listen 0.0.0.0:0 --network-key {other}");
    // the last one is found, so that there was time for the others
    let flags = [
        &one,
        &other,
        "--index-listen 0.0.0.0:0",
        "--index-listen 0.0.0.0:0 --no-lan",
        "--index-listen 127.0.0.1:0",
        &one,
    ];
    let Some(out) = on_a_lan(dir.path(), &script(&flags, 1, 30)) else {
        return;
    };
    let table: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
    assert_eq!(table["peers"], 1, "{table}");
}

#[test]
fn a_download_finds_a_seed_on_the_same_network_with_nothing_configured() {
    let dir = scratch();
    write(&dir.path().join("source"), &noise(1, 300_000));
    let torrent = dir.path().join("t.torrent");
    create(&dir.path().join("source"), &torrent, &[]);
    for get in ["", "--no-index"] {
        let script = format!(
            "$CHUNKCAST seed t.torrent --data source --no-dht --no-lsd --no-state > seed.log 2>&1 & seed=$!
             $CHUNKCAST get t.torrent -o out{get} --timeout 40 --no-dht --no-lsd --no-state {get}
             code=$?; kill $seed; wait $seed; exit $code"
        );
        let Some(out) = on_a_lan(dir.path(), &script) else {
            return;
        };
        assert!(out.status.success(), "`{get}`: {}", stderr(&out));
        let copy = fs::read(dir.path().join(format!("out{get}/source")));
        assert!(copy.expect("the copy") == noise(1, 300_000));
    }
}
