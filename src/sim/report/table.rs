//! Tables for the terminal. Ranges in brackets are the least and the most over topologies.

use super::grid::Grid;
use super::summary::{Spread, Summary, figures, file_bytes, settings, spread, variant};
use crate::sim::swarm::{RunResult, System};

/// One table for each setting, systems as rows.
pub fn tables(summaries: &[Summary]) -> String {
    let same =
        |a: &Summary, b: &Summary| (&a.variant, a.peers, a.slots) == (&b.variant, b.peers, b.slots);
    let tables: Vec<String> = summaries.chunk_by(same).map(setting).collect();
    tables.join("\n")
}

/// How each system degrades: variants as rows, systems as columns, median (slowest) as multiples of the bound. One table
/// for each number of peers and slots; empty if there is but one variant.
pub fn compare_variants(summaries: &[Summary]) -> String {
    let kind = Kind {
        row: |s| s.variant.clone(),
        table: |s| format!("{} peers, {}", s.peers, slots(s.slots)),
        head: "variant",
    };
    compare(summaries, &kind, "median (slowest) / bound", times)
}

/// How each system scales: peers as rows, systems as columns; times, then kilobytes of the directory a peer. Empty if
/// there is but one size.
pub fn compare_sizes(summaries: &[Summary]) -> String {
    let kind = Kind {
        row: |s| s.peers.to_string(),
        table: |s| format!("{}, {}", s.variant, slots(s.slots)),
        head: "peers",
    };
    let parts = [
        compare(summaries, &kind, "median (slowest) / bound", times),
        compare(summaries, &kind, "directory, kB a peer", |s| {
            plain(s.directory_kb, 1)
        }),
        compare(summaries, &kind, "directory, messages a peer", |s| {
            plain(s.directory_messages, 0)
        }),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// Copies of the file over the link into each site but the seed's, and over all of them; one row a system, one table a
/// setting. Medians over topologies.
pub fn site_links(results: &[RunResult]) -> String {
    let mut tables = Vec::new();
    for setting in settings(results) {
        let links = setting.runs.iter().map(|i| results[*i].stub_copies.len());
        let links = links.max().unwrap_or(0);
        let heads = (1..=links).map(|n| format!("into|site {n}"));
        let heads: Vec<String> = ["system".into()]
            .into_iter()
            .chain(heads)
            .chain(["between|sites".into()])
            .collect();
        let mut grid = Grid::new(heads.iter().map(String::as_str));
        for system in System::ALL {
            let of_system = |i: &&usize| results[**i].system == system;
            let runs: Vec<&RunResult> = setting
                .runs
                .iter()
                .filter(of_system)
                .map(|i| &results[*i])
                .collect();
            if runs.is_empty() {
                continue;
            }
            let link = |n: usize| {
                runs.iter()
                    .filter_map(move |r| r.stub_copies.get(n).copied())
            };
            let all = runs.iter().map(|r| r.cross_bytes as f64 / file_bytes(r));
            let mut cells = vec![system.name().to_owned()];
            cells.extend((0..links).map(|n| ranged(spread(link(n).collect(), 0), 2)));
            cells.push(ranged(spread(all.collect(), 0), 2));
            grid.row(cells);
        }
        tables.push(format!(
            "{}, {} peers, {}: copies of the file over each site's link\n{}",
            setting.variant,
            setting.peers,
            slots(setting.slots),
            grid.render()
        ));
    }
    tables.join("\n")
}

/// One line about a run that has just ended.
pub fn progress(done: usize, all: usize, r: &RunResult) -> String {
    let figures = figures(std::slice::from_ref(r));
    let times = figures.first().map(|f| f.times).unwrap_or_default();
    let unfinished = match figures.first().map_or(0, |f| f.unfinished) {
        0 => String::new(),
        n => format!(", {n} not done after {:.0} s", r.ended_s),
    };
    format!(
        "[{done}/{all}] {}, {} peers, {}, {}, seed {}: median {}, slowest {} x bound{unfinished}",
        variant(&r.variant),
        r.peers,
        slots(r.slots),
        r.system.name(),
        r.seed,
        number(times.median, 2),
        number(times.slowest, 2),
    )
}

/// "6 slots", "no slot limit".
pub(super) fn slots(slots: usize) -> String {
    match slots {
        0 => "no slot limit".into(),
        1 => "1 slot".into(),
        n => format!("{n} slots"),
    }
}

fn setting(rows: &[Summary]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let topologies = rows.iter().map(|s| s.topologies).max().unwrap_or(0);
    let mut grid = Grid::new([
        "system",
        "median",
        "p10",
        "p90",
        "slowest",
        "% below|random",
        "% below|constrained",
        "copies|a stub",
        "copies|of seed",
        "cross-stub|files/peer",
        "of|bittorrent",
        "directory|kB/peer",
        "directory|msgs/peer",
        "upkeep|kB/peer",
        "refused",
        "left",
        "not|done",
    ]);
    let some = |n: usize| match n {
        0 => "-".to_owned(),
        n => n.to_string(),
    };
    for s in rows {
        let below = |spread: Spread, other: System| match spread.median {
            Some(_) if s.system != other => ranged(spread, 0),
            _ => "-".to_owned(),
        };
        grid.row(vec![
            s.system.name().to_owned(),
            ranged(s.median, 2),
            number(s.p10.median, 2),
            number(s.p90.median, 2),
            ranged(s.slowest, 2),
            below(s.below_random, System::Random),
            below(s.below_constrained, System::ConstrainedLocality),
            plain(s.copies, 2),
            plain(s.seed_copies, 2),
            plain(s.cross, 2),
            plain(s.cross_vs_bittorrent, 2),
            plain(s.directory_kb, 1),
            plain(s.directory_messages, 0),
            plain(s.upkeep_kb, 1),
            plain(s.refused, 0),
            some(s.left),
            some(s.unfinished),
        ]);
    }
    format!(
        "{}, {} peers, {}, {topologies} {}; times are multiples of the bound ({} s)\n{}",
        first.variant,
        first.peers,
        slots(first.slots),
        if topologies == 1 {
            "topology"
        } else {
            "topologies"
        },
        ranged(first.bound_s, 0),
        grid.render()
    )
}

/// What parts summaries into tables, and these into rows.
struct Kind {
    row: fn(&Summary) -> String,
    table: fn(&Summary) -> String,
    head: &'static str,
}

fn compare(
    summaries: &[Summary],
    kind: &Kind,
    title: &str,
    cell: fn(&Summary) -> String,
) -> String {
    let mut parts = Vec::new();
    for table in distinct(summaries.iter().map(kind.table)) {
        let of_table: Vec<&Summary> = summaries
            .iter()
            .filter(|s| (kind.table)(s) == table)
            .collect();
        let rows = distinct(of_table.iter().map(|s| (kind.row)(s)));
        if rows.len() < 2 {
            continue;
        }
        let has = |system: &System| of_table.iter().any(|s| s.system == *system);
        let systems: Vec<System> = System::ALL.into_iter().filter(has).collect();
        let heads: Vec<String> = systems
            .iter()
            .map(|s| s.name().replacen('-', "-|", 1))
            .collect();
        let heads = heads.iter().map(String::as_str);
        let mut grid = Grid::new([kind.head].into_iter().chain(heads));
        for row in rows {
            let of_row: Vec<&&Summary> = of_table.iter().filter(|s| (kind.row)(s) == row).collect();
            let of_system = |system: &System| {
                let summary = of_row.iter().find(|s| s.system == *system);
                summary.map_or_else(|| "-".to_owned(), |s| cell(s))
            };
            let cells = systems.iter().map(of_system);
            grid.row([row].into_iter().chain(cells).collect());
        }
        parts.push(format!("{table}: {title}\n{}", grid.render()));
    }
    parts.join("\n")
}

/// Each once, in the order of first appearance.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn times(s: &Summary) -> String {
    format!(
        "{} ({})",
        number(s.median.median, 2),
        number(s.slowest.median, 2)
    )
}

/// A number; `never` if there is none.
fn number(n: Option<f64>, digits: usize) -> String {
    n.map_or_else(|| "never".to_owned(), |n| format!("{n:.digits$}"))
}

/// The median; `-` if there is none.
fn plain(spread: Spread, digits: usize) -> String {
    match spread.median {
        None => "-".to_owned(),
        median => number(median, digits),
    }
}

/// The median, and the range unless all numbers are the same.
fn ranged(spread: Spread, digits: usize) -> String {
    let Spread {
        median,
        least,
        most,
    } = spread;
    let [of, from, to] = [median, least, most].map(|n| number(n, digits));
    if least == most {
        of
    } else {
        format!("{of} ({from}..{to})")
    }
}
