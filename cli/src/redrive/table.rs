//! What would be moved, as a table or as JSON lines.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::ORDER;
use super::survey::{Row, Survey};
use crate::settings::OutputArgs;

/// So much of a reason is in a line of text.
const REASON: usize = 60;
/// So many partitions are.
const PARTITIONS: usize = 8;

/// What this call does with them.
pub(super) struct Plan<'a> {
    pub(super) topic: &'a str,
    pub(super) group: &'a str,
    /// How many are moved.
    pub(super) most: u64,
    /// They are moved, and not only counted.
    pub(super) moves: bool,
}

/// Writes it to standard output.
///
/// # Errors
/// When nobody reads it.
pub(super) fn show(survey: &Survey, plan: &Plan<'_>, output: &OutputArgs) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if output.json_on_stdout() {
        write!(out, "{}", lines(survey, plan))?;
    } else if !output.quiet {
        write!(out, "{}", text(survey, plan))?;
    }
    out.flush()
}

/// A time as people read it.
fn time(millis: i64) -> Option<String> {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(millis).ok()?))?;
    // A year that has more than four digits has no such form.
    (millis < 253_402_300_800_000).then(|| humantime::format_rfc3339_seconds(at).to_string())
}

/// Text of others without what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn lines(survey: &Survey, plan: &Plan<'_>) -> String {
    let mut text = String::new();
    for (topic, reason, row) in survey.rows() {
        let line = json!({
            "topic": topic,
            "partitions": row.partitions,
            "reason": reason,
            "count": row.count,
            "oldest": row.span.map(|(oldest, _)| oldest),
            "newest": row.span.map(|(_, newest)| newest),
        });
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    let plan = json!({
        "dead_letter_topic": plan.topic,
        "group": plan.group,
        "selected": survey.selected(),
        "moved_before": survey.moved_before(),
        "without_origin": survey.without_origin(),
        "moves": plan.most,
        "dry_run": !plan.moves,
    });
    let _ = writeln!(text, "{plan}");
    text
}

const HEAD: [&str; 6] = ["TOPIC", "PARTITIONS", "REASON", "COUNT", "OLDEST", "NEWEST"];

fn cells(topic: &str, reason: &str, row: &Row) -> [String; 6] {
    let shown: Vec<_> = row.partitions.iter().take(PARTITIONS).map(u32::to_string).collect();
    let more = if row.partitions.len() > PARTITIONS { ",..." } else { "" };
    let at = |millis: Option<i64>| millis.and_then(time).unwrap_or_else(|| "-".to_owned());
    let mut reason: String = printable(reason).chars().take(REASON).collect();
    if reason.is_empty() {
        reason.push('-');
    }
    [
        topic.to_owned(),
        shown.join(",") + more,
        reason,
        row.count.to_string(),
        at(row.span.map(|(oldest, _)| oldest)),
        at(row.span.map(|(_, newest)| newest)),
    ]
}

fn text(survey: &Survey, plan: &Plan<'_>) -> String {
    let mut text = String::new();
    if survey.selected() > 0 {
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(survey.rows().map(|(topic, reason, row)| cells(topic, reason, row)));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
        for line in &lines {
            for (column, cell) in line.iter().enumerate() {
                let (gap, width) = (if column == 0 { "" } else { "  " }, widths[column]);
                let _ = match column {
                    3 => write!(text, "{gap}{cell:>width$}"),
                    5 => write!(text, "{gap}{cell}"),
                    _ => write!(text, "{gap}{cell:<width$}"),
                };
            }
            text.push('\n');
        }
    }
    text + &sentence(survey, plan)
}

fn sentence(survey: &Survey, plan: &Plan<'_>) -> String {
    let Plan { topic, group, most, moves } = plan;
    let selected = survey.selected();
    let mut words = match (selected, moves) {
        (0, _) => format!("nothing of {topic} is to be moved"),
        (_, true) => format!("moving {most} of {selected} letters of {topic} as group {group}"),
        (_, false) => format!(
            "with --yes, {most} of {selected} letters of {topic} would be moved as group {group}"
        ),
    };
    for (count, what) in [
        (survey.moved_before(), "were moved by another selection before"),
        (survey.without_origin(), "do not say where they come from and stay"),
    ] {
        if count > 0 {
            let _ = write!(words, "; {count} {what}");
        }
    }
    if selected > 0 {
        let _ = write!(words, "; {ORDER}");
    }
    words + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_does_nothing_to_a_terminal() {
        let row = Row { count: 3, span: Some((0, 1_772_366_400_000)), ..Row::default() };
        let row = Row { partitions: (0..10).collect(), ..row };
        let cells = cells("t", "a\x1b[2Jb\nc", &row);
        assert_eq!(cells[1..4], ["0,1,2,3,4,5,6,7,...", "a [2Jb c", "3"]);
        assert_eq!(cells[4..], ["1970-01-01T00:00:00Z", "2026-03-01T12:00:00Z"]);
        assert_eq!((time(-1), time(i64::MAX)), (None, None));
    }
}
