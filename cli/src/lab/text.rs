//! The results on a terminal: where the records are over time, a table, and a verdict each.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use tidegate_sim::lab::{Played, Point, Scenario};

use super::verdict::{bytes, seconds};
use crate::report::grouped;

/// Rows of a picture.
const ROWS: usize = 6;
/// Columns in front of a picture: the numbers of its axis.
const MARGIN: usize = 9;

/// The places of a record: what it is drawn with, so that it can be told without colours, and how
/// many there are.
struct Place {
    name: &'static str,
    glyph: char,
    colour: AnsiColor,
    of: fn(&Point) -> u64,
}

/// From the bottom of the picture to its top.
const PLACES: [Place; 4] = [
    Place { name: "in flight", glyph: '█', colour: AnsiColor::Red, of: |p| p.in_flight },
    Place { name: "queued", glyph: '▓', colour: AnsiColor::Yellow, of: |p| p.queued },
    Place { name: "Kafka", glyph: '▒', colour: AnsiColor::Cyan, of: |p| p.kafka },
    Place { name: "channel", glyph: '░', colour: AnsiColor::Magenta, of: |p| p.channel },
];

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Columns.
    pub(super) width: usize,
    /// Whether there are colours.
    pub(super) colour: bool,
}

impl Look {
    fn paint(self, text: &str, style: Style) -> String {
        match self.colour {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }
}

/// All of it.
pub(super) fn text(
    scenario: &Scenario,
    played: &[Played],
    verdicts: &[String],
    look: Look,
) -> String {
    let mut text = head(scenario, look);
    let most = played.iter().map(|played| played.peak.total).max().unwrap_or(0).max(1);
    for played in played {
        picture(&mut text, scenario, played, most, look);
    }
    axis(&mut text, scenario, look);
    text.push('\n');
    table(&mut text, played, look);
    text.push('\n');
    for (played, verdict) in played.iter().zip(verdicts) {
        let name = played.strategy.to_string();
        let line = wrapped(&format!("{name}: {verdict}."), look.width, 2);
        text.push_str(&line.replacen(&name, &look.bold(&name), 1));
    }
    text
}

fn head(scenario: &Scenario, look: Look) -> String {
    let about = scenario.about.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = wrapped(&format!("{}: {about}", scenario.name), look.width, 0);
    let mut text = line.replacen(&scenario.name, &look.bold(&scenario.name), 1);
    text.push_str("\nRecords:  ");
    for place in PLACES.iter().rev() {
        let key = look.paint(&format!("{0}{0}", place.glyph), place.colour.on_default());
        let _ = write!(text, "{key} {}  ", place.name);
    }
    text.push_str(" x killed, ^ event\n");
    text
}

/// How a run that goes on is now.
pub(super) fn frame(scenario: &Scenario, played: &Played, news: &str, look: Look) -> String {
    let mut text = String::from("Records:  ");
    for place in PLACES.iter().rev() {
        let key = look.paint(&format!("{0}{0}", place.glyph), place.colour.on_default());
        let _ = write!(text, "{key} {}  ", place.name);
    }
    text.push('\n');
    picture(&mut text, scenario, played, played.peak.total.max(1), look);
    axis(&mut text, scenario, look);
    let now = played.series.last().copied().unwrap_or_default();
    let told =
        played.feedback_s.map_or("not yet".to_owned(), |at| format!("after {}", seconds(at)));
    let _ = writeln!(
        text,
        "\n{} records: channel {}, Kafka {}, queued {}, in flight {}\n\
         {}/s done, age p99 {}, producer told {told}\n{news}",
        look.bold(&grouped(now.total())),
        grouped(now.channel),
        grouped(now.kafka),
        grouped(now.queued),
        grouped(now.in_flight),
        grouped(now.finished_per_s.round() as u64),
        now.age_p99_s.map_or("-".to_owned(), seconds),
    );
    text
}

fn columns(look: Look) -> usize {
    look.width.saturating_sub(MARGIN + 1).max(20)
}

fn picture(text: &mut String, scenario: &Scenario, played: &Played, most: u64, look: Look) {
    let columns = columns(look);
    let points = &played.series;
    let end = scenario.duration.as_secs_f64();
    let column_of = |at: f64| ((at / end * columns as f64) as usize).min(columns - 1);
    let mut highest: Vec<Option<&Point>> = vec![None; columns];
    for point in points {
        let place = &mut highest[column_of(point.at_s)];
        if place.is_none_or(|before| before.total() < point.total()) {
            *place = Some(point);
        }
    }
    // Where there are fewer points than columns, the one before goes on.
    let last = points.last().map_or(0, |point| column_of(point.at_s));
    for column in 1..=last {
        highest[column] = highest[column].or(highest[column - 1]);
    }
    let peak =
        format!("at most {} records, {}", grouped(played.peak.total), bytes(played.peak.bytes));
    let name = played.strategy.to_string();
    let gap = look.width.saturating_sub(name.chars().count() + peak.chars().count() + 1).max(2);
    let _ = writeln!(text, "\n{}{}{peak}", look.bold(&name), " ".repeat(gap));
    let unit = most as f64 / ROWS as f64;
    for row in (0..ROWS).rev() {
        let label = match row + 1 {
            ROWS => grouped(most),
            row if row * 2 == ROWS => grouped(most / 2),
            _ => String::new(),
        };
        let _ = write!(text, "{label:>width$} ┤", width = MARGIN - 2);
        let cells = highest.iter().map(|point| point.and_then(|p| cell(p, row, unit)));
        text.push_str(&run(cells, look));
        text.push('\n');
    }
    let mut base: Vec<char> = vec!['─'; columns];
    for event in &scenario.events {
        base[column_of(event.at.as_secs_f64())] = '^';
    }
    for kill in &played.kills_s {
        if *kill <= end {
            base[column_of(*kill)] = 'x';
        }
    }
    let base: String = base.into_iter().collect();
    let _ = writeln!(text, "{:>width$} ┴{base}", 0, width = MARGIN - 2);
}

/// What is drawn at a height: the place whose records are there, if any are.
fn cell(point: &Point, row: usize, unit: f64) -> Option<(char, AnsiColor)> {
    let middle = (row as f64 + 0.5) * unit;
    let mut below = 0.0;
    for place in &PLACES {
        below += (place.of)(point) as f64;
        if below >= middle {
            return Some((place.glyph, place.colour));
        }
    }
    // Little is not nothing.
    let largest = PLACES.iter().max_by_key(|place| (place.of)(point))?;
    (row == 0 && point.total() > 0).then_some(('▁', largest.colour))
}

/// Cells, coloured in runs.
fn run(cells: impl Iterator<Item = Option<(char, AnsiColor)>>, look: Look) -> String {
    let mut text = String::new();
    let mut current: (Option<AnsiColor>, String) = (None, String::new());
    let flush = |(colour, cells): &(Option<AnsiColor>, String), text: &mut String| match colour {
        Some(colour) => text.push_str(&look.paint(cells, colour.on_default())),
        None => text.push_str(cells),
    };
    for cell in cells {
        let (glyph, colour) = cell.map_or((' ', None), |(glyph, colour)| (glyph, Some(colour)));
        if colour != current.0 {
            flush(&current, &mut text);
            current = (colour, String::new());
        }
        current.1.push(glyph);
    }
    flush(&current, &mut text);
    text
}

/// The time below the last picture.
fn axis(text: &mut String, scenario: &Scenario, look: Look) {
    let columns = columns(look);
    let end = scenario.duration.as_secs_f64();
    let mut line = vec![' '; MARGIN + columns + 1];
    for quarter in 0..=4 {
        let label = format!("{} s", (end * f64::from(quarter) / 4.0 * 10.0).round() / 10.0);
        let place = MARGIN + columns * quarter as usize / 4;
        let start = place.saturating_sub(if quarter == 4 { label.len() } else { label.len() / 2 });
        for (index, letter) in label.chars().enumerate() {
            line[start + index] = letter;
        }
    }
    let line: String = line.into_iter().collect();
    let _ = writeln!(text, "{}", line.trim_end());
}

/// What a cell says.
type Cell = fn(&Played) -> String;

/// What a table shows, under short names and in full.
pub(super) const COLUMNS: [(&str, &str, Cell); 9] = [
    ("done/s", "done, records/s", |p| grouped(p.throughput_per_s.round() as u64)),
    ("at most", "at most, records", |p| grouped(p.peak.total)),
    ("memory", "memory at most", |p| bytes(p.peak.bytes)),
    ("told", "producer told after", |p| p.feedback_s.map_or("-".to_owned(), seconds)),
    ("p50", "age p50", |p| p.age_p50_s.map_or("-".to_owned(), seconds)),
    ("p99", "age p99", |p| p.age_p99_s.map_or("-".to_owned(), seconds)),
    ("killed", "killed", |p| p.oom_kills.to_string()),
    ("lost", "lost, records", |p| grouped(p.lost)),
    ("again", "handled again, records", |p| grouped(p.repeated)),
];

/// What a page has room for besides.
pub(super) const MORE: [(&str, Cell); 4] = [
    ("refused, records", |p| grouped(p.refused)),
    ("out of their key's order", |p| grouped(p.reordered)),
    ("dead letters", |p| grouped(p.dead_letters)),
    ("drained after", |p| p.drain_s.map_or("-".to_owned(), seconds)),
];

fn table(text: &mut String, played: &[Played], look: Look) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let titles = COLUMNS.iter().map(|(title, ..)| (*title).to_owned());
    rows.push(std::iter::once(String::new()).chain(titles).collect());
    for played in played {
        let cells = COLUMNS.iter().map(|(_, _, cell)| cell(played));
        rows.push(std::iter::once(played.strategy.to_string()).chain(cells).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..=COLUMNS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let gap = match widths.iter().sum::<usize>() + 2 * COLUMNS.len() <= look.width {
        true => 2,
        false => 1,
    };
    for (number, row) in rows.iter().enumerate() {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "{:gap$}{cell:>width$}", "");
        }
        let line = if number == 0 { look.bold(&line) } else { line };
        let _ = writeln!(text, "{line}");
    }
}

/// Lines of at most so many columns, all but the first indented. A number keeps its unit.
pub(super) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    const UNITS: [&str; 7] = ["s", "ms", "min", "B", "kB", "MB", "GB"];
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_unit = UNITS.contains(&word.trim_end_matches([';', ',', '.', ':', ')']));
        match words.last_mut().filter(|last| last.ends_with(|c: char| c.is_ascii_digit())) {
            Some(number) if is_unit => {
                number.push(' ');
                number.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    let mut lines = String::new();
    let mut used = 0;
    for word in words {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = indent;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(&word);
        used += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_between_words() {
        assert_eq!(wrapped("one two  three", 9, 2), "one two\n  three\n");
        assert_eq!(wrapped("after 35 s, and", 8, 2), "after\n  35 s,\n  and\n");
    }
}
