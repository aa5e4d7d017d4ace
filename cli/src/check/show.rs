//! What was found, on standard output.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::finding::{Findings, Weight};
use super::plan::Plan;
use super::say;
use crate::settings::{OutputArgs, colours_wanted};

/// Lines for people are not longer than this.
const WIDEST: usize = 100;
/// Nor are they broken into shorter ones.
const NARROWEST: usize = 40;
/// Where the words of a finding begin.
const INDENT: usize = 11;

/// Writes one command.
///
/// # Errors
/// When nobody reads it.
pub(super) fn show(plan: &Plan, findings: &Findings, output: &OutputArgs) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if output.json_on_stdout() {
        writeln!(out, "{}", as_json(plan, findings))?;
    } else {
        let coloured = io::stdout().is_terminal() && colours_wanted();
        out.write_all(as_text(plan, findings, width(), coloured).as_bytes())?;
    }
    out.flush()
}

fn as_json(plan: &Plan, findings: &Findings) -> serde_json::Value {
    let found = findings.0.iter().map(|finding| {
        json!({
            "level": finding.weight.name(),
            "kind": finding.kind,
            "text": finding.text,
        })
    });
    json!({
        "command": plan.command,
        "does": say::sentences(plan),
        "found": found.collect::<Vec<_>>(),
        "warnings": findings.count(Weight::Warning),
        "errors": findings.count(Weight::Error),
    })
}

fn as_text(plan: &Plan, findings: &Findings, width: usize, coloured: bool) -> String {
    let mut text = format!("tidegate {}\n", plan.command);
    for sentence in say::sentences(plan) {
        text.push_str(&format!("  {}\n", broken(&sentence, width, 2)));
    }
    for finding in &findings.0 {
        let name = finding.weight.name();
        let style = if coloured { style(finding.weight) } else { Style::new() };
        let (on, off) = (style.render(), style.render_reset());
        let words = broken(&finding.text, width, INDENT);
        text.push_str(&format!("  {on}{name:<8}{off} {words}\n"));
    }
    text.push('\n');
    text
}

/// How wide lines may be.
fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let found = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    told.or_else(found).unwrap_or(WIDEST).clamp(NARROWEST, WIDEST)
}

/// Words in lines that begin with so much space, but for the first, which has something there already.
fn broken(words: &str, width: usize, indent: usize) -> String {
    let mut text = String::new();
    let mut column = indent;
    for word in words.split(' ') {
        let long = word.chars().count();
        if column > indent && column + 1 + long > width {
            text.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += long;
    }
    text
}

fn style(weight: Weight) -> Style {
    match weight {
        Weight::Good => AnsiColor::Green.on_default(),
        Weight::Note => Style::new(),
        Weight::Warning => AnsiColor::Yellow.on_default(),
        Weight::Error => AnsiColor::Red.on_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_broken_into_lines() {
        let text = broken("one two three four five", 16, 4);
        assert_eq!(text, "one two\n    three four\n    five");
        let long = "a-word-that-is-longer-than-a-line";
        assert_eq!(broken(long, 16, 4), long);
    }
}
