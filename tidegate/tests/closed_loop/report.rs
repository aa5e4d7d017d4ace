//! Goals beside what was measured.

use std::fs;
use std::path::Path;

use crate::plot;
use crate::world::Seen;

/// One scenario and what came of it.
pub struct Report {
    /// Of the plot's file.
    pub name: &'static str,
    pub title: String,
    pub lines: Vec<Line>,
    pub seen: Seen,
}

/// One goal.
pub struct Line {
    what: String,
    goal: String,
    measured: String,
    /// Whether the goal is met, if it is one.
    met: Option<bool>,
    /// Whether what must hold on any machine holds.
    holds: bool,
}

impl Report {
    pub fn new(name: &'static str, title: impl Into<String>, seen: Seen) -> Self {
        Self { name, title: title.into(), lines: Vec::new(), seen }
    }

    pub fn producers(&self) -> usize {
        self.seen.samples[0].producers.len()
    }

    /// A goal, and the bound that must hold wherever this runs.
    pub fn goal(&mut self, what: &str, goal: Range, bound: Range, measured: f64) {
        self.lines.push(Line {
            what: what.to_owned(),
            goal: goal.text(),
            measured: goal.form(measured),
            met: Some(goal.contains(measured)),
            holds: bound.contains(measured),
        });
    }

    /// Something that is good to know.
    pub fn fact(&mut self, what: &str, measured: impl Into<String>) {
        let (what, measured) = (what.to_owned(), measured.into());
        self.lines.push(Line { what, goal: String::new(), measured, met: None, holds: true });
    }

    pub fn print(&self) {
        println!("\n{}\n\n| | goal | measured | |\n|---|---|---|---|", self.title);
        for Line { what, goal, measured, met, .. } in &self.lines {
            let met = match met {
                None => "",
                Some(true) => "met",
                Some(false) => "missed",
            };
            println!("| {what} | {goal} | {measured} | {met} |");
        }
    }

    pub fn assert(&self) {
        for line in &self.lines {
            assert!(line.holds, "{}: {}: {}", self.title, line.what, line.measured);
        }
    }

    /// Draws it into the folder of the documentation.
    pub fn draw(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/closed-loop");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}.svg", self.name));
        fs::write(path, plot::svg(&self.title, &self.seen)).unwrap();
    }
}

/// What a number should be, with its unit and its decimals.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    low: f64,
    high: f64,
    unit: &'static str,
    decimals: usize,
}

impl Range {
    pub const fn new(low: f64, high: f64, unit: &'static str, decimals: usize) -> Self {
        Self { low, high, unit, decimals }
    }

    pub const fn at_least(low: f64) -> Self {
        Self::new(low, f64::INFINITY, "", 3)
    }

    pub const fn seconds(low: f64, high: f64) -> Self {
        Self::new(low, high, " s", 2)
    }

    pub const fn records(high: f64) -> Self {
        Self::new(f64::NEG_INFINITY, high, "", 0)
    }

    fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    fn form(&self, value: f64) -> String {
        format!("{value:.*}{}", self.decimals, self.unit)
    }

    fn text(&self) -> String {
        match (self.low > 0.0, self.high.is_finite()) {
            (true, true) => format!("{} to {}", self.low, self.form(self.high)),
            (true, false) => format!("at least {}", self.low),
            _ => format!("at most {}", self.form(self.high)),
        }
    }
}
