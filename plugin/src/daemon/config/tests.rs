use proptest::prelude::*;

use super::keys::{KEYS, SECTIONS};
use super::value::{Raw, Value};
use super::*;
use crate::daemon::settings::LONGEST;
use crate::limits::Rate;

/// Sources with this file and nothing else; state and file are below a directory of their own.
struct Scene {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Scene {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).expect("written");
        let sources = Sources {
            file: Some(file),
            places: Places {
                config: None,
                state: Some(dir.path().to_owned()),
                downloads: Some("/downloads".into()),
            },
            env: Vec::new(),
            flags: Vec::new(),
        };
        Self { dir, sources }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, text: &str) -> Self {
        self.sources.flags.push(Flag {
            flag: "--set".to_owned(),
            key: key.to_owned(),
            text: text.to_owned(),
        });
        self
    }

    fn load(&self) -> Result<Loaded, Vec<Mistake>> {
        Config::load(&self.sources)
    }

    fn config(&self) -> Config {
        self.load().expect("a good configuration").config
    }

    /// The lines about what is wrong, without the directory.
    fn wrong(&self) -> Vec<String> {
        let mistakes = self.load().expect_err("a mistake");
        let dir = format!("{}/", self.dir.path().display());
        let lines = mistakes.iter().map(|m| m.to_string().replace(&dir, ""));
        lines.collect()
    }
}

fn wrong(text: &str) -> String {
    let lines = Scene::new(text).wrong();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].lines().count(), 1, "{lines:?}");
    lines[0].clone()
}

#[test]
fn every_key_is_of_a_section_and_shows_a_default_that_is_read_again() {
    let defaults = Config::defaults(&Places::of_system());
    for key in KEYS {
        assert!(SECTIONS.iter().any(|(s, _)| *s == key.section), "{key:?}");
        assert!(!key.about.is_empty() && !key.source.is_empty(), "{key:?}");
        let same = KEYS.iter().filter(|k| k.path() == key.path()).count();
        assert_eq!(same, 1, "{}", key.path());
    }
    for system in [false, true] {
        let scene = Scene::new(&example(system));
        let loaded = scene.load().expect("the example is good");
        assert_eq!(loaded.warnings, Vec::<String>::new());
        // what is commented out is the default, and good if somebody takes the # away
        let text = example(system).replace("\n#", "\n");
        let text: Vec<&str> = text
            .lines()
            .filter(|l| l.starts_with('[') || l.contains(" = ") && !l.contains('…'))
            .collect();
        let all = Scene::new(&text.join("\n"));
        if system {
            assert_eq!(all.config(), defaults);
        }
    }
}

