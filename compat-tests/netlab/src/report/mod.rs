//! What the runs came to, as tables and as JSON.

pub(crate) mod idle;
mod json;
pub(crate) mod loopback;
pub(crate) mod many;
pub(crate) mod mixed;

use crate::engine::Engine;
use crate::lab::Spec;
use crate::run::Run;
use crate::stats::{Summary, median};
use crate::table::{lines, number};

pub(crate) use json::{Setting, document, engines};

/// What the figures are held against.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Length of the file.
    pub(crate) size: u64,
    /// Seconds that it takes to pass a peer's own link: nobody beside the seed can be faster.
    pub(crate) own: f64,
    /// Seconds that it takes to pass a site's link, or a peer's where that is slower.
    pub(crate) remote: f64,
}

impl Bounds {
    /// Those of a file of `size` bytes in such a network.
    pub(crate) fn of(spec: &Spec, size: u64) -> Self {
        let own = spec.access.time(size).as_secs_f64();
        let remote = spec.wan.map_or(own, |wan| {
            wan.uplink.min(spec.access).time(size).as_secs_f64()
        });
        Self { size, own, remote }
    }

    /// The slower of the two.
    pub(crate) fn longest(&self) -> f64 {
        self.own.max(self.remote)
    }
}

/// What a column shows of a run.
type Value = Box<dyn Fn(&Run) -> Option<f64>>;

/// What a column shows of some times, and its title.
type Figure = (&'static str, fn(Summary) -> Option<f64>);

/// One column of a table.
struct Column {
    title: String,
    decimals: usize,
    value: Value,
}

fn column(
    title: impl Into<String>,
    decimals: usize,
    value: impl Fn(&Run) -> Option<f64> + 'static,
) -> Column {
    Column {
        title: title.into(),
        decimals,
        value: Box::new(value),
    }
}

/// The tables: one row a run, and the medians of an engine's runs where there are several.
pub(crate) fn tables(runs: &[Run], spec: &Spec, bounds: &Bounds) -> Vec<String> {
    let mut out = Vec::new();
    for columns in [times(spec, bounds), traffic(spec, bounds), cost(spec)] {
        if !out.is_empty() {
            out.push(String::new());
        }
        out.extend(table(runs, &columns));
    }
    for run in runs {
        for (i, fault) in run.outcomes.iter().enumerate() {
            if let Some(why) = fault.fault {
                out.push(format!(
                    "{} run {}: peer {} (site {}) failed: {why}",
                    run.engine,
                    run.number,
                    i + 1,
                    fault.site
                ));
            }
        }
    }
    out
}

/// Summary of the downloaders of a site, or of all sites but the first (`None`).
pub(crate) fn summary(run: &Run, of: Group) -> Summary {
    let times: Vec<Option<f64>> = run
        .outcomes
        .iter()
        .filter(|o| match of {
            Group::Own => o.site == 0,
            Group::Remote => o.site != 0,
        })
        .map(|o| o.seconds)
        .collect();
    Summary::of(&times)
}

/// Which downloaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Those beside the seed.
    Own,
    /// Those at other sites.
    Remote,
}

/// How often the file's bytes went into a site.
pub(crate) fn copies_into(run: &Run, site: usize, size: u64) -> Option<f64> {
    let wan = run.wan.as_ref()?;
    let bytes: u64 = wan.bytes.iter().filter_map(|row| row.get(site)).sum();
    Some(bytes as f64 / size as f64)
}

/// The same of the payload of TCP alone.
fn payload_into(run: &Run, site: usize, size: u64) -> Option<f64> {
    let wan = run.wan.as_ref()?;
    Some(*wan.payload.get(site)? as f64 / size as f64)
}

/// How many downloaders failed.
pub(crate) fn failures(run: &Run) -> usize {
    run.outcomes.iter().filter(|o| o.fault.is_some()).count()
}

