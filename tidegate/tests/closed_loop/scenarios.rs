//! What happens, and what is looked at.

use std::time::Duration;

use tidegate::Ordering;

use crate::consumers::{PARTITIONS, Plain, Worker};
use crate::judge::Span;
use crate::producers::Policy;
use crate::report::{Range, Report};
use crate::world::{Seen, Stage, World};
use crate::{long, seconds};

/// The target drain time, the default.
const TARGET: f64 = 2.0;
const PERMITS: u32 = 100;
/// A timer is late by about a millisecond: 100 handlers make 5,000 and 2,000 records a second.
const FAST: Duration = Duration::from_millis(19);
const SLOW: Duration = Duration::from_millis(49);
/// What each producer would send in a second.
const WANTED: u64 = 10_000;

const THROUGHPUT: (Range, Range) = (Range::at_least(0.98), Range::at_least(0.9));
const DRAIN: (Range, Range) = (Range::seconds(1.8, 2.2), Range::seconds(1.0, 4.0));
const JAIN: (Range, Range) = (Range::at_least(0.97), Range::at_least(0.7));
const FIRST_WAIT: Range = Range::seconds(0.0, 3.0);
const WAIT: &str = "overload to the last producer's first wait";

/// A consumer of 5,000/s that drops to 2,000/s, recovers, is restarted, and is stopped for good.
pub fn life_of_a_consumer(producers: u64) -> Report {
    let topic = ["loop-1", "loop-2", "loop-4"][producers.ilog2() as usize];
    let mut world = World::new(topic);
    let start = |world: &World| {
        Worker::start(World::bootstrap(), topic, Ordering::Key, PERMITS, &world.work)
    };
    world.work.set_sleep(FAST);
    world.set_consumer(start(&world));
    world.calibrate(seconds(10_000, 40_000) as u64, PERMITS);
    world.begin(producers, Policy::Wait);
    world.enter("calm");
    world.want(4_000 / producers);
    world.live(seconds(2, 8));
    world.enter("5,000/s");
    world.want(WANTED);
    world.live(seconds(10, 20));
    let first_wait = longest_until_first_wait(&world);
    world.enter("2,000/s");
    world.work.set_sleep(SLOW);
    world.live(seconds(8, 20));
    if long() {
        world.enter("5,000/s again");
        world.work.set_sleep(FAST);
        world.live(15.0);
    }
    world.enter("away");
    world.work.set_sleep(FAST);
    world.stop_consumer();
    world.live(seconds(2, 3));
    world.set_consumer(start(&world));
    world.wait_handling();
    world.enter("back");
    world.live(seconds(6, 15));
    world.enter("stopped");
    world.stop_consumer();
    world.live(seconds(4, 15));
    let seen = world.end();
    judge_life(producers, first_wait, seen)
}

fn judge_life(producers: u64, first_wait: f64, seen: Seen) -> Report {
    let title = match producers {
        1 => "1 producer that would send 10,000/s".to_owned(),
        _ => format!("{producers} producers that would send 10,000/s each"),
    };
    let name = ["1-producer", "2-producers", "4-producers"][producers.ilog2() as usize];
    let mut report = Report::new(name, title, seen);
    report.goal(WAIT, FIRST_WAIT, FIRST_WAIT, first_wait);
    let settled = seconds(4, 10);
    let slow = report.seen.stage("2,000/s");
    for stage in ["5,000/s", "2,000/s", "5,000/s again", "back"] {
        if report.seen.stages.iter().any(|s| s.name == stage) {
            let stage = report.seen.stage(stage);
            judge_settled(&mut report, stage, stage.last(settled));
        }
    }
    let rate = report.seen.capacity(slow.last(settled));
    let peak = report.seen.peak(slow.span());
    let times_target = |times: f64| Range::records((times * TARGET * rate).round());
    report.goal("backlog after the step, peak", times_target(3.2), times_target(3.8), peak);
    if long() {
        let fallen = report.seen.falls_to(slow, 1.1 * TARGET * rate).unwrap_or(f64::INFINITY);
        let (goal, bound) = (Range::seconds(0.0, 10.0), Range::seconds(0.0, f64::INFINITY));
        report.goal("the step to within 10 % of the target", goal, bound, fallen);
        let again = report.seen.stage("5,000/s again");
        let lost = report.seen.throughput(again.span());
        report.fact("throughput from the recovery on", format!("{lost:.3}"));
    }
    judge_stop(&mut report, producers);
    report
}

