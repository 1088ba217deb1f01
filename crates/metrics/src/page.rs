//! The text format (`text/plain; version=0.0.4`) that Prometheus and what is compatible with it read.

use std::fmt::{Display, Write as _};

use crate::Histogram;

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows; its name ends with `_total`.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A page of samples. Each family is written once, and whole, before the next begins.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    /// Labels of all samples that are written now, rendered.
    common: String,
}

/// Labels that every sample of a part of a page has; from [`Page::with_labels`].
#[derive(Debug)]
pub struct PageLabels(String);

/// Samples of one name.
#[derive(Debug)]
pub struct Family<'p> {
    page: &'p mut Page,
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// Whether its head is written: a family without samples has none.
    begun: bool,
}

impl Page {
    /// The media type of the text.
    pub const MEDIA_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every sample has these labels, and no others that were set so. Returns those that it had.
    pub fn with_labels<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> PageLabels {
        let mut common = String::new();
        labels.into_iter().for_each(|(name, value)| label(&mut common, name, value));
        PageLabels(std::mem::replace(&mut self.common, common))
    }

    /// Goes back to labels that it had.
    pub fn restore_labels(&mut self, labels: PageLabels) {
        self.common = labels.0;
    }

    /// Begins a family. A counter's name ends with `_total`.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "the name of {name}");
        Family { page: self, name, kind, help, begun: false }
    }

    /// A family with one sample and no labels of its own.
    pub fn one(&mut self, name: &'static str, kind: Kind, help: &'static str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Writes one sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        debug_assert_ne!(self.kind, Kind::Histogram, "{} has histograms", self.name);
        self.line("", labels, None, value);
    }

    /// Writes one histogram: its buckets, its count, its sum.
    pub fn histogram<const N: usize>(&mut self, labels: &[(&str, &str)], histogram: &Histogram<N>) {
        let (each, all) = histogram.cumulative();
        for (bound, count) in each {
            self.line("_bucket", labels, Some(&format!("{bound:?}")), count);
        }
        self.line("_bucket", labels, Some("+Inf"), all);
        self.line("_count", labels, None, all);
        self.line("_sum", labels, None, histogram.sum());
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: impl Display,
    ) {
        let Page { text, common } = &mut *self.page;
        if !self.begun {
            self.begun = true;
            let (name, kind) = (self.name, self.kind.name());
            // A text that was pushed to never fails.
            let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n", self.help);
        }
        text.push_str(self.name);
        text.push_str(suffix);
        let start = text.len();
        text.push_str(common);
        labels.iter().for_each(|(name, value)| label(text, name, value));
        if let Some(bound) = bound {
            label(text, "le", bound);
        }
        if text.len() > start {
            text.replace_range(start..=start, "{");
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

/// Appends `,name="value"`; the first comma of a list becomes its brace.
fn label(text: &mut String, name: &str, value: &str) {
    text.push(',');
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bounds;

    static BOUNDS: Bounds<2> = Bounds { upper: [1000, 9000], scale: 0.001 };

    /// Shows the whole text: heads once and only where there are samples, labels of the page first, hostile values
    /// escaped, buckets that add up.
    #[test]
    fn text() {
        let mut page = Page::new();
        page.one("up", Kind::Gauge, "It is up.", 1);
        let before = page.with_labels([("cluster", "a\"b\\c\nd")]);
        let mut family = page.family("sent_total", Kind::Counter, "Sent.");
        family.sample(&[("topic", "T")], 5);
        family.sample(&[("topic", "U")], 0.5);
        page.family("nothing", Kind::Gauge, "Never seen.");
        let histogram = Histogram::new(&BOUNDS);
        histogram.record(9000);
        histogram.record(9001);
        page.family("took_ms", Kind::Histogram, "Took.").histogram(&[], &histogram);
        page.restore_labels(before);
        page.one("down", Kind::Gauge, "It is down.", 0);
        let want = r#"# HELP up It is up.
# TYPE up gauge
up 1
# HELP sent_total Sent.
# TYPE sent_total counter
sent_total{cluster="a\"b\\c\nd",topic="T"} 5
sent_total{cluster="a\"b\\c\nd",topic="U"} 0.5
# HELP took_ms Took.
# TYPE took_ms histogram
took_ms_bucket{cluster="a\"b\\c\nd",le="1.0"} 0
took_ms_bucket{cluster="a\"b\\c\nd",le="9.0"} 1
took_ms_bucket{cluster="a\"b\\c\nd",le="+Inf"} 2
took_ms_count{cluster="a\"b\\c\nd"} 2
took_ms_sum{cluster="a\"b\\c\nd"} 18.001
# HELP down It is down.
# TYPE down gauge
down 0
"#;
        assert_eq!(page.into_text(), want);
    }
}