#[test]
fn the_packaged_file_is_the_example() {
    let packaged = include_str!("../../../../packaging/config.toml");
    let text = example(true);
    assert_eq!(
        packaged, text,
        "chunkcast config example --system > packaging/config.toml"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
}

#[test]
fn a_file_says_what_it_says() {
    let scene = Scene::new(
        "[rates]\ndownload = \"20Mbit/s\"\nupload = \"512KiB/s\"\n\
         [schedule]\nby-clock = true\nfrom = \"22:30\"\nto = \"6:00\"\ndays = [\"mon\", \"Sun\"]\nupload = 2048\n\
         [queue]\nactive-downloads = 3\nactive-seeds = \"unlimited\"\nstalled-after = \"1h 30min\"\n\
         [seeding]\nratio = 2\nidle = 90\ntime = \"7d\"\n\
         [network]\nlisten = \"[::]:6881\"\nbootstrap = [\"a.example:4240\"]\nencryption = \"require\"\n",
    );
    let c = scene.config();
    let s = &c.settings;
    assert_eq!(s.rates.down, Some(Rate::new(2_500_000)));
    assert_eq!(s.rates.up, Some(Rate::new(512 << 10)));
    let schedule = &s.schedule;
    assert_eq!((schedule.from, schedule.to), (22 * 60 + 30, 360));
    assert_eq!(schedule.days, 0b11);
    assert_eq!(schedule.rates.up, Some(Rate::new(2048)));
    assert_eq!((s.active_downloads, s.active_seeds), (Some(3), None));
    assert_eq!(s.stalled_after, Some(Duration::from_secs(5400)));
    assert_eq!(s.seed_ratio, Some(2.0));
    assert_eq!(s.seed_idle, Some(Duration::from_secs(90)));
    assert_eq!(s.seed_time, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(c.network.listen, "[::]:6881".parse().ok());
    assert_eq!(c.network.encryption, Encryption::Require);
}

#[test]
fn a_mistake_names_file_line_key_and_the_way_out() {
    for (text, line) in [
        (
            "\n[rates]\ndownlaod = \"1MiB/s\"",
            "config.toml:3: there is no key `downlaod` in [rates]; did you mean `download` of [rates]?",
        ),
        (
            "[api]\npassword_file = \"/x\"",
            "config.toml:2: there is no key `password_file` in [api]; did you mean `password-file` of [api]?",
        ),
        (
            "[network]\ndownload-dir = \"/x\"",
            "config.toml:2: there is no key `download-dir` in [network]; did you mean `download-dir` of [paths]?",
        ),
        (
            "[rate]\ndownload = \"1MiB/s\"",
            "config.toml:1: there is no section [rate]; did you mean [rates]?",
        ),
        (
            "stalled-after = 3",
            "config.toml:1: there is no key `stalled-after` outside of a section; did you mean `stalled-after` of [queue]?",
        ),
        (
            "rates = 3",
            "config.toml:1: rates: this is a section; write [rates] and its keys below",
        ),
        (
            "[rates]\ndownload = \"fast\"",
            "config.toml:2: rates.download: `fast` is no rate; write one such as \"2MiB/s\" or \"20Mbit/s\"; or \"unlimited\"",
        ),
        (
            "[rates]\ndownload = 0",
            "config.toml:2: rates.download: `0` is out of range; write \"1KiB/s\" to \"1TB/s\"; or \"unlimited\"",
        ),
        (
            "[rates]\ndownload = true",
            "config.toml:2: rates.download: write a rate such as \"2MiB/s\" or \"20Mbit/s\", not `true`; or \"unlimited\"",
        ),
        (
            "[paths]\ndownload-dir = \"downloads\"",
            "config.toml:2: paths.download-dir: `downloads` is no absolute path; write one that begins with / or ~/",
        ),
        (
            "[queue]\nactive-downloads = -1",
            "config.toml:2: queue.active-downloads: write a whole number, not `-1`; or \"unlimited\"",
        ),
        (
            "[queue]\nactive-downloads = 0",
            "config.toml:2: queue.active-downloads: 0 lets none run; pause torrents instead, or write \"unlimited\" for no limit",
        ),
        (
            "[schedule]\nfrom = 22:30",
            "config.toml:2: schedule.from: write a time of day such as \"09:30\", not a date or time without quotation marks",
        ),
        (
            "[schedule]\nfrom = \"24:00\"",
            "config.toml:2: schedule.from: write a time of day such as \"09:30\", not `24:00`",
        ),
        (
            "[schedule]\ndays = [\"monday\"]",
            "config.toml:2: schedule.days: write a list of days such as [\"mon\", \"tue\"], of mon, tue, wed, thu, fri, \
             sat, sun, not `monday`",
        ),
        (
            "[schedule]\nby-clock = true\nto = \"09:00\"",
            "the defaults: schedule.from: begins when it ends",
        ),
        (
            "[seeding]\nidle = \"soon\"",
            "config.toml:2: seeding.idle: write a time such as \"30min\", \"1h 30min\" or \"7d\", not `soon`; or \"never\"",
        ),
        (
            "[seeding]\nratio = -0.5",
            "config.toml:2: seeding.ratio: write a number from 0 to 1000000 such as 2.0, not `-0.5`; or \"unlimited\"",
        ),
        (
            "[network]\ntransport = \"quic\"",
            "config.toml:2: network.transport: write \"both\" or \"tcp\" or \"utp\", not `quic`",
        ),
        (
            "[network]\nlisten = \"6881\"",
            "config.toml:2: network.listen: write an IP address with a port such as",
        ),
        (
            "[network]\nbootstrap = [\"node.example\"]",
            "config.toml:2: network.bootstrap: `node.example` is no HOST:PORT such as node.example.net:4240",
        ),
        (
            "[network]\nlisten = \"0.0.0.0:4240\"\nindex-listen = \"127.0.0.1:4240\"",
            "config.toml:3: network.index-listen: UDP 127.0.0.1:4240 is taken by network.listen (0.0.0.0:4240)",
        ),
        (
            "[network]\nlisten = \"0.0.0.0:9091\"",
            "the defaults: api.listen: TCP 127.0.0.1:9091 is taken by network.listen (0.0.0.0:9091)",
        ),
        (
            "[tracker]\nlisten = [\"127.0.0.1:9091\"]",
            "config.toml:2: tracker.listen: TCP 127.0.0.1:9091 is taken by api.listen (127.0.0.1:9091)",
        ),
        (
            "[api]\nlisten = \"0.0.0.0:9091\"",
            "config.toml:2: api.listen: 0.0.0.0:9091 can be reached by others, who could then do all that you can: set \
             api.password-file, or listen on 127.0.0.1:9091",
        ),
        (
            "[api]\nlisten = \"unix:api.sock\"",
            "config.toml:2: api.listen: `unix:api.sock`: the path behind unix: must begin with /",
        ),
        (
            "[api]\npassword = \"\"",
            "config.toml:2: api.password: there is nothing in it; leave the key out to have none",
        ),
        (
            "[api]\npassword = \"x\"\npassword-file = \"none\"",
            "config.toml:3: api.password-file: api.password is there too; leave one of them out",
        ),
        (
            "[api]\npassword-file = \"/nowhere/at/all\"",
            "config.toml:2: api.password-file: `/nowhere/at/all` cannot be read: No such file",
        ),
        (
            "[limits]\nconnections = 0",
            "config.toml:2: limits.connections: must be 1 to 1000000",
        ),
        (
            "[limits]\nmemory = \"1MiB\"",
            "config.toml:2: limits.memory: must be 8 MiB to 1 TiB",
        ),
        (
            "[limits]\nopen-files = 7",
            "config.toml:2: limits.open-files: must be 32 to 1000000",
        ),
        (
            "[blocklist]\nenabled = true",
            "config.toml:2: blocklist.enabled: there is no list; name where it comes from with blocklist.source",
        ),
        (
            "[blocklist]\nsource = \"ftp://x/y\"",
            "config.toml:2: blocklist.source: `ftp://x/y` is neither an http(s) URL nor a path that begins with /",
        ),
        (
            "[log]\nfilter = \"loud=loud=loud\"",
            "config.toml:2: log.filter: `loud=loud=loud` is no level",
        ),
        ("[log", "config.toml:1: this is no TOML: "),
    ] {
        let told = wrong(text);
        assert!(told.starts_with(line), "{text}\n {told}\n {line}");
    }
}

#[test]
fn every_mistake_is_told_in_one_go() {
    let scene = Scene::new("[rates]\ndownload = 1\nupload = 2\n[quue]\n")
        .env("CHUNKCAST_RATES_UPLAOD", "1");
    let lines = scene.wrong();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|l| l.ends_with("did you mean CHUNKCAST_RATES_UPLOAD?")),
        "{lines:?}"
    );
}

