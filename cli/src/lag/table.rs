//! One line for each partition, in text or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::PartitionLag;

use super::rates::Rates;

/// One partition.
#[derive(Clone, Debug)]
pub(super) struct Row {
    topic: String,
    numbers: PartitionLag,
    rates: Option<Rates>,
    age: Option<Duration>,
}

impl Row {
    pub(super) fn new(topic: &str, numbers: PartitionLag, rates: Option<Rates>) -> Self {
        // What does not wait has no age.
        let age = (numbers.lag() == Some(0)).then_some(Duration::ZERO);
        Self { topic: topic.to_owned(), numbers, rates, age }
    }

    pub(super) fn is(&self, topic: &str, partition: i32) -> bool {
        self.topic == topic && i64::from(self.numbers.partition) == i64::from(partition)
    }

    pub(super) fn set_age(&mut self, age: Duration) {
        self.age = Some(age);
    }

    /// Where the first record is that is not finished, if any waits.
    pub(super) fn first_unfinished(&self) -> Option<(String, i32, i64)> {
        let lag = self.numbers.lag()?;
        let start = self.numbers.start?;
        let offset = self.numbers.committed.map_or(start, |committed| committed.max(start));
        (lag > 0).then(|| (self.topic.clone(), self.numbers.partition as i32, offset.0))
    }

    /// How long the group needs for what waits, at its present rate.
    fn drain(&self) -> Option<Duration> {
        match (self.numbers.lag()?, self.rates) {
            (0, _) => Some(Duration::ZERO),
            (lag, Some(rates)) if rates.done > 0.0 => {
                Duration::try_from_secs_f64(lag as f64 / rates.done).ok()
            }
            _ => None,
        }
    }

    pub(super) fn to_json(&self, group: &str) -> Value {
        let seconds = |duration: Option<Duration>| duration.map(|d| d.as_secs_f64());
        json!({
            "group": group,
            "topic": self.topic,
            "partition": self.numbers.partition,
            "committed": self.numbers.committed.map(|offset| offset.0),
            "finished_ahead": self.numbers.finished,
            "start": self.numbers.start.map(|offset| offset.0),
            "end": self.numbers.end.map(|offset| offset.0),
            "lag": self.numbers.lag(),
            "age_s": seconds(self.age),
            "written_per_s": self.rates.map(|rates| rates.written),
            "done_per_s": self.rates.map(|rates| rates.done),
            "drain_s": seconds(self.drain()),
        })
    }
}

const HEAD: [&str; 9] =
    ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "AGE", "IN/S", "OUT/S", "DRAIN"];

/// A table with a line of sums.
pub(super) fn text(group: &str, rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    if rows.len() > 1 {
        lines.push(sums(rows));
    }
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = format!("group {group}\n");
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = match column {
                0 => write!(text, "{cell:<width$}", width = widths[0]),
                _ => write!(text, "  {cell:>width$}", width = widths[column]),
            };
        }
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
    [
        row.topic.clone(),
        row.numbers.partition.to_string(),
        number(row.numbers.committed.map(|offset| offset.0)),
        number(row.numbers.end.map(|offset| offset.0)),
        row.numbers.lag().map_or("-".to_owned(), |lag| lag.to_string()),
        row.age.map_or("-".to_owned(), short),
        rate(row.rates.map(|rates| rates.written)),
        rate(row.rates.map(|rates| rates.done)),
        row.drain().map_or("-".to_owned(), short),
    ]
}

/// The sums, the oldest age, and the drain time of all together.
fn sums(rows: &[Row]) -> [String; 9] {
    let lag: u64 = rows.iter().filter_map(|row| row.numbers.lag()).sum();
    let sum = |of: fn(&Rates) -> f64| rows.iter().filter_map(|r| r.rates.as_ref()).map(of).sum();
    let (written, done): (f64, f64) = (sum(|rates| rates.written), sum(|rates| rates.done));
    let drain = match lag {
        0 => Some(Duration::ZERO),
        _ => Duration::try_from_secs_f64(lag as f64 / done).ok(),
    };
    let age = rows.iter().filter_map(|row| row.age).max();
    let empty = String::new;
    [
        "all".to_owned(),
        empty(),
        empty(),
        empty(),
        lag.to_string(),
        age.map_or("-".to_owned(), short),
        format!("{written:.0}"),
        format!("{done:.0}"),
        drain.map_or("-".to_owned(), short),
    ]
}

/// A duration that fits in a column.
fn short(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..120 => format!("{}s", duration.as_secs()),
        120..7_200 => format!("{}m", duration.as_secs() / 60),
        7_200..172_800 => format!("{}h", duration.as_secs() / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let text = |seconds: f64| short(Duration::from_secs_f64(seconds));
        assert_eq!([text(0.0), text(1.26), text(59.0)], ["0.0s", "1.3s", "59s"]);
        assert_eq!([text(600.0), text(90_000.0), text(900_000.0)], ["10m", "25h", "10d"]);
    }
}
