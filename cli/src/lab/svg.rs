//! Pictures as SVG, written by hand: what is drawn in a plot, and a whole picture.
//!
//! A plot is drawn in a box of 1,000 by 300 that is stretched to where it goes, so that a page can
//! put its labels beside it in a size that can be read.

use std::fmt::Write as _;

use tidegate_sim::lab::{Played, Point, Scenario};

use super::verdict::{bytes, seconds};
use crate::report::grouped;

/// The box of a plot.
pub(super) const WIDE: f64 = 1_000.0;
pub(super) const HIGH: f64 = 300.0;

/// A place of records, from the bottom of a plot to its top.
pub(super) struct Area {
    /// Its class, and the name of its colour.
    pub(super) class: &'static str,
    /// What it is called.
    pub(super) name: &'static str,
    of: fn(&Point) -> u64,
}

pub(super) const AREAS: [Area; 4] = [
    Area { class: "in-flight", name: "in flight", of: |p| p.in_flight },
    Area { class: "queued", name: "queued", of: |p| p.queued },
    Area { class: "kafka", name: "Kafka", of: |p| p.kafka },
    Area { class: "channel", name: "channel", of: |p| p.channel },
];

/// Colours by name: on a light ground and on a dark one.
const COLOURS: &str = "\
--ground:#fff;--ink:#1c2026;--soft:#5d6673;--line:#d9dee5;--kill:#c1121f;\
--in-flight:#d1495b;--queued:#edae49;--kafka:#3a86c8;--channel:#9d79bc;\
--s0:#d1495b;--s1:#c88a12;--s2:#2f7fc4;--s3:#2a9d6f;--s4:#8e63b8;--s5:#5d6673";
const DARK_COLOURS: &str = "\
--ground:#14171c;--ink:#e8ebef;--soft:#a0a9b6;--line:#343b46;--kill:#ff6b6b;\
--in-flight:#e0637a;--queued:#e9b14f;--kafka:#4f9ddb;--channel:#b193d3;\
--s0:#f07a8c;--s1:#e9b14f;--s2:#62aee8;--s3:#4fc391;--s4:#b491de;--s5:#a0a9b6";

/// The colours and what has them, for a page and for a picture.
pub(super) fn style() -> String {
    let mut style = format!(
        ":root{{{COLOURS}}}@media (prefers-color-scheme:dark){{:root{{{DARK_COLOURS}}}}}\
         @media print{{:root{{{COLOURS}}}}}"
    );
    for Area { class, .. } in &AREAS {
        let _ = write!(style, ".{class}{{fill:var(--{class});background:var(--{class})}}");
    }
    for number in 0..6 {
        let _ = write!(style, ".s{number}{{stroke:var(--s{number});background:var(--s{number})}}");
    }
    style.push_str(
        ".curve{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}\
         .grid{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke}\
         .kill{stroke:var(--kill);stroke-width:1;stroke-dasharray:3 3;\
         vector-effect:non-scaling-stroke}\
         .event{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 4;\
         vector-effect:non-scaling-stroke}",
    );
    style
}

/// Numbers for an axis: from 0 to at least `most`, in steps that a person would take.
pub(super) fn ticks(most: f64) -> Vec<f64> {
    let most = if most > 0.0 { most } else { 1.0 };
    let rough = most / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power);
    let count = (most / step - 1e-9).ceil().max(1.0) as u32;
    (0..=count).map(|n| f64::from(n) * step).collect()
}

/// The areas of a strategy, stacked, below `top` records.
pub(super) fn areas(scenario: &Scenario, played: &Played, top: f64) -> String {
    let end = scenario.duration.as_secs_f64();
    let mut text = String::new();
    let mut below = vec![0u64; played.series.len()];
    for area in &AREAS {
        let above: Vec<_> =
            played.series.iter().zip(&below).map(|(p, below)| below + (area.of)(p)).collect();
        let x = |index: usize| (played.series[index].at_s / end * WIDE).round() as i64;
        let y = |records: u64| (HIGH - records as f64 / top * HIGH).round() as i64;
        let upper = above.iter().enumerate().map(|(index, records)| (x(index), y(*records)));
        let lower = below.iter().enumerate().map(|(index, records)| (x(index), y(*records)));
        let outline: Vec<_> = upper.chain(lower.rev()).collect();
        let path = straightened(&outline);
        if above != below {
            let _ = write!(text, "<path class=\"{}\" d=\"M{path}Z\"/>", area.class);
        }
        below = above;
    }
    text
}

