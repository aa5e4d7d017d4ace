//! What the tool says.

use std::io::{self, Write};
use std::time::Duration;

use tidegate_sim::Reached;

use crate::search::Totals;

/// Writes the totals and the table.
pub(crate) fn report(
    totals: &Totals,
    elapsed: Duration,
    first: Option<u64>,
    json: bool,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let per_s = |count: u64| count as f64 / elapsed.as_secs_f64().max(1e-9);
    let (schedules, records) = (totals.schedules, totals.records);
    let violations = u32::from(totals.failed.is_some());
    if json {
        let counts = Reached::ALL.iter().map(|r| (r.name(), totals.coverage.count(*r)));
        let counts: Vec<_> = counts.map(|(name, count)| format!("\"{name}\":{count}")).collect();
        let seed = first.map(|seed| format!("\"first_seed\":{seed},")).unwrap_or_default();
        let broken = totals.failed.as_ref().map(|f| format!("{:?}", f.violation.invariant));
        return writeln!(
            out,
            "{{{seed}\"schedules\":{schedules},\"records\":{records},\"wall_s\":{:.3},\"schedules_per_s\":{:.1},\"records_per_s\":{:.1},\"violations\":{violations},\"invariant\":{},\"coverage\":{{{}}}}}",
            elapsed.as_secs_f64(),
            per_s(schedules),
            per_s(records),
            broken.as_deref().unwrap_or("null"),
            counts.join(",")
        );
    }
    if let Some(seed) = first {
        writeln!(out, "first_seed       {seed}")?;
    }
    writeln!(out, "schedules        {schedules}")?;
    writeln!(out, "records          {records}")?;
    writeln!(out, "wall_s           {:.3}", elapsed.as_secs_f64())?;
    writeln!(out, "schedules_per_s  {:.0}", per_s(schedules))?;
    writeln!(out, "records_per_s    {:.0}", per_s(records))?;
    writeln!(out, "violations       {violations}")?;
    writeln!(out, "\n{:>12}  reached", "times")?;
    for reached in Reached::ALL {
        writeln!(out, "{:>12}  {}", totals.coverage.count(*reached), reached.name())?;
    }
    let never: Vec<_> = Reached::ALL.iter().filter(|r| totals.coverage.count(**r) == 0).collect();
    if !never.is_empty() && schedules >= 1_000 {
        let names: Vec<_> = never.iter().map(|r| r.name()).collect();
        writeln!(out, "\nnever reached, a gap to close: {}", names.join(", "))?;
    }
    Ok(())
}
