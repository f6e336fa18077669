//! From finished runs to what a reader sees: medians with spreads, tables, CSV, JSON and pictures.
//!
//! - [`execute`]: runs plans on several threads, results in the order of the plans.
//! - [`RunFigures`], [`Summary`]: the figures of one run, and their medians and spreads over topologies.
//! - [`tables`], [`compare_variants`], [`compare_sizes`], [`site_links`], [`overlay_table`]: for the terminal.
//! - [`csv`], [`everything`]: for other programs.
//! - [`write_figures`], [`write_scale`]: the paper's Figures 5 to 7 and the sweep over scale, as SVG.
//!
//! Everything here is a pure function of the results: the same runs give the same bytes.

mod execute;
mod export;
mod grid;
mod overlay;
mod picture;
mod plot;
#[cfg(test)]
mod snapshot;
mod summary;
mod table;
#[cfg(test)]
mod tests;

pub use execute::execute;
pub use export::{Everything, csv, everything};
pub use overlay::{overlay_csv, overlay_table};
pub use plot::{write_figures, write_scale};
pub use summary::{RunFigures, Spread, Summary, Times, figures, summarize};
pub use table::{compare_sizes, compare_variants, progress, site_links, tables};
