//! Figures 5, 6 and 7 of the paper, and the sweep over scale.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plotters::style::RGBColor;

use super::picture::{Axis, Entry, Line, POINTS, Picture, Stroke, draw};
use super::summary::{Setting, Summary, settings, summarize, taken};
use super::table::slots;
use crate::sim::swarm::{RunResult, System};

/// The directory is drawn in Figure 7 if it reaches this share of the axis.
const VISIBLE: f64 = 0.01;

/// Writes Figures 5, 6 and 7 of every setting into `dir`, which is made if it is not there:
/// `figure5-VARIANT-PEERS-peers-SLOTS-slots.svg` and so on. Returns the files in the order of the settings. Topologies are
/// pooled in Figures 5 and 6, and averaged in Figure 7.
///
/// # Errors
/// What the file system says.
pub fn write_figures(results: &[RunResult], dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    let mut files = Vec::new();
    for setting in settings(results) {
        let runs: Vec<&RunResult> = setting.runs.iter().map(|i| &results[*i]).collect();
        let pictures = [
            ("figure5", download_times(&setting, &runs)),
            ("figure6", bytes_served(&setting, &runs)),
            ("figure7", bytes_over_links(&setting, &runs)),
        ];
        for (name, picture) in pictures {
            let slots = setting.slots;
            let name = format!(
                "{name}-{}-{}-peers-{slots}-slots",
                setting.variant, setting.peers
            );
            files.push(write(dir, &name, &picture)?);
        }
    }
    Ok(files)
}

/// Writes how times and the directory's cost grow with the number of peers, two pictures for each variant and number of
/// slots: `scale-times-VARIANT-SLOTS-slots.svg` and `scale-directory-...`. None if there is but one size.
///
/// # Errors
/// What the file system says.
pub fn write_scale(results: &[RunResult], dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    let mut of_setting: Vec<((String, usize), Vec<Summary>)> = Vec::new();
    for s in summarize(results) {
        let key = (s.variant.clone(), s.slots);
        match of_setting.iter_mut().find(|(k, _)| *k == key) {
            Some((_, summaries)) => summaries.push(s),
            None => of_setting.push((key, vec![s])),
        }
    }
    let mut files = Vec::new();
    for ((variant, slots), summaries) in of_setting {
        let mut sizes: Vec<usize> = summaries.iter().map(|s| s.peers).collect();
        sizes.sort_unstable();
        sizes.dedup();
        if sizes.len() < 2 {
            continue;
        }
        let pictures = [
            ("scale-times", times_by_size(&summaries, &sizes)),
            ("scale-directory", directory_by_size(&summaries, &sizes)),
        ];
        for (name, picture) in pictures {
            files.push(write(
                dir,
                &format!("{name}-{variant}-{slots}-slots"),
                &picture,
            )?);
        }
    }
    Ok(files)
}

fn write(dir: &Path, name: &str, picture: &Picture) -> io::Result<PathBuf> {
    // a variant's name must not lead out of the folder
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(safe).collect();
    let path = dir.join(format!("{name}.svg"));
    fs::write(&path, draw(picture)?)?;
    Ok(path)
}

/// Figure 5.
fn download_times(setting: &Setting, runs: &[&RunResult]) -> Picture {
    let mut lines = Vec::new();
    let mut latest = 0.0_f64;
    for (system, runs) in by_system(runs) {
        let mut times = Vec::new();
        let mut all = 0;
        for r in runs {
            let (took, never) = taken(r);
            all += took.len() + never;
            times.extend(took);
        }
        times.sort_by(f64::total_cmp);
        latest = latest.max(times.last().copied().unwrap_or(0.0));
        let done = |i: usize| 100.0 * (i + 1) as f64 / all as f64;
        let first = times.first().map(|t| (*t, 0.0));
        let rest = thinned(times.len()).map(|i| (times[i], done(i)));
        lines.push(line(system, first.into_iter().chain(rest).collect()));
    }
    let bounds: Vec<f64> = runs.iter().map(|r| r.bound_s).collect();
    let bound = bounds.iter().sum::<f64>() / bounds.len().max(1) as f64;
    let mut legend = legend(runs);
    let stroke = Stroke {
        color: RGBColor(120, 120, 120),
        width: 1,
        dashed: true,
    };
    let points = vec![(bound, 0.0), (bound, 100.0)];
    lines.push(Line {
        points,
        stroke,
        dots: false,
    });
    legend.push(Entry {
        label: format!("bound, {bound:.0} s"),
        stroke,
    });
    Picture {
        title: "Download times".into(),
        subtitle: subtitle(setting, runs),
        x: Axis::from_zero("seconds since a downloader's own start", latest.max(bound)),
        y: Axis::from_zero("downloaders that are done, %", 100.0),
        lines,
        legend,
    }
}

