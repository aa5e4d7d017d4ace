//! Writing a report, by the ending of its file.

use std::path::Path;

use tidegate_sim::lab::{Played, Scenario};

use super::{html, svg};
use crate::exit::Failure;

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A page.
    Html,
    /// A picture.
    Svg,
}

impl Form {
    /// By the ending of a file's name.
    pub(super) fn of(file: &Path) -> Result<Self, Failure> {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("html") => Ok(Self::Html),
            Some("svg") => Ok(Self::Svg),
            _ => Err(Failure::Usage(format!(
                "--report {}: a report's name ends in .html or .svg",
                file.display()
            ))),
        }
    }
}

/// Writes the report of strategies side by side.
pub(super) fn write(
    file: &Path,
    scenario: &Scenario,
    played: &[Played],
    verdicts: &[String],
    source: &str,
) -> Result<(), Failure> {
    let text = match Form::of(file)? {
        Form::Html => html::page(scenario, played, verdicts, source),
        Form::Svg => svg::picture(scenario, played),
    };
    save(file, &text)
}

/// Writes a file.
pub(super) fn save(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text)
        .map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", file.display())))
}
