//! The metrics of a run, each with where its number comes from.

use tidegate::{Config, ConsumerSnapshot, PartitionStatus};

use super::Metric;
use super::lags::Lags;

/// Everything at a moment.
pub(super) struct Now {
    pub(super) snapshot: ConsumerSnapshot,
    pub(super) config: Config,
}

pub(super) type Number = (Metric, fn(&Now) -> f64);

/// One number each, of the whole consumer.
pub(super) const NUMBERS: [Number; 26] = [
    (Metric::gauge("tidegate_limit_records", "How many records may be in flight."), |now| {
        now.snapshot.engine.limit.into()
    }),
    (Metric::gauge("tidegate_in_flight_records", "Records whose handler runs."), |now| {
        now.snapshot.engine.in_flight.into()
    }),
    (Metric::gauge("tidegate_queued_records", "Records admitted and waiting."), |now| {
        now.snapshot.engine.queued.into()
    }),
    (
        Metric::gauge("tidegate_ready_records", "Queued records that only wait for a permit."),
        |now| now.snapshot.engine.ready.into(),
    ),
    (
        Metric::gauge(
            "tidegate_backing_off_records",
            "Queued records that wait for a next attempt.",
        ),
        |now| now.snapshot.engine.backing_off.into(),
    ),
    (
        Metric::gauge("tidegate_writing_records", "Records whose dead letter is being written."),
        |now| now.snapshot.engine.writing.into(),
    ),
    (
        Metric::gauge(
            "tidegate_admitted_bytes",
            "Keys, values and headers of the admitted records.",
        ),
        |now| now.snapshot.engine.bytes as f64,
    ),
    (Metric::gauge("tidegate_budget_bytes", "How many bytes may be admitted."), |now| {
        now.config.max_bytes as f64
    }),
    (Metric::gauge("tidegate_budget_queued_records", "How many records may be queued."), |now| {
        now.config.max_queued.into()
    }),
    (
        Metric::gauge("tidegate_busy_keys", "Keys, or partitions, that hold up their successors."),
        |now| now.snapshot.engine.busy_lanes as f64,
    ),
    (
        Metric::gauge("tidegate_commits_stalled", "1 while nothing is read because commits fail."),
        |now| f64::from(u8::from(now.snapshot.engine.commits_stalled)),
    ),
    (
        Metric::gauge("tidegate_uncommitted_records", "Finished and not known to be committed."),
        |now| now.snapshot.uncommitted as f64,
    ),
    (Metric::gauge("tidegate_assigned_partitions", "Partitions that this member has."), |now| {
        now.snapshot.partitions.len() as f64
    }),
    (Metric::counter("tidegate_admitted_records_total", "Records taken from the topics."), |now| {
        now.snapshot.engine.counters.admitted as f64
    }),
    (Metric::counter("tidegate_done_records_total", "Records finished as done."), |now| {
        now.snapshot.engine.counters.done as f64
    }),
    (Metric::counter("tidegate_skipped_records_total", "Records finished as skipped."), |now| {
        now.snapshot.engine.counters.skipped as f64
    }),
    (
        Metric::counter(
            "tidegate_given_up_records_total",
            "Records given up after their last attempt.",
        ),
        |now| now.snapshot.engine.counters.given_up as f64,
    ),
    (
        Metric::counter(
            "tidegate_dead_lettered_records_total",
            "Records whose dead letter is acknowledged.",
        ),
        |now| now.snapshot.engine.counters.dead_lettered as f64,
    ),
    (
        Metric::counter(
            "tidegate_already_finished_records_total",
            "Records read that an earlier commit names as finished.",
        ),
        |now| now.snapshot.engine.counters.already_finished as f64,
    ),
    (
        Metric::counter(
            "tidegate_held_records_total",
            "Times that a record had no credit for its dead letter.",
        ),
        |now| now.snapshot.engine.counters.held as f64,
    ),
    (Metric::counter("tidegate_started_attempts_total", "Attempts that were started."), |now| {
        now.snapshot.engine.counters.started as f64
    }),
    (
        Metric::counter(
            "tidegate_failed_attempts_total",
            "Attempts that failed, time-outs included.",
        ),
        |now| now.snapshot.engine.counters.failed as f64,
    ),
    (
        Metric::counter(
            "tidegate_timed_out_attempts_total",
            "Attempts that were cancelled because they ran too long.",
        ),
        |now| now.snapshot.engine.counters.timed_out as f64,
    ),
    (
        Metric::counter(
            "tidegate_overloaded_attempts_total",
            "Attempts that the target answered with overload.",
        ),
        |now| now.snapshot.engine.counters.overloaded as f64,
    ),
    (
        Metric::counter("tidegate_panicked_attempts_total", "Attempts whose handler panicked."),
        |now| now.snapshot.panics as f64,
    ),
    (
        Metric::counter(
            "tidegate_dropped_ranges_total",
            "Finished ranges that did not fit into a commit.",
        ),
        |now| now.snapshot.engine.counters.dropped_ranges as f64,
    ),
];