/// Figure 6.
fn bytes_served(setting: &Setting, runs: &[&RunResult]) -> Picture {
    let mut lines = Vec::new();
    let mut most = 0.0_f64;
    for (system, runs) in by_system(runs) {
        let mut served: Vec<u64> = runs.iter().flat_map(|r| &r.served).copied().collect();
        served.sort_unstable_by(|a, b| b.cmp(a));
        let last = served.len().saturating_sub(1).max(1) as f64;
        let point = |i: usize| (100.0 * i as f64 / last, served[i] as f64 / 1e6);
        // the few who serve most are what the picture is about
        let head = (0..served.len()).take(20);
        let rest = thinned(served.len()).skip_while(|i| *i < 20);
        let points: Vec<(f64, f64)> = head.chain(rest).map(point).collect();
        most = most.max(points.first().map_or(0.0, |p| p.1));
        lines.push(line(system, points));
    }
    Picture {
        title: "Bytes that each peer served".into(),
        subtitle: subtitle(setting, runs),
        x: Axis::from_zero("peers, from who served most to who served least, %", 100.0),
        y: Axis::from_zero("served, MB", most),
        lines,
        legend: legend(runs),
    }
}

/// Figure 7.
fn bytes_over_links(setting: &Setting, runs: &[&RunResult]) -> Picture {
    let longest = runs.iter().map(|r| r.link_bytes.len()).max().unwrap_or(0);
    let bin = longest.div_ceil(POINTS / 2).max(1);
    let mut lines = Vec::new();
    let mut dashed = Vec::new();
    for (system, runs) in by_system(runs) {
        let links = mean_rate(runs.iter().map(|r| r.link_bytes.as_slice()), bin);
        let directory = mean_rate(runs.iter().map(|r| r.directory_bytes.as_slice()), bin);
        lines.push(line(system, links));
        let mut directory = line(system, directory);
        directory.stroke.dashed = true;
        directory.stroke.width = 1;
        dashed.push(directory);
    }
    let most = |line: &Line| line.points.iter().map(|p| p.1).fold(0.0, f64::max);
    let top = lines.iter().map(most).fold(0.0, f64::max);
    dashed.retain(|line| most(line) >= VISIBLE * top && most(line) > 0.0);
    let mut legend = legend(runs);
    if let Some(line) = dashed.first() {
        legend.push(Entry {
            label: "its directory".into(),
            stroke: Stroke {
                color: RGBColor(90, 90, 90),
                ..line.stroke
            },
        });
    }
    lines.extend(dashed);
    Picture {
        title: "Bytes over all links".into(),
        subtitle: subtitle(setting, runs),
        x: Axis::from_zero("seconds since the first start", longest as f64),
        y: Axis::from_zero("sum over all links, MB/s", top),
        lines,
        legend,
    }
}

fn times_by_size(summaries: &[Summary], sizes: &[usize]) -> Picture {
    let mut picture = by_size(summaries, sizes, "Download times by size of the swarm");
    let mut most = 1.0_f64;
    for (system, rows) in systems(summaries) {
        let median = |s: &&Summary| Some((s.peers as f64, s.median.median?));
        let slowest = |s: &&Summary| Some((s.peers as f64, s.slowest.median?));
        let mut solid = line(system, rows.iter().filter_map(median).collect());
        let mut dashed = line(system, rows.iter().filter_map(slowest).collect());
        solid.dots = true;
        dashed.stroke.dashed = true;
        dashed.stroke.width = 1;
        most = solid
            .points
            .iter()
            .chain(&dashed.points)
            .map(|p| p.1)
            .fold(most, f64::max);
        picture.lines.extend([dashed, solid]);
    }
    let grey = |dashed| Stroke {
        color: RGBColor(90, 90, 90),
        width: if dashed { 1 } else { 2 },
        dashed,
    };
    for (label, dashed) in [("median", false), ("slowest", true)] {
        picture.legend.push(Entry {
            label: label.into(),
            stroke: grey(dashed),
        });
    }
    picture.y = Axis::from_zero("download time / bound", most);
    picture
}

fn directory_by_size(summaries: &[Summary], sizes: &[usize]) -> Picture {
    let mut picture = by_size(
        summaries,
        sizes,
        "Cost of the directory by size of the swarm",
    );
    let mut most = 0.0_f64;
    for (system, rows) in systems(summaries) {
        let cost = |s: &&Summary| Some((s.peers as f64, s.directory_kb.median?));
        let mut line = line(system, rows.iter().filter_map(cost).collect());
        line.dots = true;
        most = line.points.iter().map(|p| p.1).fold(most, f64::max);
        picture.lines.push(line);
    }
    picture.y = Axis::from_zero("directory, kB a peer", most);
    picture
}

