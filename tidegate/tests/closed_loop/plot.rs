//! A plot by hand: rates above, the backlog in seconds of the consumer's work below, over time.

use std::fmt::Write as _;

use crate::judge::Span;
use crate::world::{Sample, Seen};

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 616.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 784.0;
/// What a curve is averaged over, in seconds: credit comes with each probe, twice a second.
const SMOOTH: f64 = 1.0;

/// One set of axes.
struct Panel {
    top: f64,
    bottom: f64,
    /// The highest value.
    most: f64,
    /// Seconds to the right end.
    end: f64,
}

impl Panel {
    fn x(&self, at: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * at / self.end
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value / self.most).min(1.0)
    }

    fn line(&self, class: &str, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (at, value) in points {
            let verb = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{:.1} {:.1}", self.x(at), self.y(value));
        }
        format!("<path class=\"{class}\" d=\"{path}\"/>\n")
    }

    /// The grid, with a label at each line; those of time only where they are asked for.
    fn axes(&self, step: f64, unit: &str, with_time: bool) -> String {
        let mut svg = String::new();
        let mut value = 0.0;
        while value <= self.most * 1.001 {
            let y = self.y(value);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\
                 <text class=\"end\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
                LEFT - 8.0,
                y + 5.0,
                thousands(value)
            );
            value += step;
        }
        let _ = writeln!(svg, "<text x=\"8\" y=\"{:.0}\">{unit}</text>", self.top - 12.0);
        let (mut at, seconds) = (0.0, if self.end > 50.0 { 20.0 } else { 10.0 });
        while with_time && at <= self.end {
            let (x, y) = (self.x(at), self.bottom + 20.0);
            let _ = writeln!(svg, "<text class=\"middle\" x=\"{x:.1}\" y=\"{y:.0}\">{at}</text>");
            at += seconds;
        }
        svg
    }
}

/// The plot of what was seen.
pub fn svg(title: &str, seen: &Seen) -> String {
    let end = seen.stages.last().map_or(1.0, |stage| stage.to);
    let samples: Vec<&Sample> = seen.samples.iter().filter(|s| s.at <= end).collect();
    let producers = samples[0].producers.len();
    let sent: Vec<_> =
        (0..producers).map(|n| curve(&samples, |s| s.producers[n].delivered as f64)).collect();
    let (all, done) =
        (curve(&samples, |s| s.delivered() as f64), curve(&samples, |s| s.done() as f64));
    let drain = drains(seen, &samples);
    let targets = samples.iter().map(|s| (s.at, s.producers[0].target));

    let rates = Panel { top: 134.0, bottom: 334.0, most: 8_000.0, end };
    let (step, most) = nice(drain.iter().map(|(_, drain)| *drain).fold(0.0, f64::max));
    let backlog = Panel { top: 388.0, bottom: 558.0, most, end };

    let mut out = head(title, producers);
    out += &stages(seen, &rates, backlog.bottom);
    out += &rates.axes(2_000.0, "records/s, over 1 s; what is above 8,000 is cut off", false);
    for each in sent.into_iter().filter(|_| producers > 1) {
        out += &rates.line("each", each.into_iter());
    }
    out += &rates.line("all", all.into_iter());
    out += &rates.line("done", done.into_iter());
    out += &backlog.axes(step, "backlog, in seconds of the consumer's work", true);
    out += &backlog.line("target", targets);
    out += &backlog.line("backlog", drain.into_iter());
    let _ = writeln!(
        out,
        "<text class=\"middle\" x=\"{:.0}\" y=\"{:.0}\">seconds since the producers began</text>",
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 12.0
    );
    out + "</svg>\n"
}