#[test]
fn what_comes_later_wins_and_says_where_it_is_from() {
    let text = "[queue]\nactive-downloads = 1\nactive-seeds = 1\nstart-added = false\n[seeding]\nratio = 1.0\n";
    let scene = Scene::new(text)
        .env("CHUNKCAST_QUEUE_ACTIVE_DOWNLOADS", "3")
        .env("CHUNKCAST_QUEUE_ACTIVE_SEEDS", "3")
        .flag("queue.active-downloads", "4");
    let before = scene.config().settings;
    assert!(!before.start_added);
    let after = Settings {
        active_downloads: Some(2),
        active_seeds: Some(2),
        start_added: true,
        ..before.clone()
    };
    keep_changes(scene.dir.path(), &before, &after).expect("written");
    let loaded = scene.load().expect("good");
    let s = &loaded.config.settings;
    assert_eq!((s.active_downloads, s.active_seeds), (Some(4), Some(3)));
    assert!(s.start_added, "a change wins over the file");
    assert_eq!(s.seed_ratio, Some(1.0));
    let shown = loaded.show();
    for (key, from) in [
        ("active-downloads = 4", "--set"),
        ("active-seeds = 3", "CHUNKCAST_QUEUE_ACTIVE_SEEDS"),
        ("start-added = true", "changed at runtime"),
        ("ratio = 1.0", "config.toml:6"),
        ("stalled-after = \"30min\"", "default"),
    ] {
        let line = shown.lines().find(|l| l.starts_with(key)).expect(key);
        assert!(line.ends_with(from), "{line}");
    }
    let dropped = drop_changes(scene.dir.path()).expect("removed");
    assert_eq!(
        dropped,
        [
            "queue.active-downloads",
            "queue.active-seeds",
            "queue.start-added"
        ]
    );
    assert!(!scene.config().settings.start_added);
    assert_eq!(
        drop_changes(scene.dir.path()).expect("nothing"),
        Vec::<String>::new()
    );
}

