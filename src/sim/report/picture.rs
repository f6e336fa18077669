//! Line charts as SVG. The viewer lays the text out, so the bytes depend on the data alone.

use std::io;
use std::ops::{Mul, Range};

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::drawing::DrawingArea;
use plotters::prelude::{
    Circle, DashedLineSeries, IntoDrawingArea, IntoFont, LineSeries, PathElement, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, ShapeStyle, TextStyle, WHITE};

/// Width and height of a picture in pixels, and the parts of its legend and title.
const SIZE: (u32, u32) = (960, 540);
const LEGEND: u32 = 200;
const TOP: u32 = 62;
/// Units of the drawing in a pixel: the backend rounds to whole units, and whole pixels would show as steps.
const FINE: u8 = 8;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const MESH: RGBColor = RGBColor(226, 226, 226);

/// Most points that a line keeps; the eye sees no more on this width.
pub(super) const POINTS: usize = 400;

/// A picture.
pub(super) struct Picture {
    pub(super) title: String,
    /// A second, smaller line.
    pub(super) subtitle: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Later ones lie on top.
    pub(super) lines: Vec<Line>,
    /// The key, from the top down.
    pub(super) legend: Vec<Entry>,
}

/// One axis. `from` and `to` are logarithms if it is logarithmic.
#[derive(Clone)]
pub(super) struct Axis {
    title: String,
    from: f64,
    to: f64,
    /// Values that are labelled.
    ticks: Vec<(f64, String)>,
    log: bool,
}

/// One line.
pub(super) struct Line {
    pub(super) points: Vec<(f64, f64)>,
    pub(super) stroke: Stroke,
    /// Mark the points.
    pub(super) dots: bool,
}

/// How a line looks.
#[derive(Clone, Copy)]
pub(super) struct Stroke {
    pub(super) color: RGBColor,
    pub(super) width: u32,
    pub(super) dashed: bool,
}

/// One line of the key.
pub(super) struct Entry {
    pub(super) label: String,
    pub(super) stroke: Stroke,
}

impl Axis {
    /// From 0 to a round number that is no less than `most`.
    pub(super) fn from_zero(title: &str, most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 {
            most
        } else {
            1.0
        };
        let (step, digits) = step(most);
        let count = (0..=20_u32).find(|n| f64::from(*n) * step >= most * 0.999_999);
        let count = count.unwrap_or(20);
        let tick = |n| {
            let at = f64::from(n) * step;
            (at, format!("{at:.digits$}"))
        };
        Self {
            title: title.to_owned(),
            from: 0.0,
            to: f64::from(count) * step,
            ticks: (0..=count).map(tick).collect(),
            log: false,
        }
    }

    /// Logarithmic, around the values, which are labelled; they are positive.
    pub(super) fn log(title: &str, values: &[usize]) -> Self {
        let positive = |v: usize| v.max(1) as f64;
        let least = values.iter().copied().min().map_or(1.0, positive);
        let most = values.iter().copied().max().map_or(1.0, positive);
        Self {
            title: title.to_owned(),
            from: (least / 1.4).log10(),
            to: (most * 1.4).log10(),
            ticks: values
                .iter()
                .map(|v| (positive(*v), v.to_string()))
                .collect(),
            log: true,
        }
    }

    fn place(&self, value: f64) -> f64 {
        if self.log {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[allow(
        clippy::cast_possible_truncation,
        reason = "rounded; the cast saturates, and what is not a number becomes 0"
    )]
    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let share = (self.place(*value) - self.from) / (self.to - self.from);
        let offset = (share * f64::from(high - low)).round() as i32;
        low.saturating_add(offset)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| at == value);
        tick.map_or_else(String::new, |(_, label)| label.clone())
    }
}

/// A picture as an SVG document.
///
/// # Errors
/// If the backend fails; nothing in a picture makes it.
pub(super) fn draw(picture: &Picture) -> io::Result<String> {
    let mut svg = String::new();
    {
        let size = (fine(SIZE.0), fine(SIZE.1));
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        paint(&root, picture).map_err(|e| io::Error::other(e.to_string()))?;
        root.present()
            .map_err(|e| io::Error::other(e.to_string()))?;
    }
    let size = |(w, h): (u32, u32)| format!("width=\"{w}\" height=\"{h}\"");
    let shown = size((fine(SIZE.0), fine(SIZE.1)));
    // the first is the document's own; its viewBox stays
    Ok(svg.replacen(&shown, &size(SIZE), 1))
}