fn judge_settled(report: &mut Report, stage: Stage, span: Span) {
    let (seen, name) = (&report.seen, stage.name);
    let (can, does) = (seen.capacity(span), seen.throughput(span));
    let (drain, known) = (seen.drain(span), seen.drain_seen(span));
    let shares = seen.jain(stage.span());
    report.fact(&format!("{name}: the consumer can do"), format!("{can:.0}/s"));
    report.goal(&format!("{name}: throughput of that"), THROUGHPUT.0, THROUGHPUT.1, does);
    report.goal(&format!("{name}: drain time"), DRAIN.0, DRAIN.1, drain);
    report.fact(&format!("{name}: drain time as the gates see it"), format!("{known:.2} s"));
    if report.producers() > 1 {
        report.goal(&format!("{name}: shares (Jain)"), JAIN.0, JAIN.1, shares);
    }
}

fn judge_stop(report: &mut Report, producers: u64) {
    let seen = &report.seen;
    let (away, back) = (seen.stage("away"), seen.stage("back"));
    let restart = seen.peak(away.span()) / seen.capacity(back.last(5.0));
    let stopped = seen.stage("stopped");
    let sent = seen.rate(stopped.span(), |s| s.delivered() as f64) * (stopped.to - stopped.from);
    let peak = seen.peak(stopped.span());
    // The floor rate, 1 a second for each producer, comes on top after 10 s.
    let floor = producers as f64 * (stopped.to - stopped.from - 10.0).max(0.0);
    let windows = seen.most_window(stopped.span()) + floor;
    let end = seen.rate(stopped.last(4.0), |s| s.delivered() as f64) * 4.0;
    report.fact("while away: work that waits, peak", format!("{restart:.2} s"));
    report.fact("stopped: still sent", format!("{sent:.0}"));
    let (goal, bound) = (Range::records(windows), Range::records(windows + 200.0));
    report.goal("stopped: backlog, peak, within all windows", goal, bound, peak);
    if long() {
        // By then what the last commits released was sent, and the grace time is over. One record
        // more may fall into the span.
        let most = Range::records(5.0 * producers as f64);
        report.goal("stopped: sent in the last 4 s, at 1/s each", most, most, end);
    }
}

/// A consumer that commits every 5 s, and is not Tidegate's.
pub fn plain_consumer() -> Report {
    const RATE: f64 = 5_000.0;
    let mut world = World::new("loop-plain");
    world.set_consumer(Plain::start(World::bootstrap(), world.topic, RATE, &world.work));
    world.assume(30_000, RATE);
    world.begin(2, Policy::Wait);
    world.enter("5,000/s");
    world.want(WANTED);
    world.live(120.0);
    let first_wait = longest_until_first_wait(&world);
    let seen = world.end();
    let title = "2 producers and a plain consumer that commits every 5 s";
    let mut report = Report::new("plain-consumer", title, seen);
    report.goal(WAIT, FIRST_WAIT, FIRST_WAIT, first_wait);
    let (whole, seen) = (report.seen.stage("5,000/s"), &report.seen);
    let span = whole.last(60.0);
    let (target, throughput, drain) = (seen.target(span), seen.throughput(span), seen.drain(span));
    let (known, jain, peak) = (seen.drain_seen(span), seen.jain(span), seen.peak(span) / RATE);
    let busy = seen.is_busy_from(whole, 0.98).unwrap_or(f64::INFINITY);
    report.fact("until the consumer had enough to do", format!("{busy:.0} s"));
    report.fact("then: the target, raised for the commits", format!("{target:.2} s"));
    report.goal("then: throughput of 5,000/s", THROUGHPUT.0, THROUGHPUT.1, throughput);
    let part = |low: f64, high: f64| {
        let round = |value: f64| (value * 100.0).round() / 100.0;
        Range::seconds(round(target * low), round(target * high))
    };
    report.goal("then: drain time", part(0.9, 1.1), part(0.6, 1.4), drain);
    report.fact("then: drain time, peak", format!("{peak:.2} s"));
    report.fact("then: drain time as the gates see it", format!("{known:.2} s"));
    report.goal("then: shares (Jain)", JAIN.0, JAIN.1, jain);
    report
}

