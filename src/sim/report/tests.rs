use std::path::PathBuf;

use super::*;
use crate::sim::swarm::{Cost, Download, RunResult, System};

/// A run whose downloaders took so long; `None`: not done at the end.
fn run(system: System, seed: u64, took: &[Option<f64>]) -> RunResult {
    let download = |(i, took_s): (usize, &Option<f64>)| Download {
        peer: i + 1,
        stub: i,
        took_s: *took_s,
        left: false,
        chunks: if took_s.is_some() { 10 } else { 3 },
    };
    RunResult {
        system,
        slots: 6,
        variant: String::new(),
        seed,
        peers: took.len() + 1,
        chunks: 10,
        chunk_bytes: 100_000,
        bound_s: 100.0,
        ended_s: 1_000.0,
        downloads: took.iter().enumerate().map(download).collect(),
        served: vec![1_000_000; took.len() + 1],
        stub_copies: vec![1.0, 2.0, 1.5],
        seed_copies: 1.25,
        cross_bytes: 2_000_000,
        link_bytes: vec![500_000, 2_000_000, 1_000_000],
        goodput: vec![100_000; 3],
        directory: Cost {
            messages: 120,
            bytes: 24_000,
        },
        upkeep: Cost {
            messages: 30,
            bytes: 6_000,
        },
        directory_bytes: vec![10_000; 3],
        refused: 7,
        duplicate_bytes: 0,
        lost_bytes: 0,
        digest: 0xabc,
    }
}

/// All done, after so many seconds.
fn done(system: System, seed: u64, took: &[f64]) -> RunResult {
    let took: Vec<_> = took.iter().map(|s| Some(*s)).collect();
    run(system, seed, &took)
}

/// Three downloaders around a median.
fn around(system: System, seed: u64, median: f64) -> RunResult {
    done(system, seed, &[median - 10.0, median, median + 20.0])
}

fn only(summaries: &[Summary], system: System) -> &Summary {
    let mut of = summaries.iter().filter(|s| s.system == system);
    let first = of.next().unwrap();
    assert!(of.next().is_none(), "one summary a system and setting");
    first
}

fn near(a: Option<f64>, b: f64) {
    assert!(a.is_some_and(|a| (a - b).abs() < 1e-9), "{a:?} is not {b}");
}

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}

