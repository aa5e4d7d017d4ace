//! What the producers with a gate are like in a run: how many, how their gates are set, what happens
//! to them and to their probes.

use std::time::Duration;

use tidegate_engine::gate::{GateConfig, WhenShut, Window};
use tidegate_engine::{Backoff, Ordering};

use super::plan::{MILLI, Plan, SECOND, Service, rate};
use crate::Tape;
use crate::checkers::Loop;

/// Nobody has a gate, unless it is drawn.
#[derive(Debug, Default)]
pub(super) struct GatePlan {
    pub(super) producers: u32,
    /// How many records each of them wants to send, when everything is done once more so many, and
    /// how many are left for whoever writes without a gate.
    pub(super) quota: u32,
    pub(super) encore: u32,
    pub(super) ungated: u32,
    pub(super) config: GateConfig,
    /// What becomes of what is sent.
    pub(super) batch_fail_per_mille: u32,
    pub(super) too_large_per_mille: u32,
    pub(super) untracked_per_mille: u32,
    pub(super) late_per_mille: u32,
    pub(super) answer_lost_per_mille: u32,
    pub(super) cancel_per_mille: u32,
    /// What happens in the chaos.
    pub(super) crash_per_mille: u32,
    pub(super) outage_per_mille: u32,
    pub(super) rate_per_mille: u32,
    pub(super) probe: ProbePlan,
    pub(super) plain: PlainPlan,
    /// The run is one of few faults and much time, to see what the loop settles at.
    pub(super) loops: Option<LoopPlan>,
}

/// What happens to probes.
#[derive(Debug, Default)]
pub(super) struct ProbePlan {
    pub(super) lost_per_mille: u32,
    pub(super) late_per_mille: u32,
    pub(super) failed_per_mille: u32,
    pub(super) partial_per_mille: u32,
    pub(super) twice_per_mille: u32,
    /// It is down for a while.
    pub(super) down_per_mille: u32,
}

/// Another group that the gates follow: one that commits plain offsets, without finished ranges.
#[derive(Debug, Default)]
pub(super) struct PlainPlan {
    pub(super) begins: u64,
    pub(super) reads_every: u64,
    pub(super) reads_most: u32,
    pub(super) commits_every: u64,
    pub(super) back_per_mille: u32,
    pub(super) poison_per_mille: u32,
}

/// A run of the closed loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoopPlan {
    /// Records that each producer wants to send in 1,000 s.
    pub(super) wants_per_1000_s: u64,
    pub(super) overloaded: bool,
    /// The last producer begins so long after the faults have stopped.
    pub(super) joins_after: Option<u64>,
    /// Between these times, from when the faults have stopped, it is watched.
    pub(super) watch: (u64, u64),
}

impl GatePlan {
    /// Draws it for the rest of a plan. The first choice, none, reads three bytes.
    pub(super) fn draw(plan: &mut Plan, tape: &mut Tape) {
        let is_loop = tape.chance(2);
        let producers = tape.below(8).saturating_sub(4);
        plan.gates.ungated = plan.records;
        if is_loop {
            plan.gates = Self::faults(1 + tape.below(16), tape);
            draw_loop(plan, tape);
        } else if producers > 0 {
            plan.gates = Self::faults(producers, tape);
            plan.gates.config = config(tape);
            plan.gates.encore = tape.between(1, 8);
            let with_ungated = producers + tape.below(2);
            plan.gates.quota = plan.records / with_ungated;
            plan.gates.ungated = plan.records - plan.gates.quota * producers;
        }
    }

    fn faults(producers: u32, tape: &mut Tape) -> Self {
        let milli = |n: u32| u64::from(n) * MILLI;
        Self {
            producers,
            batch_fail_per_mille: rate(tape, 300),
            too_large_per_mille: rate(tape, 100),
            untracked_per_mille: rate(tape, 100),
            late_per_mille: rate(tape, 300),
            answer_lost_per_mille: rate(tape, 100),
            cancel_per_mille: rate(tape, 200),
            crash_per_mille: rate(tape, 200),
            outage_per_mille: rate(tape, 100),
            rate_per_mille: rate(tape, 100),
            probe: ProbePlan {
                lost_per_mille: rate(tape, 500),
                late_per_mille: rate(tape, 500),
                failed_per_mille: rate(tape, 300),
                partial_per_mille: rate(tape, 300),
                twice_per_mille: rate(tape, 200),
                down_per_mille: rate(tape, 200),
            },
            plain: PlainPlan {
                begins: milli(tape.pick(&[0, 0, 500, 4_000])),
                reads_every: milli(tape.pick(&[50, 20, 200])),
                reads_most: tape.pick(&[600, 1, 5, 50]),
                commits_every: milli(tape.pick(&[100, 1_000, 5_000])),
                back_per_mille: rate(tape, 300),
                poison_per_mille: rate(tape, 300),
            },
            ..Self::default()
        }
    }
}