/// The corners of an outline: what lies between two others at the same height is left out.
fn straightened(outline: &[(i64, i64)]) -> String {
    let height = |index: usize| outline.get(index).map(|(_, y)| *y);
    let is_corner = |index: usize| {
        index == 0 || height(index - 1) != height(index) || height(index + 1) != height(index)
    };
    let corners = outline.iter().enumerate().filter(|(index, _)| is_corner(*index));
    corners.map(|(_, (x, y))| format!("{x} {y}")).collect::<Vec<_>>().join(" ")
}

/// A curve through points from 0 to 1, broken where there is none.
pub(super) fn curve(class: &str, points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut broken = true;
    for point in points {
        let Some((x, y)) = point else {
            broken = true;
            continue;
        };
        let letter = if broken { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", x * WIDE, HIGH - y.min(1.0) * HIGH);
        broken = false;
    }
    format!("<path class=\"curve {class}\" d=\"{path}\"/>")
}

/// Lines across a plot, at its ticks.
pub(super) fn grid(ticks: &[f64]) -> String {
    let top = ticks.last().copied().unwrap_or(1.0);
    let line = |tick: &f64| {
        let y = HIGH - tick / top * HIGH;
        format!("<path class=\"grid\" d=\"M0 {y:.1}H{WIDE}\"/>")
    };
    ticks.iter().map(line).collect()
}

/// Where something happened, from 0 to 1: the scenario's events, and when this strategy was killed.
pub(super) fn marks(scenario: &Scenario, played: &Played) -> (Vec<f64>, Vec<f64>) {
    let end = scenario.duration.as_secs_f64();
    let events = scenario.events.iter().map(|event| event.at.as_secs_f64() / end);
    let kills = played.kills_s.iter().filter(|at| **at <= end).map(|at| at / end);
    (events.collect(), kills.collect())
}

/// These as lines.
pub(super) fn mark_lines((events, kills): &(Vec<f64>, Vec<f64>)) -> String {
    let line = |class: &str, at: &f64| {
        format!("<path class=\"{class}\" d=\"M{:.1} 0V{HIGH}\"/>", at * WIDE)
    };
    let events: String = events.iter().map(|at| line("event", at)).collect();
    events + &kills.iter().map(|at| line("kill", at)).collect::<String>()
}

/// A stretched plot.
pub(super) fn plot(place: &str, inside: &str) -> String {
    format!(
        "<svg {place} viewBox=\"0 0 {WIDE} {HIGH}\" preserveAspectRatio=\"none\" \
         overflow=\"visible\" aria-hidden=\"true\">{inside}</svg>"
    )
}

/// Text that means itself.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The most records of any strategy.
pub(super) fn most(played: &[Played]) -> f64 {
    played.iter().map(|played| played.peak.total).max().unwrap_or(0) as f64
}

const PICTURE: f64 = 860.0;
const LEFT: f64 = 66.0;
const PLOT: f64 = PICTURE - LEFT - 20.0;
const PANEL: f64 = 104.0;
const STEP: f64 = 168.0;
const TOP: f64 = 74.0;

/// The beginning of a picture: its size, its style and its title.
fn opened(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {PICTURE} {height}\" \
         width=\"{PICTURE}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\"><style>{} \
         text{{font:13px system-ui,sans-serif;fill:var(--ink)}} .soft{{fill:var(--soft)}} \
         .name{{font-weight:600;font-size:14px}} .title{{font-weight:600;font-size:17px}} \
         .frame{{fill:var(--ground)}} .dead{{fill:var(--kill)}}</style>\
         <rect class=\"frame\" width=\"{PICTURE}\" height=\"{height}\"/>\
         <text class=\"title\" x=\"16\" y=\"28\">{title}</text>",
        style()
    )
}