pub(super) const HANDLER: Metric = Metric::histogram(
    "tidegate_handler_seconds",
    "How long an attempt took, cancelled ones included.",
);

pub(super) type OfPartition = (Metric, fn(&Lags, &PartitionStatus) -> Option<f64>);

/// One number each, of every partition that this member has.
pub(super) const PARTITIONS: [OfPartition; 7] = [
    (
        Metric::gauge(
            "tidegate_lag_records",
            "Records from the first unfinished one to the end of the log.",
        ),
        |lags, status| lags.records(status).map(|records| records as f64),
    ),
    (
        Metric::gauge(
            "tidegate_lag_seconds",
            "The age of the first unfinished record; 0 if there is none.",
        ),
        |lags, status| lags.seconds(status),
    ),
    (
        Metric::gauge("tidegate_committed_offset", "The committed offset, as far as known."),
        |_, status| status.numbers.committed.map(|offset| offset.0 as f64),
    ),
    (Metric::gauge("tidegate_position_offset", "The next offset to read."), |_, status| {
        status.numbers.position.map(|offset| offset.0 as f64)
    }),
    (
        Metric::gauge("tidegate_partition_unfinished_records", "Records read and not finished."),
        |_, status| Some(status.numbers.unfinished.into()),
    ),
    (
        Metric::gauge(
            "tidegate_partition_in_flight_records",
            "Records whose handler runs, by partition.",
        ),
        |_, status| Some(status.numbers.in_flight.into()),
    ),
    (
        Metric::gauge(
            "tidegate_partition_stopped",
            "1 if nothing more of the partition is processed.",
        ),
        |_, status| Some(f64::from(u8::from(status.stopped.is_some()))),
    ),
];

#[cfg(test)]
pub(super) fn all() -> Vec<Metric> {
    let numbers = NUMBERS.iter().map(|(metric, _)| *metric);
    let partitions = PARTITIONS.iter().map(|(metric, _)| *metric);
    numbers.chain([HANDLER]).chain(partitions).collect()
}

#[cfg(test)]
mod tests {
    use super::super::gates;

    #[test]
    fn the_reference_has_every_metric_with_its_kind_and_meaning_and_no_other() {
        let reference = include_str!("../../../docs/metrics.md");
        let row = |line: &str| {
            let line = line.strip_prefix("| `tidegate_")?;
            Some(format!("| `tidegate_{line}"))
        };
        let mut written: Vec<_> = reference.lines().filter_map(row).collect();
        let ingest = crate::ingest::metrics();
        let all = super::all().into_iter().chain(gates::all()).chain(ingest);
        let mut served: Vec<_> = all
            .map(|metric| {
                let (kind, help) = (metric.kind.name(), metric.help);
                format!("| `{}` | {kind} | {help} |", metric.name)
            })
            .collect();
        written.sort_unstable();
        served.sort_unstable();
        assert_eq!(written, served);
    }

    #[test]
    fn names_end_with_their_unit_and_counters_with_total() {
        let all = super::all().into_iter().chain(gates::all()).chain(crate::ingest::metrics());
        for metric in all {
            let counter = metric.kind == crate::admin::text::Kind::Counter;
            assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\\', '\n', '|']));
        }
    }
}