fn head(title: &str, producers: usize) -> String {
    let key = |x: f64, class: &str, text: &str| {
        format!(
            "<path class=\"{class}\" d=\"M{x} 47H{}\"/><text x=\"{}\" y=\"52\">{text}</text>\n",
            x + 24.0,
            x + 30.0
        )
    };
    let keys = match producers {
        1 => [key(8.0, "done", "handled"), key(118.0, "all", "delivered"), String::new()],
        _ => [
            key(8.0, "done", "handled"),
            key(118.0, "all", "delivered, all producers"),
            key(334.0, "each", "each of them"),
        ],
    };
    let keys = [
        keys.concat(),
        key(474.0, "backlog", "backlog"),
        key(584.0, "target", "target drain time"),
    ];
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n<title>{title}</title>\n<style>\n\
         :root{{--back:#fff;--ink:#1f2328;--grid:#d8dee4;--band:#f3f5f7;--done:#0b6bcb;\
         --all:#c2410c;--each:#e8a87c;--backlog:#6d28d9}}\n\
         @media(prefers-color-scheme:dark){{:root{{--back:#0d1117;--ink:#e6edf3;--grid:#30363d;\
         --band:#161b22;--done:#58a6ff;--all:#ff9d5c;--each:#8a5a3a;--backlog:#c4a1ff}}}}\n\
         text{{font:15px system-ui,sans-serif;fill:var(--ink)}}\
         .name{{font-weight:600;font-size:17px}}.end{{text-anchor:end}}.middle{{text-anchor:middle}}\n\
         path{{fill:none;stroke-width:2;stroke-linejoin:round}}.grid{{stroke:var(--grid);stroke-width:1}}\
         .done{{stroke:var(--done);stroke-width:2.5}}.all{{stroke:var(--all)}}\
         .each{{stroke:var(--each);stroke-width:1.2}}.backlog{{stroke:var(--backlog)}}\
         .target{{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:6 5}}.back{{fill:var(--back)}}\
         .band{{fill:var(--band)}}\n</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"name\" x=\"8\" y=\"24\">{title}</text>\n{}",
        keys.concat()
    )
}

/// Every second stage has a band behind it, and each its name; on two lines in turn, since some are
/// short.
fn stages(seen: &Seen, panel: &Panel, bottom: f64) -> String {
    let mut svg = String::new();
    for (index, stage) in seen.stages.iter().enumerate() {
        let (from, to) = (panel.x(stage.from), panel.x(stage.to));
        if index % 2 == 1 {
            let height = bottom - panel.top;
            let _ = writeln!(
                svg,
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{height}\"/>",
                panel.top,
                to - from
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"middle\" x=\"{:.1}\" y=\"{}\">{}</text>",
            f64::midpoint(from, to),
            if stage.to - stage.from < 10.0 { 84 } else { 104 },
            stage.name
        );
    }
    svg
}

/// How fast a count grows, in records a second.
fn curve(samples: &[&Sample], count: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let rate = |(index, sample): (usize, &&Sample)| {
        let before = samples[..index].iter().rev().find(|s| s.at <= sample.at - SMOOTH)?;
        let rate = (count(sample) - count(before)) / (sample.at - before.at);
        Some((f64::midpoint(before.at, sample.at), rate))
    };
    samples.iter().enumerate().filter_map(rate).collect()
}

/// The backlog at each moment, by what the consumer could do in that stage; without a consumer by
/// what it could do before.
fn drains(seen: &Seen, samples: &[&Sample]) -> Vec<(f64, f64)> {
    let mut drains = Vec::new();
    let mut last = 1.0;
    for stage in &seen.stages {
        let Span { from, to } = stage.span();
        let capacity = seen.capacity(Span { from: (from + to) / 2.0, to });
        if capacity.is_finite() {
            last = capacity;
        }
        let within = samples.iter().filter(|s| (from..to).contains(&s.at));
        drains.extend(within.map(|sample| (sample.at, seen.backlog(sample) / last)));
    }
    drains
}

/// A step for the grid, and the end of the axis.
fn nice(most: f64) -> (f64, f64) {
    let step = [0.5, 1.0, 2.0, 4.0].into_iter().find(|step| most <= step * 5.0).unwrap_or(5.0);
    (step, (most / step).ceil() * step)
}

fn thousands(value: f64) -> String {
    match value as u64 {
        whole if whole >= 1_000 => format!("{},{:03}", whole / 1_000, whole % 1_000),
        _ => format!("{value}"),
    }
}
