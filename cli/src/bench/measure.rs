//! What a benchmark measures, and how its line looks.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::Serialize;

use crate::exit::Failure;
use crate::kafka::{Admin, Observer};
use crate::settings::{Connection, OutputArgs};

/// A moment, and the processor time that this process had used by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    at: Instant,
    cpu: Duration,
}

impl Mark {
    /// Now.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), cpu: usage().map_or(Duration::ZERO, |usage| cpu(&usage)) }
    }

    /// `at`, with the processor time of now: for an end that is known only a little later.
    pub(crate) fn now_but_at(at: Instant) -> Self {
        Self { at, ..Self::now() }
    }

    /// Wall time and processor time since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> (Duration, Duration) {
        (self.at.saturating_duration_since(earlier.at), self.cpu.saturating_sub(earlier.cpu))
    }
}

fn usage() -> Option<Usage> {
    getrusage(UsageWho::RUSAGE_SELF).ok()
}

/// User and system time.
fn cpu(usage: &Usage) -> Duration {
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000
            + u64::try_from(time.tv_usec()).unwrap_or(0)
    };
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// The most memory this process has had so far, in MiB.
fn max_rss_mb() -> f64 {
    // The unit differs between systems.
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1_024.0 };
    usage().map_or(0.0, |usage| usage.max_rss() as f64 * unit / f64::from(1 << 20))
}

/// The line of a benchmark, its fields in this order.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    peer: &'static str,
    topic: &'a str,
    ordering: &'static str,
    concurrency: u32,
    work_us: u64,
    records: u64,
    wall_s: f64,
    records_per_s: f64,
    cpu_s: f64,
    max_rss_mb: f64,
    peak_in_flight: u64,
    committed: i64,
}

/// What was measured how.
pub(crate) struct Measured<'a> {
    /// Who consumed.
    pub(crate) peer: &'static str,
    /// What.
    pub(crate) topic: &'a str,
    /// In which order.
    pub(crate) ordering: &'static str,
    /// How many at once at most.
    pub(crate) concurrency: u32,
    /// How long a handler sleeps.
    pub(crate) work: Duration,
    /// How many records were handled.
    pub(crate) records: u64,
    /// The first one received and the last one handled; none if there was none.
    pub(crate) span: Option<(Mark, Mark)>,
    /// How many were handled at once.
    pub(crate) peak_in_flight: u64,
    /// The sum of the committed offsets.
    pub(crate) committed: i64,
}

impl Measured<'_> {
    /// Writes the line to standard output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn print(&self, output: &OutputArgs) -> Result<(), Failure> {
        let (wall, cpu) =
            self.span.map_or((Duration::ZERO, Duration::ZERO), |(from, to)| to.since(&from));
        let wall_s = wall.as_secs_f64();
        let rate = if wall_s > 0.0 { self.records as f64 / wall_s } else { 0.0 };
        let line = Line {
            peer: self.peer,
            topic: self.topic,
            ordering: self.ordering,
            concurrency: self.concurrency,
            work_us: u64::try_from(self.work.as_micros()).unwrap_or(u64::MAX),
            records: self.records,
            wall_s: rounded(wall_s, 6),
            records_per_s: rounded(rate, 1),
            cpu_s: rounded(cpu.as_secs_f64(), 6),
            max_rss_mb: rounded(max_rss_mb(), 1),
            peak_in_flight: self.peak_in_flight,
            committed: self.committed,
        };
        if output.json_on_stdout() {
            return print_json(&line);
        }
        print(&format!(
            "{}: {} records in {:.3} s: {:.0} records/s; CPU {:.3} s, peak memory {:.1} MiB, peak \
             in flight {}, committed {}",
            line.peer,
            line.records,
            line.wall_s,
            line.records_per_s,
            line.cpu_s,
            line.max_rss_mb,
            line.peak_in_flight,
            line.committed
        ))
    }
}

/// `number` with so many digits behind the point.
pub(crate) fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

/// Writes a JSON line to standard output.
pub(crate) fn print_json(line: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(line).map_err(|error| Failure::Failed(error.to_string()))?;
    print(&text)
}

/// Writes a line to standard output.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    let written = writeln!(std::io::stdout().lock(), "{line}");
    written.map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))
}

/// A group for one measurement.
pub(crate) struct BenchGroup {
    name: String,
    ours: bool,
}

impl BenchGroup {
    /// The given group, or one with a name of its own, which is deleted afterwards.
    pub(crate) fn new(given: Option<&str>) -> Self {
        if let Some(name) = given {
            return Self { name: name.to_owned(), ours: false };
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("tidegate-bench-{}-{}", std::process::id(), since.as_nanos());
        Self { name, ours: true }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads back what it committed in `topic`, and deletes it if it was made for this.
    ///
    /// # Errors
    /// When the cluster refuses, or does not answer.
    pub(crate) async fn finish(
        &self,
        connection: &Connection,
        topic: &str,
    ) -> Result<i64, Failure> {
        let observer = Observer::new(connection, &self.name)?;
        let committed = tokio::task::block_in_place(|| observer.committed(topic))?;
        if self.ours {
            Admin::new(connection)?.delete_group(&self.name).await?;
        }
        Ok(committed)
    }
}
