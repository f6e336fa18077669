//! The text format of Prometheus (version 0.0.4), as far as it is used here.

use std::fmt::{Display, Write};

/// The media type of the format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Kind {
    /// It only grows, but for a restart.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// A metric: its name, what it is, and one line on what it says.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Family {
    pub(in crate::api) name: &'static str,
    pub(in crate::api) kind: Kind,
    pub(in crate::api) help: &'static str,
}

/// A label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// A text that grows. No value of a label comes from outside, so none needs escapes.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a metric; its samples follow.
    pub(super) fn family(&mut self, family: &Family) -> Samples<'_> {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let (name, help) = (family.name, family.help);
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Samples { text: self, name }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Samples of one metric.
pub(super) struct Samples<'a> {
    text: &'a mut Text,
    name: &'static str,
}

impl Samples<'_> {
    /// One without labels.
    pub(super) fn value(&mut self, value: impl Display) {
        self.sample("", &[], value);
    }

    /// One with labels.
    pub(super) fn with(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.sample("", labels, value);
    }

    /// A histogram of `buckets` with these upper ends and one more without, each counted once.
    pub(super) fn histogram(&mut self, ends: &[f64], buckets: &[u64], sum: f64) {
        let mut count = 0;
        let ends = ends.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (end, bucket) in ends.zip(buckets) {
            count += bucket;
            self.sample("_bucket", &[("le", &end)], count);
        }
        self.sample("_sum", &[], sum);
        self.sample("_count", &[], count);
    }

    fn sample(&mut self, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        let text = &mut self.text.0;
        let _ = write!(text, "{}{suffix}", self.name);
        for (n, (label, value)) in labels.iter().enumerate() {
            let open = if n == 0 { '{' } else { ',' };
            let _ = write!(text, "{open}{label}=\"{value}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_the_name_of_their_metric() {
        let family = |name, kind| Family {
            name,
            kind,
            help: "What it is.",
        };
        let mut text = Text::default();
        text.family(&family("a_total", Kind::Counter))
            .with(&[("x", "1"), ("y", "2")], 3);
        text.family(&family("b", Kind::Gauge)).value(0.5);
        let mut c = text.family(&family("c", Kind::Histogram));
        c.histogram(&[0.1, 1.0], &[2, 0, 1], 5.25);
        let expected = "# HELP a_total What it is.\n# TYPE a_total counter\na_total{x=\"1\",y=\"2\"} 3\n\
            # HELP b What it is.\n# TYPE b gauge\nb 0.5\n\
            # HELP c What it is.\n# TYPE c histogram\n\
            c_bucket{le=\"0.1\"} 2\nc_bucket{le=\"1\"} 2\nc_bucket{le=\"+Inf\"} 3\nc_sum 5.25\nc_count 3\n";
        assert_eq!(text.finish(), expected);
    }
}