/// What both pictures of the sweep share.
fn by_size(summaries: &[Summary], sizes: &[usize], title: &str) -> Picture {
    let about = summaries.first().map_or_else(String::new, |s| {
        format!(
            "{}, {}, {}",
            s.variant,
            slots(s.slots),
            topologies(s.topologies)
        )
    });
    let entry = |(system, _): (System, _)| Entry {
        label: system.name().into(),
        stroke: stroke(system),
    };
    Picture {
        title: title.into(),
        subtitle: about,
        x: Axis::log("peers", sizes),
        y: Axis::from_zero("", 1.0),
        lines: Vec::new(),
        legend: systems(summaries).into_iter().map(entry).collect(),
    }
}

/// Mean over topologies, bytes in each second to MB/s over `bin` seconds; a run that has ended sends nothing.
fn mean_rate<'a>(runs: impl Iterator<Item = &'a [u64]> + Clone, bin: usize) -> Vec<(f64, f64)> {
    let count = runs.clone().count().max(1) as f64;
    let longest = runs.clone().map(<[u64]>::len).max().unwrap_or(0);
    let mut points = vec![(0.0, 0.0)];
    for from in (0..longest).step_by(bin) {
        let to = longest.min(from + bin);
        let sum = |run: &[u64]| {
            run.iter()
                .skip(from)
                .take(bin)
                .map(|b| *b as f64)
                .sum::<f64>()
        };
        let bytes: f64 = runs.clone().map(sum).sum();
        let middle = (from + to) as f64 / 2.0;
        points.push((middle, bytes / (to - from) as f64 / count / 1e6));
    }
    points.push((longest as f64, 0.0));
    points
}

/// Numbers of the points that a line of `len` keeps: all, or [`POINTS`] evenly, the first and the last among them.
fn thinned(len: usize) -> impl Iterator<Item = usize> {
    let kept = len.min(POINTS);
    (0..kept).map(move |i| {
        if kept < 2 {
            i
        } else {
            i * (len - 1) / (kept - 1)
        }
    })
}

fn by_system<'a>(runs: &[&'a RunResult]) -> Vec<(System, Vec<&'a RunResult>)> {
    let of = |system| {
        let runs: Vec<_> = runs
            .iter()
            .filter(|r| r.system == system)
            .copied()
            .collect();
        (system, runs)
    };
    System::ALL
        .into_iter()
        .map(of)
        .filter(|(_, runs)| !runs.is_empty())
        .collect()
}

fn systems(summaries: &[Summary]) -> Vec<(System, Vec<&Summary>)> {
    let of = |system| {
        let mut rows: Vec<_> = summaries.iter().filter(|s| s.system == system).collect();
        rows.sort_by_key(|s| s.peers);
        (system, rows)
    };
    System::ALL
        .into_iter()
        .map(of)
        .filter(|(_, rows)| !rows.is_empty())
        .collect()
}

fn legend(runs: &[&RunResult]) -> Vec<Entry> {
    let entry = |(system, _): (System, _)| Entry {
        label: system.name().into(),
        stroke: stroke(system),
    };
    by_system(runs).into_iter().map(entry).collect()
}

fn line(system: System, points: Vec<(f64, f64)>) -> Line {
    Line {
        points,
        stroke: stroke(system),
        dots: false,
    }
}

/// Colours that the colour-blind tell apart (Okabe and Ito's), the shipped client the strongest.
fn stroke(system: System) -> Stroke {
    let (r, g, b) = match system {
        System::Random => (153, 153, 153),
        System::ConstrainedLocality => (230, 159, 0),
        System::BitTorrent => (204, 121, 167),
        System::ChunkCastOverlap => (86, 180, 233),
        System::ChunkCastCloseness => (0, 158, 115),
        System::ChunkCastHybrid => (0, 114, 178),
        System::ChunkCastExtended => (213, 94, 0),
        System::Oracle => (0, 0, 0),
    };
    Stroke {
        color: RGBColor(r, g, b),
        width: if system == System::ChunkCastExtended {
            3
        } else {
            2
        },
        dashed: false,
    }
}

fn subtitle(setting: &Setting, runs: &[&RunResult]) -> String {
    let mut seeds: Vec<u64> = runs.iter().map(|r| r.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let (variant, peers) = (&setting.variant, setting.peers);
    format!(
        "{variant}, {peers} peers, {}, {}",
        slots(setting.slots),
        topologies(seeds.len())
    )
}

fn topologies(n: usize) -> String {
    match n {
        1 => "1 topology".into(),
        n => format!("{n} topologies"),
    }
}
