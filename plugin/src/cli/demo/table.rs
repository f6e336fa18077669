//! The demo's result as a table: time, who served whom, copies that the seed sent, what the directory cost.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::output::{human, print_line};
use super::{Report, sent};

/// Prints the table; `reports[0]` is the seed, `equal[i]` tells whether downloader i + 1 has an equal copy.
pub(super) fn print(reports: &[Report], equal: &[bool], size: u64, took: Duration) {
    let names: BTreeMap<SocketAddr, String> = reports
        .iter()
        .filter_map(|r| Some((r.listen?, r.name.clone())))
        .collect();
    let rows: Vec<BTreeMap<String, u64>> = reports.iter().map(|r| sent(r, &names)).collect();

    print_line("");
    print_line("who served whom, MiB (row: from, column: to)");
    let mut head = format!("{:>10}", "");
    for r in reports.iter().skip(1) {
        head.push_str(&format!("{:>8}", short(&r.name)));
    }
    print_line(&format!("{head}{:>10}", "sum"));
    for (report, row) in reports.iter().zip(&rows) {
        let mut line = format!("{:>10}", report.name);
        for to in reports.iter().skip(1) {
            let bytes = row.get(&to.name).copied().unwrap_or(0);
            line.push_str(&format!(
                "{:>8}",
                if bytes == 0 { "-".into() } else { mib(bytes) }
            ));
        }
        print_line(&format!("{line}{:>10}", mib(row.values().sum())));
    }

    print_line("");
    print_line(&format!(
        "{:>10}{:>10}{:>8}{:>12}{:>14}{:>16}",
        "", "seconds", "equal", "found by", "dir messages", "dir bytes"
    ));
    for (i, report) in reports.iter().enumerate() {
        let seconds = report
            .complete_after
            .map_or_else(|| "-".into(), |d| format!("{:.1}", d.as_secs_f64()));
        let copy = match i.checked_sub(1).map(|p| equal[p]) {
            None => "source",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        let d = &report.directory;
        let sum = |a: &str, b: &str| d[a].as_u64().unwrap_or(0) + d[b].as_u64().unwrap_or(0);
        print_line(&format!(
            "{:>10}{seconds:>10}{copy:>8}{:>12}{:>14}{:>16}",
            report.name,
            found_by(report),
            sum("messages_out", "messages_in"),
            human(sum("bytes_out", "bytes_in")),
        ));
    }

    let seed: u64 = rows.first().map(|r| r.values().sum()).unwrap_or(0);
    print_line("");
    print_line(&format!(
        "{} downloaders, {} each, all complete after {:.1} s; the seed sent {} copies",
        equal.len(),
        human(size),
        took.as_secs_f64(),
        hundredths(seed, size)
    ));
    let good = equal.iter().filter(|e| **e).count();
    print_line(&format!(
        "{good} of {} copies are equal to the source",
        equal.len()
    ));
}

/// Where the process learnt of its peers: only `directory` and the other side of such a connection, `incoming`.
fn found_by(report: &Report) -> String {
    let mut sources: Vec<&str> = report
        .peers
        .iter()
        .filter_map(|p| p["source"].as_str())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    sources
        .iter()
        .map(|s| s.get(..3).unwrap_or(s))
        .collect::<Vec<_>>()
        .join("+")
}

fn short(name: &str) -> String {
    name.replace("peer ", "p")
}

fn mib(bytes: u64) -> String {
    hundredths(bytes, 1 << 20)
}

/// `part / whole` with two decimals, in integers.
fn hundredths(part: u64, whole: u64) -> String {
    let h = (u128::from(part) * 100 + u128::from(whole) / 2) / u128::from(whole.max(1));
    format!("{}.{:02}", h / 100, h % 100)
}