#[test]
fn changes_add_up_over_runs_and_only_what_changed_is_kept() {
    let scene = Scene::new("[rates]\ndownload = \"1MiB/s\"\nupload = \"1MiB/s\"\n");
    let first = scene.config().settings;
    let mut second = first.clone();
    second.rates.down = None;
    keep_changes(scene.dir.path(), &first, &second).expect("written");
    let again = scene.config().settings;
    assert_eq!(again, second);
    let mut third = again.clone();
    third.seed_idle = Some(Duration::from_secs(61));
    third.download_dir = "/elsewhere \"quoted\"".into();
    third.noted.download = Some(u64::MAX >> 1);
    third.noted.seed_ratio = Some(0.25);
    keep_changes(scene.dir.path(), &again, &third).expect("written");
    assert_eq!(scene.config().settings, third);
    let operators = scene.load().expect("good").download_dir;
    assert_eq!(operators, first.download_dir, "it is still known");
    // the file is still heard where nothing was changed
    std::fs::write(
        scene.dir.path().join("config.toml"),
        "[rates]\nupload = \"2MiB/s\"\n",
    )
    .expect("written");
    assert_eq!(scene.config().settings.rates.up, Some(Rate::new(2 << 20)));
    assert_eq!(scene.config().settings.rates.down, None);
}

#[test]
fn a_file_of_changes_that_is_no_good_is_warned_of_and_left_out() {
    let scene = Scene::new("");
    let changes = scene.dir.path().join("settings.toml");
    for text in [
        "[rates]\ndownload = \"no\"\n",
        "nonsense",
        "[rates]\nnothing = 1\n",
        // good by itself, but not together: there is no list
        "[blocklist]\nenabled = true\n",
    ] {
        std::fs::write(&changes, text).expect("written");
        let loaded = scene.load().expect(text);
        assert_eq!(loaded.config, Scene::new("").with_state(&scene), "{text}");
        assert_eq!(loaded.warnings.len(), 1, "{text} {:?}", loaded.warnings);
        assert!(
            loaded.warnings[0].contains("left out"),
            "{:?}",
            loaded.warnings
        );
    }
    std::fs::write(&changes, "[api]\nlisten = \"127.0.0.1:1\"\n").expect("written");
    assert_eq!(
        wrong("[noted]\nratio = 1.0"),
        "config.toml:1: there is no section [noted]; did you mean [rates]?"
    );
    assert_eq!(
        scene.config().api.listen.to_string(),
        "127.0.0.1:9091",
        "not a thing to change at runtime"
    );
}

