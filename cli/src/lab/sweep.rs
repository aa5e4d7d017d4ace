//! `--sweep`: one setting over a range, and what becomes of throughput, age and memory.

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;
use tidegate_sim::lab::{Played, Scenario, Strategy};

use super::json::rounded;
use super::report::{Form, save};
use super::scenario::{Changes, Source};
use super::set::{self, CONCURRENCY};
use super::svg::{curve, escaped, grid, ticks};
use super::verdict::{bytes, seconds};
use super::{html, play};
use crate::exit::Failure;
use crate::report::grouped;
use crate::settings::OutputArgs;

/// How many values a range has.
const VALUES: u32 = 13;

/// A setting and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sweep {
    key: String,
    /// As they are written.
    values: Vec<String>,
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "write it as KEY=FROM..TO or KEY=ONE,TWO,THREE, as in concurrency=10..1000";
        let (key, range) = text.split_once('=').ok_or(wrong)?;
        set::unit(key)?;
        let values = match range.split_once("..") {
            Some((from, to)) => between(from.trim(), to.trim())?,
            None => range.split(',').map(|value| value.trim().to_owned()).collect(),
        };
        if values.iter().any(String::is_empty) || values.len() > 100 {
            return Err(format!("{wrong}; at most 100 values"));
        }
        Ok(Self { key: key.to_owned(), values })
    }
}

/// A number and its unit.
fn split(text: &str) -> Result<(f64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>();
    let number = number.map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, text[end..].trim()))
}

/// Values from one to another, each by the same factor more than the one before.
fn between(from: &str, to: &str) -> Result<Vec<String>, String> {
    let ((least, from_unit), (most, unit)) = (split(from)?, split(to)?);
    if !from_unit.is_empty() && from_unit != unit {
        return Err(format!("{from} and {to} have different units: write both with the same one"));
    }
    if least >= most || !most.is_finite() {
        return Err(format!("{from} is not less than {to}"));
    }
    let whole = least.fract() == 0.0 && most.fract() == 0.0 && most - least >= 2.0;
    let mut values = Vec::new();
    for step in 0..VALUES {
        let part = f64::from(step) / f64::from(VALUES - 1);
        let value = match least > 0.0 {
            true => least * (most / least).powf(part),
            false => least + (most - least) * part,
        };
        let value = if whole { value.round().to_string() } else { significant(value) };
        let gap =
            if unit.starts_with(|c: char| c.is_alphabetic()) && unit.len() > 3 { " " } else { "" };
        let value = format!("{value}{gap}{unit}");
        if values.last() != Some(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

/// To three digits.
fn significant(value: f64) -> String {
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.digits$}")
}

/// One strategy over all values.
struct Line {
    name: String,
    played: Vec<Played>,
}

/// Plays a sweep and shows it.
pub(super) fn run(
    source: &Source,
    changes: &Changes,
    sweep: &Sweep,
    report: Option<&Path>,
    output: &OutputArgs,
) -> Result<(), Failure> {
    let form = report.map(Form::of).transpose()?;
    let base = source.scenario(changes)?;
    let mut scenarios = Vec::new();
    for value in &sweep.values {
        let mut changes = changes.clone();
        changes.settings.push((sweep.key.clone(), value.clone()));
        let scenario = source.scenario(&changes).map_err(|failure| match failure {
            Failure::Usage(why) => Failure::Usage(why.replacen("--set", "--sweep", 1)),
            other => other,
        });
        scenarios.push(scenario?);
    }
    let lines = lines(&base, &scenarios, sweep)?;
    if let (Some(file), Some(form)) = (report, form) {
        let text = match form {
            Form::Html => page(&base, sweep, &lines),
            Form::Svg => picture(&base, sweep, &lines),
        };
        save(file, &text)?;
    }
    if output.json_on_stdout() {
        let text = serde_json::to_string(&results(&base, sweep, &lines));
        let text = text.map_err(|error| Failure::Failed(error.to_string()))?;
        return super::print(&(text + "\n"));
    }
    super::print(&text(&base, sweep, &lines))
}

fn lines(base: &Scenario, scenarios: &[Scenario], sweep: &Sweep) -> Result<Vec<Line>, Failure> {
    let permits = sweep.key == CONCURRENCY;
    // With other permits two strategies may become one, and one without permits stays as it is.
    let mut strategies: Vec<Strategy> = Vec::new();
    for strategy in &base.strategies {
        let strategy = if permits { strategy.with_permits(1) } else { *strategy };
        let stays = permits && strategy.permits().is_none();
        if !stays && !strategies.contains(&strategy) {
            strategies.push(strategy);
        }
    }
    if strategies.is_empty() {
        return Err(Failure::Usage(
            "--sweep concurrency: no strategy has permits; add --strategy bounded".to_owned(),
        ));
    }
    let mut runs = Vec::new();
    for strategy in &strategies {
        for (scenario, value) in scenarios.iter().zip(&sweep.values) {
            let strategy = match value.parse() {
                Ok(value) if permits => strategy.with_permits(value),
                _ => *strategy,
            };
            runs.push((scenario, strategy));
        }
    }
    let mut played = play::all_of(&runs)?.into_iter();
    let line = |strategy: &Strategy| {
        let name = strategy.to_string();
        let name = match permits {
            true => name.split(':').next().unwrap_or_default().to_owned(),
            false => name,
        };
        Line { name, played: played.by_ref().take(scenarios.len()).collect() }
    };
    Ok(strategies.iter().map(line).collect())
}

#[derive(Serialize)]
struct Results<'a> {
    scenario: &'a str,
    seed: u64,
    sweep: &'a str,
    strategies: Vec<ResultLine<'a>>,
}

#[derive(Serialize)]
struct ResultLine<'a> {
    name: &'a str,
    points: Vec<ResultPoint<'a>>,
}