fn times(spec: &Spec, bounds: &Bounds) -> Vec<Column> {
    let mut groups = vec![(Group::Own, bounds.own, "")];
    if spec.wan.is_some() {
        groups = vec![
            (Group::Remote, bounds.remote, "remote "),
            (Group::Own, bounds.own, "own "),
        ];
    }
    let mut out = Vec::new();
    for (group, bound, name) in groups {
        let figures: [Figure; 3] = [
            ("median", |s| s.median),
            ("p90", |s| s.p90),
            ("slowest", |s| s.slowest),
        ];
        for (title, figure) in figures {
            let value = move |run: &Run| figure(summary(run, group));
            out.push(column(format!("{name}{title} s"), 1, value));
        }
        for (title, figure) in figures {
            let value = move |run: &Run| Some(figure(summary(run, group))? / bound);
            out.push(column(format!("{name}{title} x"), 2, value));
        }
    }
    out.push(column("failed", 0, |run| Some(failures(run) as f64)));
    out
}

fn traffic(spec: &Spec, bounds: &Bounds) -> Vec<Column> {
    let size = bounds.size;
    let mut out = vec![
        column("seed copies", 2, move |run| {
            Some(run.seed_up as f64 / size as f64)
        }),
        column("upload/n", 3, move |run| Some(upload(run, size))),
    ];
    if spec.wan.is_some() {
        for site in 0..spec.leechers.len() {
            out.push(column(format!("into site {site}"), 2, move |run| {
                copies_into(run, site, size)
            }));
        }
        let sites = spec.leechers.len();
        out.push(column("across", 2, move |run| {
            (0..sites).map(|site| copies_into(run, site, size)).sum()
        }));
        for site in 0..sites {
            out.push(column(format!("payload {site}"), 3, move |run| {
                payload_into(run, site, size)
            }));
        }
        out.push(column("payload across", 3, move |run| {
            (0..sites).map(|site| payload_into(run, site, size)).sum()
        }));
        out.push(column("dropped", 0, |run| {
            let wan = run.wan.as_ref()?;
            Some(wan.dropped.iter().flatten().sum::<u64>() as f64)
        }));
    }
    out
}

fn cost(spec: &Spec) -> Vec<Column> {
    let mut out = vec![
        column("CPU s", 1, |run| Some(run.cpu)),
        column("seed's", 1, |run| Some(run.seed_cpu)),
        column("others' CPU s", 1, |run| Some(run.other_cpu)),
        column("took s", 1, |run| Some(run.seconds)),
        column("machine busy %", 0, |run| Some(run.busy * 100.0)),
        column("load before", 1, |run| Some(run.load)),
    ];
    if spec.wan.is_some() {
        out.extend([
            column("router CPU %", 0, |run| {
                Some(run.wan.as_ref()?.cpu / run.seconds * 100.0)
            }),
            column("late %", 2, |run| Some(run.wan.as_ref()?.late * 100.0)),
            column("lost", 0, |run| Some(run.wan.as_ref()?.lost as f64)),
        ]);
    }
    out
}

/// All that was sent, for each byte that each downloader needed.
pub(crate) fn upload(run: &Run, size: u64) -> f64 {
    run.all_up as f64 / (size as f64 * run.outcomes.len().max(1) as f64)
}

