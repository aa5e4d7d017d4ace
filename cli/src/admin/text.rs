//! The text format that Prometheus reads (version 0.0.4).

use std::fmt::Write as _;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, from the start of the process on.
    Counter,
    /// Counts observations by their size.
    Histogram,
}

/// A metric: its name with its unit, and what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

impl Metric {
    pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help }
    }

    pub(crate) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help }
    }

    pub(crate) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, help }
    }
}

impl Kind {
    /// As the format and the reference name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// Name and value of a label.
pub(crate) type Label<'a> = (&'a str, &'a str);

/// What is answered.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// Begins a metric; its samples follow.
    pub(crate) fn metric(&mut self, metric: &Metric) {
        let Metric { name, kind, help } = metric;
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}");
        let _ = writeln!(self.0, "# TYPE {name} {}", kind.name());
    }

    /// A sample of the metric that was begun; of a histogram with the end of its name.
    pub(crate) fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push_str(if index == 0 { "{" } else { "," });
            let _ = write!(self.0, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        let _ = match value {
            f64::INFINITY => writeln!(self.0, "+Inf"),
            f64::NEG_INFINITY => writeln!(self.0, "-Inf"),
            value => writeln!(self.0, "{value}"),
        };
    }

    /// A metric with one sample.
    pub(crate) fn one(&mut self, metric: &Metric, labels: &[Label<'_>], value: f64) {
        self.metric(metric);
        self.sample(metric.name, labels, value);
    }

    /// All of it.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_numbers_are_plain() {
        let mut text = Text::default();
        let metric = Metric::gauge("a_seconds", "It is.");
        text.one(&metric, &[("group", "a\"b\\c\nd"), ("topic", "t")], 0.5);
        text.one(&metric, &[], 12.0);
        text.sample("a_seconds", &[("topic", "é")], f64::INFINITY);
        let head = "# HELP a_seconds It is.\n# TYPE a_seconds gauge\n";
        assert_eq!(
            text.into_string(),
            format!(
                "{head}a_seconds{{group=\"a\\\"b\\\\c\\nd\",topic=\"t\"}} 0.5\n{head}a_seconds 12\n\
                 a_seconds{{topic=\"é\"}} +Inf\n"
            )
        );
    }
}