#[derive(Serialize)]
struct ResultPoint<'a> {
    value: &'a str,
    throughput_per_s: f64,
    age_p99_s: Option<f64>,
    peak_bytes: u64,
    peak_total: u64,
    feedback_s: Option<f64>,
    oom_kills: u32,
    lost: u64,
    repeated: u64,
}

fn results<'a>(base: &'a Scenario, sweep: &'a Sweep, lines: &'a [Line]) -> Results<'a> {
    let point = |(value, played): (&'a String, &'a Played)| ResultPoint {
        value,
        throughput_per_s: rounded(played.throughput_per_s),
        age_p99_s: played.age_p99_s.map(rounded),
        peak_bytes: played.peak.bytes,
        peak_total: played.peak.total,
        feedback_s: played.feedback_s.map(rounded),
        oom_kills: played.oom_kills,
        lost: played.lost,
        repeated: played.repeated,
    };
    let line = |line: &'a Line| ResultLine {
        name: &line.name,
        points: sweep.values.iter().zip(&line.played).map(point).collect(),
    };
    let strategies = lines.iter().map(line).collect();
    Results { scenario: &base.name, seed: base.seed, sweep: &sweep.key, strategies }
}

const BAR: usize = 30;

fn text(base: &Scenario, sweep: &Sweep, lines: &[Line]) -> String {
    let mut text = format!(
        "{}: {} from {} to {}\n",
        base.name,
        sweep.key,
        sweep.values[0],
        sweep.values[sweep.values.len() - 1]
    );
    let most = lines.iter().flat_map(|line| &line.played).map(|p| p.throughput_per_s);
    let most = most.fold(1.0, f64::max);
    let width = sweep.values.iter().map(|value| value.chars().count()).max().unwrap_or(0);
    for line in lines {
        let _ = writeln!(text, "\n{}", line.name);
        let _ = writeln!(
            text,
            "{:>width$}  {:<BAR$} {:>7}  {:>7}  {:>9}  {:>6}",
            "", "done/s", "", "p99", "memory", "killed"
        );
        for (value, played) in sweep.values.iter().zip(&line.played) {
            let bar = (played.throughput_per_s / most * BAR as f64).round() as usize;
            let _ = writeln!(
                text,
                "{value:>width$}  {:<BAR$} {:>7}  {:>7}  {:>9}  {:>6}",
                "█".repeat(bar),
                grouped(played.throughput_per_s.round() as u64),
                played.age_p99_s.map_or("-".to_owned(), seconds),
                bytes(played.peak.bytes),
                played.oom_kills,
            );
        }
    }
    text
}

type Measure = (&'static str, &'static str, fn(&Played) -> Option<f64>);

