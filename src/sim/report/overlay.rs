//! Several measurements of the overlay beside each other.

use super::export::line;
use super::grid::Grid;
use crate::sim::BANDS;
use crate::sim::overlay::Report;

/// One row a report: hops, stretch, right roots, upkeep, and local convergence by distance band.
pub fn overlay_table(reports: &[Report]) -> String {
    let bands = BANDS.map(|(name, _)| format!("meet before|the root|{name}"));
    let heads = [
        "median|session",
        "members",
        "left",
        "hops|mean",
        "hops|max",
        "stretch|of means",
        "stretch|median",
        "right root|at once",
        "no|answer",
        "upkeep|B/s a node",
    ];
    let mut grid = Grid::new(heads.into_iter().chain(bands.iter().map(String::as_str)));
    for r in reports {
        let session = r.churn_s.map(|s| format!("{} min", s / 60.0));
        let mut cells = vec![
            session.unwrap_or_else(|| "no churn".to_owned()),
            r.members.to_string(),
            r.deaths.to_string(),
            format!("{:.2}", r.hops_mean),
            r.hops_max.to_string(),
            format!("{:.2}", r.stretch),
            format!("{:.2}", r.stretch_median),
            format!("{:.3} %", r.right_percent),
            r.unanswered.to_string(),
            format!("{:.0}", r.upkeep_rate),
        ];
        let band = |b: &crate::sim::Band| format!("{:.1} %", b.percent());
        cells.extend(r.convergence.bands.iter().map(band));
        grid.row(cells);
    }
    grid.render()
}

/// The same numbers and the runs' digests, one line a report; `churn_s` is empty without churn. See
/// [`csv`](super::csv) for the format.
pub fn overlay_csv(reports: &[Report]) -> String {
    let heads = [
        "nodes",
        "seed",
        "churn_s",
        "members",
        "deaths",
        "hops_mean",
        "hops_max",
        "stretch",
        "stretch_median",
        "lookups",
        "right_percent",
        "unanswered",
        "upkeep_rate",
        "upkeep_payload_rate",
        "coordinate_error",
        "meet_under_5_ms_percent",
        "meet_5_to_20_ms_percent",
        "meet_20_to_80_ms_percent",
        "meet_over_80_ms_percent",
        "digest",
    ];
    let mut out = line(&heads.map(str::to_owned));
    for r in reports {
        let mut fields = vec![
            r.nodes.to_string(),
            r.seed.to_string(),
            r.churn_s.map_or_else(String::new, |s| s.to_string()),
            r.members.to_string(),
            r.deaths.to_string(),
            r.hops_mean.to_string(),
            r.hops_max.to_string(),
            r.stretch.to_string(),
            r.stretch_median.to_string(),
            r.lookups.to_string(),
            r.right_percent.to_string(),
            r.unanswered.to_string(),
            r.upkeep_rate.to_string(),
            r.upkeep_payload_rate.to_string(),
            r.coordinate_error.to_string(),
        ];
        fields.extend(r.convergence.bands.iter().map(|b| b.percent().to_string()));
        fields.push(r.digest.clone());
        out += &line(&fields);
    }
    out
}