#[test]
fn of_changes_only_those_at_fault_are_left_out() {
    let scene = Scene::new("[blocklist]\nenabled = true\nsource = \"/srv/list\"\n");
    let changes = scene.dir.path().join("settings.toml");
    for (text, left_out) in [
        (
            "[limits]\npeers-per-torrent = 0\n",
            "limits.peers-per-torrent",
        ),
        // a change that was fine with the configuration that there was
        ("[blocklist]\nsource = \"none\"\n", "blocklist.source"),
        (
            "[noted]\nstalled-after = \"never\"\n[limits]\nconnections = 2000000\n",
            "limits.connections",
        ),
    ] {
        let text = format!("{text}[rates]\ndownload = \"500kB/s\"\n");
        std::fs::write(&changes, &text).expect("written");
        let loaded = scene.load().expect(&text);
        let rate = loaded.config.settings.rates.down;
        assert_eq!(rate, Some(Rate::new(500_000)), "{text}");
        assert_eq!(loaded.warnings.len(), 1, "{text} {:?}", loaded.warnings);
        let expected = format!("left out: {left_out}");
        assert!(
            loaded.warnings[0].ends_with(&expected),
            "{:?}",
            loaded.warnings
        );
    }
}

#[test]
fn what_comes_to_nothing_is_a_mistake_of_who_writes_it_and_not_of_a_client() {
    let scene = Scene::new("[schedule]\nto = \"09:00\"\n");
    let before = scene.config().settings;
    let mut after = before.clone();
    after.active_downloads = Some(0);
    (after.schedule.by_clock, after.schedule.days) = (true, 0);
    keep_changes(scene.dir.path(), &before, &after).expect("written");
    let loaded = scene.load().expect("good");
    assert_eq!(loaded.config.settings, after);
    for key in ["queue.active-downloads", "schedule.from", "schedule.days"] {
        let mut told = loaded.warnings.iter();
        assert!(
            told.any(|line| line.contains(key)),
            "{key} {:?}",
            loaded.warnings
        );
    }
}

#[test]
fn times_that_clients_set_are_read_again() {
    let scene = Scene::new("");
    let before = scene.config().settings;
    for time in [Duration::from_secs(1), Duration::from_secs(60), LONGEST] {
        let mut after = before.clone();
        (after.stalled_after, after.seed_idle) = (Some(time), Some(time));
        after.noted.seed_idle = Some(time);
        keep_changes(scene.dir.path(), &before, &after).expect("written");
        assert_eq!(scene.config().settings, after);
    }
}

impl Scene {
    /// What this says with the state directory of another.
    fn with_state(&self, other: &Scene) -> Config {
        let mut config = self.config();
        config.paths.state_dir = other.dir.path().to_owned();
        config
    }
}