fn table(runs: &[Run], columns: &[Column]) -> Vec<String> {
    let mut head = vec!["engine".to_owned()];
    head.extend(columns.iter().map(|c| c.title.clone()));
    let mut rows = Vec::new();
    let mut engines: Vec<Engine> = Vec::new();
    for run in runs {
        if !engines.contains(&run.engine) {
            engines.push(run.engine);
        }
    }
    for engine in engines {
        let its: Vec<&Run> = runs.iter().filter(|r| r.engine == engine).collect();
        let row = |name: String, value: &dyn Fn(&Column) -> Option<f64>| {
            let mut row = vec![name];
            row.extend(columns.iter().map(|c| number(value(c), c.decimals)));
            row
        };
        for run in &its {
            rows.push(row(format!("{engine} {}", run.number), &|c| (c.value)(run)));
        }
        if its.len() > 1 {
            rows.push(row(format!("{engine} median"), &|c| {
                let values = its.iter().map(|run| (c.value)(run));
                let mut sorted: Vec<f64> = values.collect::<Option<_>>()?;
                sorted.sort_by(f64::total_cmp);
                median(&sorted)
            }));
        }
    }
    lines(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Wan;
    use crate::run::{Outcome, WanRun};
    use std::time::Duration;

    fn spec(sites: bool) -> Spec {
        let rate = |text: &str| text.parse().expect("a rate");
        Spec {
            leechers: if sites { vec![1, 2] } else { vec![2] },
            access: rate(if sites { "100mbit" } else { "20mbit" }),
            access_queue: Duration::from_millis(100),
            rtt_lan: Duration::from_millis(1),
            wan: sites.then(|| Wan {
                uplink: rate("20mbit"),
                rtt: Duration::from_millis(60),
                queue: Duration::from_millis(150),
            }),
        }
    }

    fn run(number: u32, times: &[(usize, Option<f64>)], wan: bool) -> Run {
        let outcomes = times.iter().map(|(site, seconds)| Outcome {
            engine: Engine::Aria2,
            cpu: 1.0,
            up: 0,
            site: *site,
            seconds: *seconds,
            fault: seconds.is_none().then_some("not by the deadline"),
        });
        Run {
            engine: Engine::Aria2,
            number,
            outcomes: outcomes.collect(),
            seed_up: 3_000_000,
            all_up: 4_000_000,
            wan: wan.then(|| WanRun {
                bytes: vec![vec![0, 2_500_000], vec![500_000, 0]],
                payload: vec![480_000, 2_400_000],
                dropped: vec![vec![0, 3], vec![4, 0]],
                cpu: 1.0,
                late: 0.001,
                latest: 0.002,
                lost: 0,
            }),
            cpu: 12.34,
            seed_cpu: 2.0,
            load: 0.5,
            busy: 0.75,
            other_cpu: 3.0,
            seconds: 20.0,
        }
    }

    #[test]
    fn a_crowd_is_held_against_its_own_links() {
        let bounds = Bounds::of(&spec(false), 2_500_000);
        assert!((bounds.own - 1.0).abs() < 1e-9 && bounds.longest() == bounds.own);
        let runs = [
            run(1, &[(0, Some(2.0)), (0, Some(3.0))], false),
            run(2, &[(0, Some(4.0)), (0, None)], false),
        ];
        let text = tables(&runs, &spec(false), &bounds).join("\n");
        assert!(
            text.contains("| aria2 1      |      2.5 |   3.0 |       3.0 |     2.50 |"),
            "{text}"
        );
        // one of two did not finish: there is no median, and the medians of the runs have none
        assert!(
            text.contains("| aria2 2      |        - |     - |         - |"),
            "{text}"
        );
        assert!(text.contains("aria2 run 2: peer 2 (site 0) failed: not by the deadline"));
        assert!(text.contains("| aria2 median |"));
        assert!(!text.contains("router"));
    }

    #[test]
    fn sites_have_their_own_bounds_and_copies() {
        let bounds = Bounds::of(&spec(true), 2_500_000);
        assert!((bounds.own - 0.2).abs() < 1e-9 && (bounds.remote - 1.0).abs() < 1e-9);
        let run = run(1, &[(0, Some(0.4)), (1, Some(2.0)), (1, Some(4.0))], true);
        assert_eq!(copies_into(&run, 1, 2_500_000), Some(1.0));
        assert_eq!(copies_into(&run, 0, 2_500_000), Some(0.2));
        assert_eq!(summary(&run, Group::Own).median, Some(0.4));
        assert_eq!(summary(&run, Group::Remote).median, Some(3.0));
        let text = tables(&[run], &spec(true), &bounds).join("\n");
        assert!(text.contains("remote median s"), "{text}");
        let row = text
            .lines()
            .find(|l| l.contains("0.533"))
            .unwrap_or_default();
        let cells: Vec<&str> = row
            .split('|')
            .map(str::trim)
            .filter(|c| !c.is_empty())
            .collect();
        let expected = [
            "aria2 1", "1.20", "0.533", "0.20", "1.00", "1.20", "0.192", "0.960", "1.152", "7",
        ];
        assert_eq!(cells, expected, "{text}");
    }
}
