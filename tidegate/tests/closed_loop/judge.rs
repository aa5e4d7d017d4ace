//! The numbers: throughput, drain times and shares over a span of time.

use crate::consumers::PARTITIONS;
use crate::world::{Capacity, Sample, Seen, Stage};

/// A span of time, in seconds since the producers began.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: f64,
    pub to: f64,
}

impl Stage {
    pub fn span(&self) -> Span {
        Span { from: self.from, to: self.to }
    }

    /// Its last seconds, in which it should have settled.
    pub fn last(&self, seconds: f64) -> Span {
        Span { from: (self.to - seconds).max(self.from), to: self.to }
    }
}

impl Seen {
    pub fn stage(&self, name: &str) -> Stage {
        *self.stages.iter().find(|stage| stage.name == name).unwrap()
    }

    fn within(&self, span: Span) -> &[Sample] {
        let first = self.samples.partition_point(|sample| sample.at < span.from);
        let end = self.samples.partition_point(|sample| sample.at <= span.to);
        let samples = &self.samples[first..end];
        assert!(samples.len() > 1, "nothing was seen in {span:?}");
        samples
    }

    /// What something grew by in a second.
    pub fn rate(&self, span: Span, count: impl Fn(&Sample) -> f64) -> f64 {
        let samples = self.within(span);
        let (first, last) = (&samples[0], &samples[samples.len() - 1]);
        (count(last) - count(first)) / (last.at - first.at)
    }

    /// Records a second that were handled.
    pub fn handled(&self, span: Span) -> f64 {
        self.rate(span, |sample| sample.done() as f64)
    }

    pub fn handled_of(&self, span: Span, partition: usize) -> f64 {
        self.rate(span, |sample| sample.handled[partition] as f64)
    }

    pub fn handled_beside(&self, span: Span, partition: usize) -> f64 {
        let others = (0..PARTITIONS).filter(|other| *other != partition);
        others.map(|other| self.handled_of(span, other)).sum()
    }

    /// Records a second that the consumer could have handled, by what its handlers took just then.
    pub fn capacity(&self, span: Span) -> f64 {
        match self.capacity {
            Capacity::Rate(rate) => rate,
            Capacity::Handlers { permits, busy } => {
                let took = self.rate(span, |sample| sample.busy) / self.handled(span);
                permits * busy / took
            }
        }
    }

    /// What was handled, of what could have been.
    pub fn throughput(&self, span: Span) -> f64 {
        self.handled(span) / self.capacity(span)
    }

    /// Records that were delivered and not handled.
    pub fn backlog(&self, sample: &Sample) -> f64 {
        (self.filled + sample.delivered()).saturating_sub(sample.done()) as f64
    }

    pub fn peak(&self, span: Span) -> f64 {
        self.within(span).iter().map(|sample| self.backlog(sample)).fold(0.0, f64::max)
    }

    pub fn mean_backlog(&self, span: Span) -> f64 {
        mean(self.within(span).iter().map(|sample| self.backlog(sample)))
    }

    /// The drain time as it is: what waits, by what the consumer can do.
    pub fn drain(&self, span: Span) -> f64 {
        self.mean_backlog(span) / self.capacity(span)
    }

    /// The drain time as the gates see it: from commits, and only as often as they ask.
    pub fn drain_seen(&self, span: Span) -> f64 {
        let drains = self.within(span).iter().flat_map(|sample| &sample.producers);
        mean(drains.filter_map(|producer| producer.drain))
    }

    /// The drain time that the gates aim for.
    pub fn target(&self, span: Span) -> f64 {
        mean(self.within(span).iter().flat_map(|sample| &sample.producers).map(|p| p.target))
    }

    /// How long after the stage's beginning the backlog, over two seconds, first was at most so
    /// many records.
    pub fn falls_to(&self, stage: Stage, records: f64) -> Option<f64> {
        let two_seconds = |to: f64| Span { from: to - 2.0, to };
        let ends = self.within(stage.span()).iter().map(|sample| sample.at);
        let ends = ends.filter(|at| *at >= stage.from + 2.0);
        let fell = |at: &f64| self.mean_backlog(two_seconds(*at)) <= records;
        ends.into_iter().find(fell).map(|at| at - stage.from)
    }

    /// How long after the stage's beginning the throughput of ten seconds first was so much.
    pub fn is_busy_from(&self, stage: Stage, throughput: f64) -> Option<f64> {
        let mut starts = self.within(stage.span()).iter().map(|sample| sample.at);
        let ten_seconds = |from: f64| Span { from, to: from + 10.0 };
        let busy =
            |at: &f64| at + 10.0 <= stage.to && self.throughput(ten_seconds(*at)) >= throughput;
        starts.find(busy).map(|at| at - stage.from)
    }

    /// Jain's index of what the producers delivered: 1 if all the same.
    pub fn jain(&self, span: Span) -> f64 {
        let count = self.samples[0].producers.len();
        let share = |n: usize| self.rate(span, |sample| sample.producers[n].delivered as f64);
        let shares: Vec<f64> = (0..count).map(share).collect();
        let sum: f64 = shares.iter().sum();
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        sum * sum / (count as f64 * squares)
    }

    /// The most that all windows together allowed.
    pub fn most_window(&self, span: Span) -> f64 {
        let windows = |sample: &Sample| sample.producers.iter().map(|p| p.window).sum::<u64>();
        self.within(span).iter().map(windows).max().unwrap_or(0) as f64
    }

    /// The partitions in which a gate saw no progress.
    pub fn stuck(&self, span: Span) -> Vec<u32> {
        let producers = self.within(span).iter().flat_map(|sample| &sample.producers);
        let mut stuck: Vec<u32> = producers.flat_map(|p| p.stuck.iter().copied()).collect();
        stuck.sort_unstable();
        stuck.dedup();
        stuck
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    sum / count
}
