//! The report: one page that needs nothing else, for a screen of any width and for paper.

use std::fmt::Write as _;

use tidegate_sim::lab::{Played, Point, Scenario};

use super::svg::{
    AREAS, areas, curve, escaped, grid, mark_lines, marks, most, plot, seconds_label, style,
    tick_label, ticks,
};
use super::text::{COLUMNS, MORE};
use super::verdict::bytes;
use super::words;
use crate::report::grouped;

const PAGE: &str = "\
*{box-sizing:border-box}html{color-scheme:light dark}\
body{margin:0 auto;padding:24px 16px 48px;max-width:1180px;background:var(--ground);\
color:var(--ink);font:15px/1.5 system-ui,sans-serif;overflow-wrap:break-word}\
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 8px}h3{font-size:15px;margin:0}\
p{margin:6px 0;max-width:78ch}.soft{color:var(--soft)}\
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:24px}\
.panel{min-width:0;break-inside:avoid}\
.panel p{font-size:13px;line-height:1.4;color:var(--soft);margin:0}\
.plot{position:relative;margin:30px 8px 26px 62px;height:180px}\
.plot svg{position:absolute;inset:0;width:100%;height:100%}\
.plot span{position:absolute;font-size:12px;line-height:14px;color:var(--soft);white-space:nowrap}\
.plot .y{right:calc(100% + 8px);transform:translateY(50%)}\
.plot .x{top:calc(100% + 6px);transform:translateX(-50%)}\
.plot .x:first-of-type{transform:none}.plot .last{transform:translateX(-100%)}\
.plot .unit{bottom:calc(100% + 12px);right:calc(100% + 8px)}\
.plot .top{bottom:calc(100% + 2px);transform:translateX(-50%)}.plot .dead{color:var(--kill)}\
.key{display:flex;flex-wrap:wrap;gap:4px 18px;margin:10px 0 18px;padding:0;list-style:none;\
font-size:14px}.key i{display:inline-block;width:12px;height:12px;margin-right:6px;\
vertical-align:-1px}.key i.thin{height:3px;vertical-align:4px;width:18px}\
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}\
th,td{text-align:right;padding:5px 6px;border-bottom:1px solid var(--line);vertical-align:top}\
th:first-child{text-align:left}th,td{overflow-wrap:normal}.wide{overflow-x:auto}\
dl{display:grid;grid-template-columns:minmax(90px,max-content) 1fr;gap:4px 16px;margin:8px 0}\
dt{color:var(--soft)}dd{margin:0}\
ol.events{margin:4px 0;padding-left:26px;font-size:14px}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12px/1.5 ui-monospace,monospace;\
border:1px solid var(--line);padding:12px;margin:8px 0}\
@media (max-width:520px){table{font-size:12px}th,td{padding:4px 3px}thead th{font-size:11px}tbody th{width:84px}\
dl{grid-template-columns:1fr}dd{margin-bottom:6px}}\
@media print{*{-webkit-print-color-adjust:exact;print-color-adjust:exact}body{padding:0;\
max-width:none}.panels{grid-template-columns:1fr 1fr}h2{break-after:avoid}\
.plot{height:130px}}";

/// The page.
pub(super) fn page(
    scenario: &Scenario,
    played: &[Played],
    verdicts: &[String],
    source: &str,
) -> String {
    let mut body = head(scenario);
    records(&mut body, scenario, played);
    body.push_str("<h2>What came of it</h2>");
    for (played, verdict) in played.iter().zip(verdicts) {
        let _ = write!(body, "<p><b>{}</b>: {}.</p>", played.strategy, escaped(verdict));
    }
    table(&mut body, played);
    curves(&mut body, scenario, played);
    about(&mut body, scenario, source);
    document(&format!("{}: Tidegate lab", scenario.name), &body)
}

/// A page around this.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{}{PAGE}</style></head><body>{body}</body></html>\n",
        escaped(title),
        style()
    )
}

fn head(scenario: &Scenario) -> String {
    let mut body =
        format!("<h1>{}</h1><p>{}</p>", escaped(&scenario.name), escaped(&scenario.about));
    if !scenario.events.is_empty() {
        body.push_str("<ol class=\"events\">");
        for event in &scenario.events {
            let at = seconds_label(event.at.as_secs_f64());
            let _ = write!(body, "<li>{at}: {}</li>", escaped(&words::change(&event.change)));
        }
        body.push_str("</ol>");
    }
    body
}

fn records(body: &mut String, scenario: &Scenario, played: &[Played]) {
    body.push_str("<h2>Where the records are</h2><ul class=\"key\">");
    for area in AREAS.iter().rev() {
        let _ = write!(body, "<li><i class=\"{}\"></i>{}</li>", area.class, area.name);
    }
    body.push_str("<li><b style=\"color:var(--kill)\">\u{2715}</b> killed for its memory</li>");
    if !scenario.events.is_empty() {
        body.push_str("<li>1, 2, \u{2026} the events above</li>");
    }
    body.push_str("</ul><div class=\"panels\">");
    let ticks = ticks(most(played));
    let top = ticks.last().copied().unwrap_or(1.0);
    for played in played {
        let marks = marks(scenario, played);
        let inside = grid(&ticks) + &areas(scenario, played, top) + &mark_lines(&marks);
        let _ = write!(
            body,
            "<section class=\"panel\"><h3>{}</h3><p>{}/s done, at most {} records and {}</p>",
            played.strategy,
            grouped(played.throughput_per_s.round() as u64),
            grouped(played.peak.total),
            bytes(played.peak.bytes)
        );
        let time = times(scenario);
        body.push_str(&framed(&inside, &ticks, "records", &time, &tops(&marks)));
        body.push_str("</section>");
    }
    body.push_str("</div>");
}