#[test]
fn passwords_come_from_any_layer_and_are_never_shown() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("password");
    std::fs::write(&file, " hunter2 \nmore\n").expect("written");
    let named = format!("[api]\npassword-file = {}\n", file.clone().show());
    let loaded = Scene::new(&named).load().expect("good");
    assert_eq!(
        loaded.config.api.password,
        Some(Secret(" hunter2 ".to_owned()))
    );
    assert!(
        loaded.warnings.iter().any(|w| w.contains("chmod 600")),
        "{:?}",
        loaded.warnings
    );
    let over = Scene::new(&named).env("CHUNKCAST_API_PASSWORD", "swordfish");
    let loaded = over.load().expect("good");
    assert_eq!(
        loaded.config.api.password,
        Some(Secret("swordfish".to_owned()))
    );
    for text in [loaded.show(), format!("{loaded:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(!loaded.show().contains("swordfish"));
    let open = Scene::new("[api]\nlisten = \"0.0.0.0:9091\"").env("CHUNKCAST_API_PASSWORD", "x");
    assert!(open.load().is_ok(), "with a password any address will do");
}

#[test]
fn a_reload_knows_what_can_change_at_once() {
    let before = Scene::new("").config();
    let scene = Scene::new(
        "[rates]\nupload = \"1MiB/s\"\n[network]\ndht = false\n[api]\npassword = \"x\"\n",
    );
    let loaded = scene.load().expect("good");
    let mut before = before;
    before.paths.state_dir = scene.dir.path().to_owned();
    let (now, later) = loaded.changed_since(&before);
    assert_eq!(now, ["rates.upload"]);
    assert_eq!(later, ["network.dht", "api.password"]);
}

#[test]
fn what_is_odd_is_warned_of() {
    for (text, part) in [
        ("[api]\nuser = \"me\"", "nobody is asked for it"),
        ("[watch]\ndir = \"/downloads\"", "a folder of its own"),
        ("[schedule]\nby-clock = true", "the clock lifts all limits"),
        (
            "[tracker]\nlisten = [\"0.0.0.0:6969\"]",
            "without a password",
        ),
        ("[network]\nupnp = false", "may be another after a restart"),
        ("[api]\npassword = \"x\"", "chmod 600"),
    ] {
        let warnings = Scene::new(text).load().expect(text).warnings;
        assert!(
            warnings.len() == 1 && warnings[0].contains(part),
            "{text} {warnings:?}"
        );
    }
}

/// Values of every kind, good and bad.
fn raw() -> impl Strategy<Value = Raw> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "none",
            "auto",
            "never",
            "unlimited",
            "true",
            "off",
            "tcp",
            "require",
            "json",
            "debug",
            "09:30",
            "0:05",
            "mon",
            "unix:/a/b",
            "127.0.0.1:1",
            "[::1]:7000",
            "a.example:1",
            "/a b",
            "~/x",
            "http://a/b",
            "-1",
            "",
        ])
        .prop_map(str::to_owned),
        (
            1u64..5000,
            prop::sample::select(vec![
                "", "KiB", "MiB/s", "kB", "Mbit/s", "min", "d", "h 3s", "GiB"
            ])
        )
            .prop_map(|(n, unit)| format!("{n}{unit}")),
        any::<String>(),
        "[ -~]{0,12}",
    ];
    let one = prop_oneof![
        word.clone().prop_map(Raw::Text),
        word.prop_map(Raw::Loose),
        any::<i64>().prop_map(Raw::Integer),
        (0i64..100_000).prop_map(Raw::Integer),
        any::<f64>().prop_map(Raw::Float),
        (0f64..100.0).prop_map(Raw::Float),
        any::<bool>().prop_map(Raw::Bool),
    ];
    prop_oneof![
        4 => one.clone(),
        1 => prop::collection::vec(one, 0..3).prop_map(Raw::List),
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_lines(text in any::<String>()) {
        if let Err(mistakes) = Scene::new(&text).load() {
            for mistake in mistakes {
                prop_assert_eq!(mistake.to_string().lines().count(), 1, "{}", mistake);
            }
        }
    }

    #[test]
    fn anything_that_looks_like_a_file_is_read_or_refused_in_lines(
        lines in prop::collection::vec((0usize..KEYS.len(), "[-\\[\\]{}\"'a-z0-9:/.,= \\\\\n]{0,16}"), 0..8),
    ) {
        let text: String = lines
            .iter()
            .map(|(i, value)| format!("[{}]\n{} = {value}\n", KEYS[*i].section, KEYS[*i].name))
            .collect();
        if let Err(mistakes) = Scene::new(&text).load() {
            for mistake in mistakes {
                prop_assert_eq!(mistake.to_string().lines().count(), 1, "{}", mistake);
            }
        }
    }

    /// Any configuration that can be said is the same when what is shown of it is read.
    #[test]
    fn what_is_shown_is_read_as_the_same(said in prop::collection::vec((0usize..KEYS.len(), raw()), 0..60)) {
        let mut config = Config::defaults(&Places::of_system());
        for (i, raw) in &said {
            let _ = (KEYS[*i].read)(&mut config, raw);
        }
        (config.network.key, config.api.password) = (None, None);
        let loaded = Loaded {
                download_dir: PathBuf::new(), config, file: None, warnings: Vec::new(), origins: load::Origins::new(),
            };
        let text = loaded.show();
        let mut mistakes = Vec::new();
        let layer = load::parse(&text, load::Kind::Configuration, |line| Origin::File("shown".into(), line), &mut mistakes);
        prop_assert!(mistakes.is_empty(), "{:?} in\n{}", mistakes, text);
        let shown = KEYS.iter().filter(|k| !k.secret).count();
        prop_assert_eq!(layer.len(), shown);
        let mut again = Config::defaults(&Places::of_user());
        for said in &layer {
            let read = (said.key.read)(&mut again, &said.raw);
            prop_assert!(read.is_ok(), "{:?} in\n{}", read, text);
        }
        prop_assert_eq!(again, loaded.config, "{}", text);
    }
}