/// A folder for one test, empty.
fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("chunkcast-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

#[test]
fn quantiles_of_times_are_multiples_of_the_bound() {
    // 0, 10, ... 100 times ten
    let took: Vec<f64> = (0..=10).map(|n| f64::from(n) * 100.0).rev().collect();
    let f = figures(&[done(System::Random, 1, &took)]).remove(0);
    near(f.seconds.p10, 100.0);
    near(f.seconds.median, 500.0);
    near(f.seconds.p90, 900.0);
    near(f.seconds.slowest, 1_000.0);
    near(f.times.median, 5.0);
    near(f.times.slowest, 10.0);
    // an even number: between the two in the middle
    let f = figures(&[done(System::Random, 1, &[100.0, 400.0])]).remove(0);
    near(f.seconds.median, 250.0);
    near(f.seconds.p90, 370.0);
}

#[test]
fn who_is_not_done_counts_as_taking_for_ever_and_who_left_not_at_all() {
    let mut r = run(
        System::Random,
        1,
        &[Some(100.0), Some(200.0), Some(300.0), None, None],
    );
    let f = figures(std::slice::from_ref(&r)).remove(0);
    assert_eq!((f.downloaders, f.unfinished, f.left), (5, 2, 0));
    near(f.seconds.median, 300.0);
    assert_eq!(
        (f.seconds.p90, f.seconds.slowest, f.times.slowest),
        (None, None, None)
    );

    for d in &mut r.downloads[3..] {
        d.left = true;
    }
    let f = figures(std::slice::from_ref(&r)).remove(0);
    assert_eq!((f.downloaders, f.unfinished, f.left), (5, 0, 2));
    near(f.seconds.median, 200.0);
    near(f.seconds.slowest, 300.0);
    // one that left after it was done counts no more than the others who left
    r.downloads[2].left = true;
    near(figures(&[r]).remove(0).seconds.slowest, 200.0);
}

#[test]
fn a_run_nobody_finished_has_no_times_and_says_never() {
    let runs = [
        run(System::Random, 1, &[None, None]),
        done(System::Random, 2, &[100.0, 110.0]),
        run(System::Random, 3, &[Some(120.0), None]),
    ];
    let summaries = summarize(&runs);
    let s = only(&summaries, System::Random);
    assert_eq!((s.topologies, s.downloaders, s.unfinished), (3, 6, 3));
    near(s.p10.least, 1.01);
    // 1.05, never, never
    assert_eq!((s.median.median, s.median.most), (None, None));
    near(s.median.least, 1.05);
    assert!(tables(&summaries).contains("never (1.05..never)"));
}

#[test]
fn medians_and_spreads_are_taken_over_topologies() {
    let runs: Vec<RunResult> = [(1, 130.0), (2, 110.0), (3, 150.0)]
        .map(|(seed, median)| around(System::ChunkCastExtended, seed, median))
        .into();
    let summaries = summarize(&runs);
    let s = only(&summaries, System::ChunkCastExtended);
    near(s.median.median, 1.3);
    near(s.median.least, 1.1);
    near(s.median.most, 1.5);
    near(s.slowest.median, 1.5);
    near(s.slowest.most, 1.7);
    assert_eq!((s.topologies, s.downloaders, s.peers), (3, 9, 4));
    assert_eq!(s.variant, "plain");
}

#[test]
fn costs_are_those_of_a_peer_and_traffic_that_of_a_downloader() {
    let mut extended = around(System::ChunkCastExtended, 1, 110.0);
    extended.cross_bytes = 1_500_000;
    extended.duplicate_bytes = 300_000;
    let runs = [extended, around(System::BitTorrent, 1, 120.0)];
    let f = figures(&runs).remove(0);
    near(f.copies, 1.5);
    near(f.copies_most, 2.0);
    near(Some(f.seed_copies), 1.25);
    // a file of 1 MB, three downloaders, four peers
    near(Some(f.cross), 0.5);
    near(f.cross_vs_bittorrent, 0.75);
    near(Some(f.directory_kb), 6.0);
    near(Some(f.directory_messages), 30.0);
    near(Some(f.upkeep_kb), 1.5);
    near(Some(f.duplicates), 0.1);
    assert_eq!(f.refused, 7);
    let mut alone = runs[0].clone();
    alone.stub_copies.clear();
    let f = figures(&[alone]).remove(0);
    assert_eq!((f.copies, f.cross_vs_bittorrent), (None, None));
}

#[test]
fn reductions_compare_runs_of_one_topology() {
    let runs = [
        around(System::Random, 1, 200.0),
        around(System::Random, 2, 400.0),
        around(System::Random, 3, 300.0),
        around(System::ConstrainedLocality, 1, 80.0),
        around(System::ChunkCastExtended, 1, 100.0), // 50 % below
        around(System::ChunkCastExtended, 2, 300.0), // 25 % below
        around(System::ChunkCastExtended, 3, 120.0), // 60 % below
        around(System::ChunkCastExtended, 4, 100.0), // nothing to compare with
    ];
    let summaries = summarize(&runs);
    let s = only(&summaries, System::ChunkCastExtended);
    near(s.below_random.median, 50.0);
    near(s.below_random.least, 25.0);
    near(s.below_random.most, 60.0);
    near(s.below_constrained.median, -25.0);
    // another variant and other slots are other settings
    let mut other = around(System::ChunkCastExtended, 1, 100.0);
    other.slots = 0;
    let mut unequal = around(System::ChunkCastExtended, 1, 100.0);
    unequal.variant = "unequal".into();
    let runs = [around(System::Random, 1, 200.0), other, unequal];
    assert!(figures(&runs).iter().all(|f| f.below_constrained.is_none()));
    assert!(figures(&runs)[1..].iter().all(|f| f.below_random.is_none()));
    let order: Vec<_> = summarize(&runs)
        .into_iter()
        .map(|s| (s.variant, s.slots))
        .collect();
    let expected = [("plain", 6), ("plain", 0), ("unequal", 6)];
    assert_eq!(order, expected.map(|(v, n)| (v.to_owned(), n)));
}

#[test]
fn topologies_may_differ_by_some_peers_but_sizes_stay_apart() {
    let of_size =
        |seed, downloaders: usize, s: f64| done(System::Random, seed, &vec![s; downloaders]);
    let runs = [
        of_size(1, 17, 110.0),
        of_size(2, 19, 120.0),
        of_size(3, 18, 130.0),
        of_size(1, 99, 140.0),
        of_size(2, 101, 150.0),
    ];
    let summaries = summarize(&runs);
    let sizes: Vec<_> = summaries.iter().map(|s| (s.peers, s.topologies)).collect();
    assert_eq!(sizes, [(19, 3), (102, 2)]);
    near(summaries[0].median.median, 1.2);
    near(summaries[1].median.median, 1.45);
}

#[test]
fn a_table_has_a_line_a_system_and_only_columns_that_say_something() {
    let runs = [
        around(System::Random, 1, 200.0),
        around(System::Random, 2, 240.0),
        around(System::ChunkCastExtended, 1, 100.0),
        around(System::ChunkCastExtended, 2, 108.0),
    ];
    let table = tables(&summarize(&runs));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert_eq!(
        lines[0],
        "plain, 4 peers, 6 slots, 2 topologies; times are multiples of the bound (100 s)"
    );
    assert!(lines[3].starts_with("random "), "{table}");
    assert!(lines[4].contains("1.04 (1.00..1.08)"), "{table}");
    assert!(lines[4].contains("52 (50..55)"), "{table}");
    // nobody left, all were done, BitTorrent did not run
    for absent in ["left", "done", "bittorrent", "constrained"] {
        assert!(!table.contains(absent), "{absent}: {table}");
    }
    assert!(table.lines().all(|line| line.len() < 180), "{table}");
}

#[test]
fn variants_are_compared_in_one_table() {
    let mut runs = Vec::new();
    for (variant, more) in [("", 0.0), ("unequal", 40.0), ("leaving", 60.0)] {
        for system in [System::Random, System::ChunkCastExtended] {
            let mut r = around(system, 1, 110.0 + more);
            r.variant = variant.into();
            runs.push(r);
        }
    }
    runs[5] = RunResult {
        variant: "leaving".into(),
        ..run(
            System::ChunkCastExtended,
            1,
            &[Some(120.0), Some(130.0), None],
        )
    };
    let table = compare_variants(&summarize(&runs));
    let rows: Vec<Vec<&str>> = table.lines().skip(3).map(cells).collect();
    assert_eq!(
        rows,
        [
            ["plain", "1.10 (1.30)", "1.10 (1.30)"],
            ["unequal", "1.50 (1.70)", "1.50 (1.70)"],
            ["leaving", "1.70 (1.90)", "1.30 (never)"],
        ],
        "{table}"
    );
    assert_eq!(compare_variants(&summarize(&runs[..2])), "");
    assert_eq!(compare_sizes(&summarize(&runs)), "");
}

#[test]
fn sizes_are_compared_by_time_and_by_cost() {
    let small = around(System::ChunkCastExtended, 1, 110.0);
    let large = done(System::ChunkCastExtended, 1, &[120.0; 11]);
    let table = compare_sizes(&summarize(&[small, large]));
    let rows: Vec<Vec<&str>> = table.lines().map(cells).collect();
    for (title, values) in [
        ("median (slowest) / bound", ["1.10 (1.30)", "1.20 (1.20)"]),
        ("directory, kB a peer", ["6.0", "2.0"]), // 24 kB over 4 and over 12 peers
        ("directory, messages a peer", ["30", "10"]),
    ] {
        let title = format!("plain, 6 slots: {title}");
        let at = rows.iter().position(|row| row == &[&title]).unwrap();
        assert_eq!(rows[at + 3], ["4", values[0]], "{table}");
        assert_eq!(rows[at + 4], ["12", values[1]], "{table}");
    }
}

#[test]
fn each_site_link_is_a_column() {
    let mut second = around(System::BitTorrent, 2, 100.0);
    second.stub_copies = vec![1.4, 2.0, 1.5];
    let table = site_links(&[around(System::BitTorrent, 1, 100.0), second]);
    let row = cells(table.lines().last().unwrap());
    // 2 MB between sites, a file of 1 MB
    assert_eq!(
        row,
        ["bittorrent", "1.20 (1.00..1.40)", "2.00", "1.50", "2.00"]
    );
}

#[test]
fn progress_names_the_run_and_who_is_missing() {
    let line = progress(3, 80, &around(System::Oracle, 4, 103.0));
    assert_eq!(
        line,
        "[3/80] plain, 4 peers, 6 slots, oracle, seed 4: median 1.03, slowest 1.23 x bound"
    );
    let line = progress(1, 1, &run(System::Random, 1, &[Some(100.0), None]));
    assert!(
        line.ends_with("median never, slowest never x bound, 1 not done after 1000 s"),
        "{line}"
    );
}

#[test]
fn every_line_of_csv_has_as_many_fields() {
    let mut odd = run(System::BitTorrent, 2, &[None]);
    odd.variant = "unequal, \"1:4\"".into();
    odd.stub_copies.clear();
    odd.served.clear();
    let text = csv(&[around(System::Random, 1, 150.0), odd]);
    assert!(text.ends_with('\n'));
    let lines: Vec<&str> = text.lines().collect();
    let count = |line: &str| line.matches(',').count();
    assert_eq!((lines.len(), count(lines[1])), (3, count(lines[0])));
    assert!(lines[2].starts_with("\"unequal, \"\"1:4\"\"\",bittorrent,2,6,2,"));
    assert_eq!(count(lines[2]), count(lines[0]) + 1, "one comma is quoted");
    let column = |name: &str| {
        let at = lines[0].split(',').position(|n| n == name).unwrap();
        lines[1].split(',').nth(at).unwrap()
    };
    for (name, value) in [
        ("system", "random"),
        ("median_s", "150"),
        ("median_x", "1.5"),
        ("slowest_x", "1.7"),
        ("directory_kb_peer", "6"),
        ("below_random_percent", "0"),
        ("below_constrained_percent", ""),
        ("link_bytes", "3500000"),
        ("digest", "0000000000000abc"),
    ] {
        assert_eq!(column(name), value, "{name}");
    }
}

/// Reads just enough XML to see that tags nest and that text is escaped.
fn check_svg(text: &str) {
    assert!(text.starts_with("<svg "), "{}", &text[..60.min(text.len())]);
    let mut open = Vec::new();
    for part in text.split('<').skip(1) {
        let (tag, after) = part.split_once('>').expect("a tag ends");
        assert!(!after.contains('>'), "a bare > in {after:?}");
        for entity in after.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(
                ["lt", "gt", "amp", "quot", "apos"].contains(&name),
                "{after:?}"
            );
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    assert!(!text.contains("NaN") && !text.contains("inf"));
}

#[test]
fn pictures_name_the_systems_and_are_the_same_twice() {
    let mut runs: Vec<RunResult> = System::ALL
        .iter()
        .flat_map(|system| [1, 2].map(|seed| around(*system, seed, 120.0)))
        .collect();
    runs.push(RunResult {
        variant: "../<odd> & \"names\"".into(),
        ..run(System::Random, 1, &[None, None])
    });
    let dirs = [folder("pictures-a"), folder("pictures-b")];
    let [first, second] = [0, 1].map(|i| write_figures(&runs, &dirs[i]).unwrap());
    assert_eq!(first.len(), 6);
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a.parent(), Some(dirs[0].as_path()));
        let text = std::fs::read_to_string(a).unwrap();
        assert_eq!(text, std::fs::read_to_string(b).unwrap());
        check_svg(&text);
    }
    let names: Vec<_> = first[..3].iter().map(|p| p.file_name().unwrap()).collect();
    assert_eq!(
        names,
        [5, 6, 7].map(|n| std::ffi::OsString::from(format!("figure{n}-plain-4-peers-6-slots.svg")))
    );
    for (path, unit) in first.iter().zip(["seconds", "MB", "MB/s"]) {
        let text = std::fs::read_to_string(path).unwrap();
        for system in System::ALL {
            assert!(text.contains(system.name()), "{}", system.name());
        }
        assert!(text.contains(unit) && text.contains("6 slots, 2 topologies"));
    }
    // 10 kB/s of directory beside at most 2 MB/s over links: too little to be seen
    assert!(
        !std::fs::read_to_string(&first[2])
            .unwrap()
            .contains("its directory")
    );
    for run in &mut runs {
        run.directory_bytes = vec![100_000; 3];
    }
    let again = write_figures(&runs, &dirs[0]).unwrap();
    assert!(
        std::fs::read_to_string(&again[2])
            .unwrap()
            .contains("its directory")
    );
    for dir in dirs {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn the_sweep_over_scale_is_drawn_if_there_is_one() {
    let dir = folder("scale");
    let small = around(System::ChunkCastExtended, 1, 110.0);
    assert!(
        write_scale(std::slice::from_ref(&small), &dir)
            .unwrap()
            .is_empty()
    );
    let large = done(System::ChunkCastExtended, 1, &[120.0; 11]);
    let never = run(System::Random, 1, &[None; 11]);
    let files = write_scale(&[small, large, never], &dir).unwrap();
    let names: Vec<_> = files.iter().map(|p| p.file_name().unwrap()).collect();
    assert_eq!(
        names,
        [
            "scale-times-plain-6-slots.svg",
            "scale-directory-plain-6-slots.svg"
        ]
    );
    for (file, unit) in files.iter().zip(["/ bound", "kB a peer"]) {
        let text = std::fs::read_to_string(file).unwrap();
        check_svg(&text);
        assert!(text.contains("chunkcast-extended") && text.contains(unit));
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let file = folder("taken");
    std::fs::write(&file, "a file").unwrap();
    let runs = [around(System::Random, 1, 100.0)];
    assert!(write_figures(&runs, &file.join("below")).is_err());
    std::fs::remove_file(file).unwrap();
}

#[test]
fn lines_of_thousands_of_points_stay_small_and_keep_their_ends() {
    let took: Vec<f64> = (0..5_000).map(|n| 100.0 + f64::from(n) / 50.0).collect();
    let mut r = done(System::Random, 1, &took);
    r.link_bytes = vec![1_000_000; 4_000];
    let dir = folder("large");
    for file in write_figures(&[r], &dir).unwrap() {
        let size = std::fs::metadata(&file).unwrap().len();
        assert!(size < 30_000, "{}: {size}", file.display());
    }
    std::fs::remove_dir_all(dir).unwrap();
}