fn config(tape: &mut Tape) -> GateConfig {
    let milli = |n: u32| Duration::from_millis(n.into());
    let open = milli(tape.pick(&[1_000, 100]));
    GateConfig {
        groups: tape.pick(&[1, 1, 2]),
        window: match tape.below(6) {
            5 => Window::Fixed(8 + u64::from(tape.below(40))),
            _ => Window::Adaptive,
        },
        target: milli(tape.pick(&[2_000, 100, 300, 1_000])),
        initial_window: tape.pick(&[1_000, 1, 4, 20, 100]),
        probe_interval: milli(tape.pick(&[500, 50, 100, 200])),
        grace: milli(tape.pick(&[10_000, 0, 300, 1_000])),
        floor_rate: tape.pick(&[1, 0, 10, 100]),
        rate: tape.pick(&[None, None, Some(100), Some(1_000)]),
        breaker_failures: tape.pick(&[10, 1, 3]),
        breaker_open: Backoff { initial: open, max: open * tape.pick(&[1, 4]) },
        breaker_probes: tape.pick(&[3, 1, 2]),
        when_shut: WhenShut::Refuse,
        seed: tape.byte().into(),
    }
}

/// The consumers get a speed that is known, and producers that want more than that, or half of it.
/// What breaks until the calm stays, but for what changes the speed for good.
fn draw_loop(plan: &mut Plan, tape: &mut Tape) {
    // One member: with several, each has only its own partitions, and what one does not get the
    // others cannot do.
    plan.members = 1;
    plan.partitions = tape.between(1, 6);
    plan.config.ordering = tape.pick(&[Ordering::Key, Ordering::None]);
    plan.config.max_in_flight = 8;
    plan.config.max_queued = 256;
    plan.config.max_bytes = 1_000_000;
    plan.config.max_window = 100_000;
    plan.config.metadata_max_bytes = 4_096;
    plan.keyless_per_mille = 1_000;
    plan.large_per_mille = 0;
    plan.gap_per_mille = 0;
    plan.add_partition_per_mille = 0;
    plan.limit_per_mille = 0;
    plan.service = Service::Constant;
    plan.service_mean = MILLI * u64::from(tape.pick(&[20u32, 16, 10]));
    plan.produce_every = 20 * MILLI;
    let overloaded = tape.below(4) < 3;
    let joins = overloaded && plan.gates.producers > 1 && tape.below(2) == 1;
    let speed = plan.loop_speed();
    let gates = &mut plan.gates;
    let of_all = 500 * speed / u64::from(gates.producers);
    gates.ungated = 0;
    gates.rate_per_mille = 0;
    gates.loops = Some(LoopPlan {
        wants_per_1000_s: if overloaded { 2_000 * speed } else { of_all },
        overloaded,
        joins_after: joins.then_some(45 * SECOND),
        watch: if joins { (105 * SECOND, 135 * SECOND) } else { (60 * SECOND, 100 * SECOND) },
    });
    gates.config = GateConfig { seed: tape.byte().into(), ..GateConfig::default() };
}

impl Plan {
    /// What the consumers of a loop do in a second.
    fn loop_speed(&self) -> u64 {
        u64::from(self.members * self.config.max_in_flight) * SECOND / (self.service_mean + 1)
    }
}

impl LoopPlan {
    /// What is promised of it.
    pub(super) fn calm(&self, plan: &Plan) -> Loop {
        let calm = SECOND + plan.calm_after;
        Loop {
            from: calm + self.watch.0,
            until: calm + self.watch.1,
            speed: plan.loop_speed(),
            target: plan.gates.config.target,
            producers: plan.gates.producers,
            overloaded: self.overloaded,
        }
    }
}