/// Signs above a plot: numbers of events, and kills. An event that is too near to the one before it
/// has its line alone.
fn tops((events, kills): &(Vec<f64>, Vec<f64>)) -> String {
    let mut text = String::new();
    let mut last = f64::NEG_INFINITY;
    for (number, at) in (1..).zip(events) {
        let hidden = kills.iter().any(|kill| (kill - at).abs() < 0.05);
        if at - last >= 0.06 && !hidden {
            let _ = write!(
                text,
                "<span class=\"top\" style=\"left:{:.2}%\">{number}</span>",
                at * 100.0
            );
            last = *at;
        }
    }
    for at in kills {
        let left = at * 100.0;
        let _ = write!(text, "<span class=\"top dead\" style=\"left:{left:.2}%\">\u{2715}</span>");
    }
    text
}

/// The labels of the time axis, with where they are from 0 to 1.
fn times(scenario: &Scenario) -> Vec<(f64, String)> {
    let end = scenario.duration.as_secs_f64();
    (0..=4).map(|n| f64::from(n) / 4.0).map(|part| (part, seconds_label(end * part))).collect()
}

/// A plot with its labels.
pub(super) fn framed(
    inside: &str,
    ticks: &[f64],
    unit: &str,
    labels: &[(f64, String)],
    above: &str,
) -> String {
    let top = ticks.last().copied().unwrap_or(1.0);
    let mut text = String::from("<div class=\"plot\">");
    for (number, (at, label)) in labels.iter().enumerate() {
        let class = if number + 1 == labels.len() { "x last" } else { "x" };
        let _ = write!(
            text,
            "<span class=\"{class}\" style=\"left:{:.2}%\">{}</span>",
            at * 100.0,
            escaped(label)
        );
    }
    text.push_str(&plot("", inside));
    for tick in ticks {
        let label = tick_label(*tick, top);
        let _ = write!(
            text,
            "<span class=\"y\" style=\"bottom:{:.2}%\">{label}</span>",
            tick / top * 100.0
        );
    }
    let _ = write!(text, "<span class=\"unit\">{unit}</span>{above}</div>");
    text
}

fn table(body: &mut String, played: &[Played]) {
    body.push_str("<div class=\"wide\"><table><thead><tr><th></th>");
    for played in played {
        // A long name may break behind its signs.
        let name = played.strategy.to_string().replace(':', ":<wbr>").replace('-', "-<wbr>");
        let _ = write!(body, "<th>{name}</th>");
    }
    body.push_str("</tr></thead><tbody>");
    let rows = COLUMNS.iter().map(|(_, title, cell)| (*title, *cell)).chain(MORE);
    for (title, cell) in rows {
        let _ = write!(body, "<tr><th>{title}</th>");
        for played in played {
            let _ = write!(body, "<td>{}</td>", cell(played));
        }
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table></div>");
}

/// A title, the unit, and what is drawn.
type Chart = (&'static str, &'static str, fn(&Point) -> Option<f64>);

fn curves(body: &mut String, scenario: &Scenario, played: &[Played]) {
    body.push_str("<h2>How old they are, and how fast they are done</h2><ul class=\"key\">");
    for (number, played) in played.iter().enumerate() {
        let class = number % 6;
        let _ = write!(body, "<li><i class=\"thin s{class}\"></i>{}</li>", played.strategy);
    }
    body.push_str("</ul><div class=\"panels\">");
    let charts: [Chart; 3] = [
        ("Age when done, half of them", "seconds", |p| p.age_p50_s),
        ("Age when done, the oldest hundredth", "seconds", |p| p.age_p99_s),
        ("Done in a second", "records/s", |p| Some(p.finished_per_s)),
    ];
    let end = scenario.duration.as_secs_f64();
    for (title, unit, of) in charts {
        let values = played.iter().flat_map(|played| &played.series).filter_map(of);
        let ticks = ticks(values.fold(0.0, f64::max));
        let top = ticks.last().copied().unwrap_or(1.0);
        let mut inside = grid(&ticks);
        for (number, played) in played.iter().enumerate() {
            let points = played.series.iter().map(|p| Some((p.at_s / end, of(p)? / top)));
            inside.push_str(&curve(&format!("s{}", number % 6), points));
        }
        let _ = write!(body, "<section class=\"panel\"><h3>{title}</h3>");
        body.push_str(&framed(&inside, &ticks, unit, &times(scenario), ""));
        body.push_str("</section>");
    }
    body.push_str("</div>");
}

fn about(body: &mut String, scenario: &Scenario, source: &str) {
    body.push_str("<h2>The scenario</h2><dl>");
    for (name, value) in words::facts(scenario) {
        let _ = write!(body, "<dt>{}</dt><dd>{}</dd>", escaped(&name), escaped(&value));
    }
    let _ = write!(body, "</dl><pre>{}</pre>", escaped(source.trim_end()));
}