const MEASURES: [Measure; 3] = [
    ("Done in a second", "records/s", |p| Some(p.throughput_per_s)),
    ("Age when done, the oldest hundredth", "seconds", |p| p.age_p99_s),
    ("Memory at most", "MB", |p| Some(p.peak.bytes as f64 / 1e6)),
];

/// Where a value is on its axis, from 0 to 1: they are evenly apart.
fn place(index: usize, sweep: &Sweep) -> f64 {
    index as f64 / (sweep.values.len().max(2) - 1) as f64
}

/// The curves of a measure, and the ticks of their scale.
fn curves(measure: &Measure, sweep: &Sweep, lines: &[Line]) -> (String, Vec<f64>) {
    let (_, _, of) = measure;
    let values = lines.iter().flat_map(|line| &line.played).filter_map(of);
    let ticks = ticks(values.fold(0.0, f64::max));
    let top = ticks.last().copied().unwrap_or(1.0);
    let mut inside = grid(&ticks);
    for (number, line) in lines.iter().enumerate() {
        let points = line.played.iter().enumerate();
        let points = points.map(|(n, played)| Some((place(n, sweep), of(played)? / top)));
        inside.push_str(&curve(&format!("s{}", number % 6), points));
    }
    (inside, ticks)
}

/// The first, the middle and the last value.
fn labels(sweep: &Sweep) -> Vec<(f64, String)> {
    let last = sweep.values.len() - 1;
    let mut shown = vec![0, last / 2, last];
    shown.dedup();
    shown.into_iter().map(|n| (place(n, sweep), sweep.values[n].clone())).collect()
}

fn page(base: &Scenario, sweep: &Sweep, lines: &[Line]) -> String {
    let mut body = format!(
        "<h1>{}: {}</h1><p>{}</p><ul class=\"key\">",
        escaped(&base.name),
        escaped(&sweep.key),
        escaped(&base.about)
    );
    for (number, line) in lines.iter().enumerate() {
        let class = number % 6;
        let _ = write!(body, "<li><i class=\"thin s{class}\"></i>{}</li>", escaped(&line.name));
    }
    body.push_str("</ul><div class=\"panels\">");
    for measure in &MEASURES {
        let (inside, ticks) = curves(measure, sweep, lines);
        let _ = write!(body, "<section class=\"panel\"><h3>{}</h3>", measure.0);
        body.push_str(&html::framed(&inside, &ticks, measure.1, &labels(sweep), ""));
        let permits = if sweep.key == CONCURRENCY { " (permits)" } else { "" };
        let _ = write!(body, "<p>{}{permits}</p></section>", escaped(&sweep.key));
    }
    body.push_str("</div>");
    html::document(&format!("{}: {}", base.name, sweep.key), &body)
}

fn picture(base: &Scenario, sweep: &Sweep, lines: &[Line]) -> String {
    let panels = MEASURES.map(|measure| {
        let (inside, ticks) = curves(&measure, sweep, lines);
        (format!("{} ({})", measure.0, measure.1), inside, ticks)
    });
    let names: Vec<_> = lines.iter().map(|line| line.name.as_str()).collect();
    let title = format!("{}: {}", base.name, sweep.key);
    super::svg::curves_picture(&title, &names, &panels, &labels(sweep))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_spread_evenly_by_factors() {
        let sweep: Sweep = "concurrency=10..1000".parse().unwrap();
        assert_eq!((sweep.values[0].as_str(), sweep.values[6].as_str()), ("10", "100"));
        assert_eq!(sweep.values.last().unwrap(), "1000");
        let sweep: Sweep = "downstream.service=50..200ms".parse().unwrap();
        assert_eq!((sweep.values[0].as_str(), sweep.values[6].as_str()), ("50ms", "100ms"));
        let sweep: Sweep = "downstream.failures=0%,50%".parse().unwrap();
        assert_eq!(sweep.values, ["0%", "50%"]);
        let sweep: Sweep = "consumers.members=1..3 members".parse().unwrap();
        assert_eq!(sweep.values, ["1 members", "2 members", "3 members"]);
        for wrong in [
            "",
            "concurrency",
            "concurrency=",
            "nothing=1..2",
            "concurrency=9..3",
            "downstream.service=1s..900ms",
            "concurrency=a..b",
        ] {
            assert!(wrong.parse::<Sweep>().is_err(), "{wrong}");
        }
    }
}
