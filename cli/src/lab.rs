//! `tidegate lab`: scenarios on virtual time, without a broker.
//!
//! The world itself is in the simulator's crate. Here are its files (`quantity`, `file`,
//! `scenario`, `set`), and what is shown: `verdict`, `text`, `json`, and reports as `svg` and
//! `html`. `sweep` plays a scenario over a range of one setting, `live` plays it on the clock.

mod args;
mod file;
mod html;
mod json;
mod live;
mod play;
mod quantity;
mod report;
mod scenario;
mod set;
mod svg;
mod sweep;
mod text;
mod verdict;
mod words;

use std::io::IsTerminal as _;

pub(crate) use args::LabArgs;

use crate::config::Given;
use crate::exit::Failure;
use crate::settings::{ConnectionArgs, OutputArgs, print};
use scenario::{SHIPPED, Source};
use text::Look;

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be used, or a report cannot be written.
pub(crate) fn run(args: &LabArgs, output: &OutputArgs, given: &Given) -> Result<(), Failure> {
    if args.list {
        return print(&list(look()));
    }
    let source = Source::find(&args.scenario)?;
    if args.print {
        return print(&source.text);
    }
    if !args.live && ConnectionArgs::is_asked_for(given) {
        let words = "the lab needs no broker; with --live it plays a scenario on a cluster";
        return Err(Failure::Usage(words.to_owned()));
    }
    // Before anything is played.
    args.report.as_deref().map(report::Form::of).transpose()?;
    let mut changes = args.changes();
    if args.live && changes.strategies.is_empty() {
        changes.strategies.push(live::USUAL);
    }
    let scenario = source.scenario(&changes)?;
    if let Some(sweep) = &args.sweep {
        return sweep::run(&source, &changes, sweep, args.report.as_deref(), output);
    }
    let played = if args.live {
        let show = std::io::stdout().is_terminal() && !output.json_on_stdout();
        vec![live::run(&scenario, args.connection.resolve_if_named()?, show.then(look))?]
    } else {
        play::side_by_side(&scenario)?
    };
    let verdicts: Vec<_> = played.iter().map(|p| verdict::verdict(&scenario, p)).collect();
    if let Some(file) = &args.report {
        report::write(file, &scenario, &played, &verdicts, &source.text)?;
    }
    if output.json_on_stdout() {
        let results = json::Results::new(&scenario, &played, &verdicts);
        let line = serde_json::to_string(&results);
        let line = line.map_err(|error| Failure::Failed(error.to_string()))?;
        return print(&(line + "\n"));
    }
    print(&text::text(&scenario, &played, &verdicts, look()))
}

/// How text looks where it goes.
fn look() -> Look {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = match terminal_size::terminal_size() {
        Some((terminal_size::Width(width), _)) => usize::from(width),
        None => columns.unwrap_or(80),
    };
    let colour = std::io::stdout().is_terminal() && crate::settings::colours_wanted();
    Look { width: width.clamp(60, 120), colour }
}

/// The shipped scenarios, with what they show.
fn list(look: Look) -> String {
    let mut text = String::new();
    for (name, _) in SHIPPED {
        let scenario = Source::find(name).and_then(|source| source.scenario(&Default::default()));
        let about = scenario.map(|scenario| scenario.about).unwrap_or_default();
        text.push_str(&text::wrapped(&format!("{name}: {about}"), look.width, 2));
    }
    text
}