/// Where the records are over time, for each strategy on one scale.
pub(super) fn picture(scenario: &Scenario, played: &[Played]) -> String {
    let ticks = ticks(most(played));
    let top = ticks.last().copied().unwrap_or(1.0);
    let height = TOP + STEP * played.len() as f64 + 16.0;
    let mut svg = opened(&scenario.name, height);
    svg.push_str("<text class=\"soft\" x=\"16\" y=\"52\">records, by where they are:</text>");
    let mut x = 212.0;
    for area in AREAS.iter().rev() {
        let _ = write!(
            svg,
            "<rect class=\"{}\" x=\"{x}\" y=\"42\" width=\"12\" height=\"12\"/>\
             <text x=\"{}\" y=\"52\">{}</text>",
            area.class,
            x + 18.0,
            area.name
        );
        x += 40.0 + 8.0 * area.name.len() as f64;
    }
    let _ = write!(
        svg,
        "<text class=\"soft\" x=\"{}\" y=\"52\" text-anchor=\"end\">\u{2715} killed for its \
         memory</text>",
        PICTURE - 20.0
    );
    for (number, played) in played.iter().enumerate() {
        panel(&mut svg, scenario, played, TOP + STEP * number as f64, top, &ticks);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, scenario: &Scenario, played: &Played, y: f64, top: f64, ticks: &[f64]) {
    let told = played.feedback_s.map_or("never".to_owned(), |at| format!("after {}", seconds(at)));
    let _ = write!(
        svg,
        "<text class=\"name\" x=\"16\" y=\"{0}\">{1}</text>\
         <text class=\"soft\" x=\"{2}\" y=\"{0}\" text-anchor=\"end\">{3}/s done \u{b7} at most {4} \
         records, {5} \u{b7} producer told {told}</text>",
        y + 14.0,
        played.strategy,
        PICTURE - 20.0,
        grouped(played.throughput_per_s.round() as u64),
        grouped(played.peak.total),
        bytes(played.peak.bytes),
    );
    let plot_y = y + 38.0;
    let marks = marks(scenario, played);
    let inside = grid(ticks) + &areas(scenario, played, top) + &mark_lines(&marks);
    let end = scenario.duration.as_secs_f64();
    let times = (0..=4).map(|n| f64::from(n) / 4.0);
    let labels: Vec<_> = times.map(|part| (part, seconds_label(end * part))).collect();
    framed(svg, &inside, ticks, plot_y, &labels);
    for kill in &marks.1 {
        let _ = write!(
            svg,
            "<text class=\"dead\" x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\">\u{2715}</text>",
            LEFT + kill * PLOT,
            plot_y - 2.0
        );
    }
}

/// A plot with its labels.
fn framed(svg: &mut String, inside: &str, ticks: &[f64], y: f64, labels: &[(f64, String)]) {
    let place = format!("x=\"{LEFT}\" y=\"{y}\" width=\"{PLOT}\" height=\"{PANEL}\"");
    svg.push_str(&plot(&place, inside));
    let top = ticks.last().copied().unwrap_or(1.0);
    let shown = ticks.iter().enumerate().filter(|(n, _)| n % 2 == 0 || ticks.len() < 5);
    for (_, tick) in shown {
        let _ = write!(
            svg,
            "<text class=\"soft\" x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + PANEL - tick / top * PANEL + 4.0,
            tick_label(*tick, top)
        );
    }
    for (part, label) in labels {
        let anchor = match *part {
            0.0 => "start",
            1.0 => "end",
            _ => "middle",
        };
        let _ = write!(
            svg,
            "<text class=\"soft\" x=\"{:.0}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            LEFT + part * PLOT,
            y + PANEL + 16.0,
            escaped(label)
        );
    }
}

/// A number on an axis that ends at `top`.
pub(super) fn tick_label(tick: f64, top: f64) -> String {
    if top >= 10.0 || tick == 0.0 {
        return grouped(tick.round() as u64);
    }
    let digits = if top < 0.1 { 4 } else { 2 };
    format!("{tick:.digits$}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Curves of several measures, one below the other, with the labels of what they are drawn against.
pub(super) fn curves_picture(
    title: &str,
    names: &[&str],
    panels: &[(String, String, Vec<f64>)],
    labels: &[(f64, String)],
) -> String {
    let height = TOP + STEP * panels.len() as f64 + 16.0;
    let mut svg = opened(title, height);
    let mut x = 16.0;
    for (number, name) in names.iter().enumerate() {
        let _ = write!(
            svg,
            "<path class=\"curve s{}\" d=\"M{x} 48h18\"/><text x=\"{}\" y=\"52\">{}</text>",
            number % 6,
            x + 24.0,
            escaped(name)
        );
        x += 48.0 + 8.0 * name.len() as f64;
    }
    for (number, (name, inside, ticks)) in panels.iter().enumerate() {
        let y = TOP + STEP * number as f64;
        let _ = write!(svg, "<text class=\"name\" x=\"16\" y=\"{}\">{name}</text>", y + 14.0);
        framed(&mut svg, inside, ticks, y + 38.0, labels);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A moment on an axis.
pub(super) fn seconds_label(at: f64) -> String {
    format!("{} s", (at * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        assert_eq!(ticks(70_000.0), [0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0]);
        assert_eq!(ticks(0.0).last(), Some(&1.0));
        for most in [1.0, 3.0, 9.9, 24_338.0, 75_000.0, 0.004, 1e9] {
            let ticks = ticks(most);
            assert!(
                ticks.len() <= 6 && *ticks.last().unwrap() >= most * 0.999,
                "{most}: {ticks:?}"
            );
        }
    }
}
