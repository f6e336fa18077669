//! The configuration as an operator meets it: what is shown, what is wrong, what wins. And what the program says of itself.

use std::fs;

use chunkcast_compat_tests::{command, scratch};

use super::common::{good, refused, run, stderr};

#[test]
fn a_mistake_is_one_line_with_its_place_whoever_reads_the_file() {
    let dir = scratch();
    let file = dir.path().join("c.toml");
    fs::write(&file, "[rates]\ndownlaod = \"1MiB/s\"\n").expect("written");
    let name = file.display().to_string();
    for args in [
        &["config", "check", &name][..],
        &["config", "show", "--config", &name],
        &["config", "reset", "--config", &name],
        &["daemon", "--config", &name],
    ] {
        let (code, line) = refused(&run(dir.path(), args));
        assert_eq!(code, Some(2), "{line}");
        let expected = format!(
            "chunkcast: {name}:2: there is no key `downlaod` in [rates]; did you mean `download`"
        );
        assert!(line.starts_with(&expected), "{args:?}: {line}");
    }
}

#[test]
fn what_a_new_user_gets_wrong_is_told_with_the_way_out() {
    let dir = scratch();
    let cases = [
        (
            &["daemon", "--api-listen", "0.0.0.0:9091"][..],
            "--api-listen: api.listen: 0.0.0.0:9091 can be reached by others",
        ),
        (
            &["daemon", "--api-listen", "9091"],
            "write an IP address with a port such as \"127.0.0.1:9091\"",
        ),
        (
            &["daemon", "--max-upload", "20Mb"],
            "--max-upload: rates.upload: `20Mb` may mean bits or bytes",
        ),
        (
            &[
                "daemon",
                "--listen",
                "127.0.0.1:7000",
                "--index-listen",
                "127.0.0.1:7000",
            ],
            "is taken by network.listen",
        ),
        (
            &["daemon", "--bootstrap", "somewhere"],
            "`somewhere` is no HOST:PORT",
        ),
        (
            &["daemon", "--encryption", "yes"],
            "write \"off\" or \"allow\" or \"prefer\" or \"require\"",
        ),
        (
            &["daemon", "--set", "queue.active-downloads"],
            "write SECTION.KEY=VALUE",
        ),
        (
            &["daemon", "--set", "queue.active_downloads=3"],
            "did you mean `active-downloads` of [queue]?",
        ),
        (
            &["daemon", "--set", "seeding.idle=0"],
            "write a time such as \"30min\"",
        ),
        (
            &["daemon", "--config", "/nowhere/c.toml"],
            "chunkcast config example",
        ),
        (&["daemon", "--network-key", "abc"], "64 hexadecimal digits"),
        (
            &["config", "show", "--set", "paths.download-dir=here"],
            "write one that begins with / or ~/",
        ),
        (&["add"], "required arguments were not provided"),
        (&["pause"], "required arguments were not provided"),
        (&["limit", "--download", "fast"], "fast"),
        (&["limit", "--schedule", "on", "x"], "cannot be used with"),
        (
            &["ls", "--api", "ftp://nas"],
            "write http://HOST:PORT, https://HOST:PORT or unix:/PATH",
        ),
        (&["select", "x", "--only", "a"], "write it like 0,2,5-9"),
    ];
    for (args, words) in cases {
        let out = run(dir.path(), args);
        let text = stderr(&out);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = scratch();
    let config = dir.path().join(".config/chunkcast");
    fs::create_dir_all(&config).expect("made");
    let file = "[queue]\nactive-downloads = 1\nactive-seeds = 1\nstart-added = false\n";
    fs::write(config.join("config.toml"), file).expect("written");
    let args = ["config", "show", "--set", "queue.active-downloads=3"];
    let out = command(dir.path())
        .args(args)
        .env("CHUNKCAST_QUEUE_ACTIVE_DOWNLOADS", "2")
        .env("CHUNKCAST_QUEUE_ACTIVE_SEEDS", "2")
        .env("CHUNKCAST_API_PASSWORD", "hunter2")
        .output()
        .expect("chunkcast runs");
    let shown = good(&out);
    for (key, from) in [
        ("active-downloads = 3", "--set"),
        ("active-seeds = 2", "CHUNKCAST_QUEUE_ACTIVE_SEEDS"),
        ("start-added = false", "config.toml:4"),
        ("# password = (not shown)", "CHUNKCAST_API_PASSWORD"),
    ] {
        let line = shown.lines().find(|l| l.starts_with(key)).expect(key);
        assert!(line.ends_with(from), "{line}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    // what is shown is a configuration that says the same
    let copy = dir.path().join("copy.toml");
    fs::write(&copy, &shown).expect("written");
    let name = copy.display().to_string();
    let again = good(&run(dir.path(), &["config", "show", "--config", &name]));
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        lines
            .map(|l| l.split(" # ").next().unwrap_or(l).trim().to_owned())
            .collect()
    };
    assert_eq!(values(&again), values(&shown));
    let checked = good(&run(dir.path(), &["config", "check"]));
    assert!(checked.ends_with("config.toml: good\n"), "{checked}");
}

#[test]
fn a_variable_that_means_nothing_is_no_silent_typo() {
    let dir = scratch();
    let mut command = command(dir.path());
    command.args(["config", "show"]);
    let out = command.env("CHUNKCAST_RATES_UPLAOD", "1MiB/s").output();
    let (code, line) = refused(&out.expect("chunkcast runs"));
    assert_eq!(code, Some(2), "{line}");
    assert!(
        line.contains("did you mean CHUNKCAST_RATES_UPLOAD?"),
        "{line}"
    );
}

#[test]
fn without_a_daemon_a_client_says_how_to_start_one() {
    let dir = scratch();
    let socket = format!("unix:{}", dir.path().join("none.sock").display());
    for api in ["http://127.0.0.1:9", &socket] {
        for command in [&["ls"][..], &["pause", "--all"], &["limit"]] {
            let args = [command, &["--api", api]].concat();
            let out = run(dir.path(), &args);
            let text = stderr(&out);
            assert_eq!(out.status.code(), Some(4), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(
                text.contains("chunkcast daemon") && text.contains("--api"),
                "{text}"
            );
        }
    }
}

#[test]
fn every_command_has_a_page_and_shells_know_them_all() {
    let dir = scratch();
    let man = dir.path().join("man");
    let name = man.display().to_string();
    good(&run(dir.path(), &["man", "--dir", &name]));
    let help = good(&run(dir.path(), &["--help"]));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter(|l| l.starts_with("  ") && !l.starts_with("    "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help")
        .collect();
    assert!(commands.len() > 20, "{help}");
    let shells =
        ["bash", "zsh", "fish"].map(|shell| good(&run(dir.path(), &["completions", shell])));
    for command in commands {
        let page = fs::read_to_string(man.join(format!("chunkcast-{command}.1"))).expect(command);
        assert!(page.contains("SYNOPSIS"), "{page}");
        assert!(
            shells.iter().all(|script| script.contains(command)),
            "{command}"
        );
    }
    assert!(man.join("chunkcast-config-check.1").exists());
    let first = good(&run(dir.path(), &["man"]));
    assert!(first.contains("chunkcast\\-daemon(1)"), "{first}");
}