/// Pixels in units of the drawing.
fn fine<T: Mul<Output = T> + From<u8>>(pixels: T) -> T {
    pixels * T::from(FINE)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn paint(root: &Area<'_>, picture: &Picture) -> Result<(), Box<dyn std::error::Error>> {
    root.fill(&WHITE)?;
    let title = text(20.0).color(&INK);
    let title = TextStyle {
        font: title.font.style(FontStyle::Bold),
        ..title
    };
    root.draw(&Text::new(
        picture.title.clone(),
        (fine(24), fine(14)),
        title,
    ))?;
    root.draw(&Text::new(
        picture.subtitle.clone(),
        (fine(24), fine(40)),
        text(16.0).color(&INK.mix(0.75)),
    ))?;
    let (_, below) = root.split_vertically(fine(TOP));
    let (chart, legend) = below.split_horizontally(fine(SIZE.0 - LEGEND));
    lines(&chart, picture)?;
    let style = text(16.0)
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Center));
    for (entry, y) in picture.legend.iter().zip((22..).step_by(24).map(fine)) {
        let sample = vec![(fine(6), y), (fine(36), y)];
        let shape = stroke(entry.stroke.color, entry.stroke.width);
        if entry.stroke.dashed {
            for from in [6, 18, 30] {
                legend.draw(&PathElement::new(
                    vec![(fine(from), y), (fine(from + 7), y)],
                    shape,
                ))?;
            }
        } else {
            legend.draw(&PathElement::new(sample, shape))?;
        }
        legend.draw(&Text::new(
            entry.label.clone(),
            (fine(44), y),
            style.clone(),
        ))?;
    }
    Ok(())
}

fn lines(area: &Area<'_>, picture: &Picture) -> Result<(), Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(fine(8))
        .margin_right(fine(16))
        .margin_bottom(fine(10))
        .margin_left(fine(8))
        .x_label_area_size(fine(52))
        .y_label_area_size(fine(72))
        .build_cartesian_2d(picture.x.clone(), picture.y.clone())?;
    chart
        .configure_mesh()
        .set_all_tick_mark_size(fine(5))
        .bold_line_style(stroke(MESH, 1))
        .axis_style(stroke(INK, 1))
        .label_style(text(15.0).color(&INK))
        .axis_desc_style(text(16.0).color(&INK))
        .x_desc(&picture.x.title)
        .y_desc(&picture.y.title)
        .draw()?;
    for line in &picture.lines {
        let shape = stroke(line.stroke.color, line.stroke.width);
        let points = line.points.iter().copied();
        if line.dots {
            let dot = |p: (f64, f64)| Circle::new(p, fine(4), shape.filled());
            chart.draw_series(points.clone().map(dot))?;
        }
        if line.stroke.dashed {
            chart.draw_series(DashedLineSeries::new(points, fine(7), fine(5), shape))?;
        } else {
            chart.draw_series(LineSeries::new(points, shape))?;
        }
    }
    Ok(())
}

fn stroke(color: RGBColor, width: u32) -> ShapeStyle {
    ShapeStyle::from(color).stroke_width(fine(width))
}

fn text(size: f64) -> TextStyle<'static> {
    (FONT, fine(size)).into_font().into()
}

/// Distance of ticks, 1, 2 or 5 x 10^n so that at most eight cover `most`, and the digits that a label needs.
fn step(most: f64) -> (f64, usize) {
    for exponent in -9_i32..=18 {
        for mantissa in [1, 2, 5] {
            let step: f64 = format!("{mantissa}e{exponent}").parse().unwrap_or(1.0);
            if most <= 8.0 * step {
                let digits = usize::try_from(-exponent).unwrap_or(0);
                return (step, digits);
            }
        }
    }
    (most / 5.0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_tick_that_covers_the_data() {
        for (most, end, label) in [
            (7.3, 8.0, "8"),
            (0.42, 0.5, "0.5"),
            (0.39, 0.4, "0.40"),
            (210.0, 250.0, "250"),
            (1.0, 1.0, "1.0"),
            (0.0, 1.0, "1.0"),
            (f64::NAN, 1.0, "1.0"),
        ] {
            let axis = Axis::from_zero("", most);
            assert!((axis.to - end).abs() < 1e-9, "{most} {}", axis.to);
            assert_eq!(axis.ticks.last().unwrap().1, label, "{most}");
            assert!(axis.ticks.len() <= 9);
        }
    }

    #[test]
    fn a_logarithmic_axis_is_labelled_at_its_values() {
        let axis = Axis::log("", &[180, 1_000, 5_000]);
        assert_eq!(axis.format_ext(&1_000.0), "1000");
        let places = [180.0, 1_000.0, 5_000.0].map(|v| axis.map(&v, (0, 1_000)));
        assert!(places.is_sorted() && places[0] > 0 && places[2] < 1_000);
    }
}