/// In partition order what is behind the record waits, and the other partitions go on.
pub fn poison_by_partition() -> Report {
    // One at a time in each partition: 12 handlers of about 2 ms.
    let sleep = Duration::from_millis(1);
    let seen = poison("loop-poison", Ordering::Partition, PARTITIONS as u32, sleep);
    let title = "A record that never ends, in partition order";
    let mut report = Report::new("poison-by-partition", title, seen);
    judge_poison(&mut report);
    report
}

/// In key order nothing waits for the record but its own key.
pub fn poison_by_key() -> Report {
    let seen = poison("loop-poison-key", Ordering::Key, PERMITS, FAST);
    let title = "A record that never ends, in key order";
    let mut report = Report::new("poison-by-key", title, seen);
    judge_poison(&mut report);
    report
}

fn poison(topic: &'static str, ordering: Ordering, permits: u32, sleep: Duration) -> Seen {
    let mut world = World::new(topic);
    world.work.set_sleep(sleep);
    let worker = Worker::start(World::bootstrap(), topic, ordering, permits, &world.work);
    world.set_consumer(worker);
    world.calibrate(30_000, permits);
    world.begin(2, Policy::ShedByPartition);
    world.enter("before");
    world.want(WANTED);
    world.live(20.0);
    world.enter("behind the record");
    world.poison();
    world.live(30.0);
    world.end()
}

fn judge_poison(report: &mut Report) {
    let seen = &report.seen;
    // What was in front of the record is worked off first.
    let (before, after) =
        (seen.stage("before").last(10.0), seen.stage("behind the record").last(20.0));
    let (eleven, alone) = (seen.handled_beside(before, 0), seen.handled_beside(after, 0));
    let (first, then) = (seen.handled_of(before, 0), seen.handled_of(after, 0));
    let (throughput, known) = (seen.throughput(before), seen.drain_seen(after));
    let (stuck, shed) = (seen.stuck(after), seen.samples.last().map(|s| s.producers[0].shed));
    report.goal("throughput before", THROUGHPUT.0, THROUGHPUT.1, throughput);
    report.fact("the eleven others, before and after", format!("{eleven:.0}/s, {alone:.0}/s"));
    let (goal, bound) = (Range::at_least(0.95), Range::at_least(0.85));
    report.goal("the eleven others keep of their rate", goal, bound, alone / eleven);
    report.fact("its own partition, before and after", format!("{first:.0}/s, {then:.0}/s"));
    report.fact("partitions that the gates name as stuck", format!("{stuck:?}"));
    report.fact("shed by the first producer", format!("{}", shed.unwrap_or(0)));
    report.goal("drain time of what moves, as the gates see it", DRAIN.0, DRAIN.1, known);
}

/// How long it took from the moment at which the producers wanted more than there was until each of
/// them had waited.
fn longest_until_first_wait(world: &World) -> f64 {
    let waits = world.senders.iter().map(|sender| sender.first_wait());
    waits.map(|wait| wait.unwrap_or(f64::INFINITY)).fold(0.0, f64::max)
}
