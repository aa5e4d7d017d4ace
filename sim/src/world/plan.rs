//! What one run is like: each draws its own sizes, speeds and fault rates.

use std::time::Duration;

use tidegate_engine::{AfterLastAttempt, Backoff, Config, Ordering};

use super::gate_plan::GatePlan;
use crate::Tape;
use crate::checkers::{Lanes, Rules};

pub(super) const MILLI: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

/// How long handlers take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    /// All the same.
    Constant,
    /// Up to three times the mean, most of them less.
    Spread,
    /// One in fifty takes thirty times the mean.
    HeavyTail,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) members: u32,
    pub(super) partitions: u32,
    pub(super) keys: u32,
    pub(super) records: u32,
    pub(super) batch: u32,
    pub(super) produce_every: u64,
    pub(super) keyless_per_mille: u32,
    pub(super) large_per_mille: u32,
    pub(super) gap_per_mille: u32,
    pub(super) truncate_per_mille: u32,
    pub(super) expire_per_mille: u32,
    pub(super) recreate_per_mille: u32,
    pub(super) add_partition_per_mille: u32,
    pub(super) stops_at_gaps: bool,
    pub(super) fetch: usize,
    pub(super) take: usize,
    pub(super) service: Service,
    pub(super) service_mean: u64,
    pub(super) fail_per_mille: u32,
    pub(super) panic_per_mille: u32,
    pub(super) overload_per_mille: u32,
    pub(super) skip_per_mille: u32,
    pub(super) letter_per_mille: u32,
    pub(super) hang_per_mille: u32,
    pub(super) late_per_mille: u32,
    pub(super) own_delay_per_mille: u32,
    pub(super) letters_down_per_mille: u32,
    pub(super) letter_answer_lost_per_mille: u32,
    pub(super) refuse_per_mille: u32,
    pub(super) followers_per_mille: u32,
    pub(super) network: u64,
    pub(super) commit_every: u64,
    pub(super) commit_slow_per_mille: u32,
    pub(super) commit_lost_per_mille: u32,
    pub(super) commit_refused_per_mille: u32,
    pub(super) foreign_per_mille: u32,
    pub(super) older_per_mille: u32,
    pub(super) drain: u64,
    pub(super) session: u64,
    pub(super) chaos_every: u64,
    pub(super) kill_per_mille: u32,
    pub(super) expel_per_mille: u32,
    pub(super) hang_member_per_mille: u32,
    pub(super) leave_per_mille: u32,
    pub(super) limit_per_mille: u32,
    pub(super) calm_after: u64,
    pub(super) gates: GatePlan,
}

/// A fault exists in a third of the runs.
pub(super) fn rate(tape: &mut Tape, most: u32) -> u32 {
    if tape.below(3) == 2 { tape.between(1, most) } else { 0 }
}

/// One after which the checkers must excuse more exists in a sixth.
fn rare(tape: &mut Tape, most: u32) -> u32 {
    if tape.below(6) == 5 { tape.between(1, most) } else { 0 }
}

impl Plan {
    pub(super) fn draw(tape: &mut Tape) -> Self {
        let mut plan = Self::draw_consumers(tape);
        GatePlan::draw(&mut plan, tape);
        plan
    }

    fn draw_consumers(tape: &mut Tape) -> Self {
        let milli = |n: u32| u64::from(n) * MILLI;
        Self {
            config: config(tape),
            members: tape.between(1, 4),
            partitions: tape.between(1, 6),
            keys: tape.pick(&[1, 3, 8, 40, 200]),
            records: tape.between(10, 600),
            batch: tape.between(1, 64),
            produce_every: milli(tape.pick(&[1, 5, 20, 100])),
            keyless_per_mille: tape.pick(&[0, 50, 500]),
            large_per_mille: tape.pick(&[0, 0, 10, 60]),
            gap_per_mille: tape.pick(&[0, 0, 30, 300]),
            truncate_per_mille: rare(tape, 300),
            expire_per_mille: rare(tape, 300),
            recreate_per_mille: rare(tape, 100),
            add_partition_per_mille: rare(tape, 200),
            stops_at_gaps: tape.below(3) == 2,
            fetch: tape.pick(&[256, 1, 16]),
            take: tape.pick(&[64, 1, 5]),
            service: tape.pick(&[Service::Constant, Service::Spread, Service::HeavyTail]),
            service_mean: 1_000 * u64::from(tape.pick(&[20u32, 200, 1_000, 5_000, 30_000])),
            fail_per_mille: rate(tape, 200),
            panic_per_mille: rate(tape, 100),
            overload_per_mille: rate(tape, 300),
            skip_per_mille: rate(tape, 200),
            letter_per_mille: rate(tape, 100),
            hang_per_mille: rate(tape, 20),
            late_per_mille: tape.pick(&[0, 300]),
            own_delay_per_mille: tape.pick(&[0, 300]),
            letters_down_per_mille: rate(tape, 200),
            letter_answer_lost_per_mille: rate(tape, 200),
            refuse_per_mille: rate(tape, 50),
            followers_per_mille: tape.pick(&[0, 300, 900]),
            network: milli(tape.pick(&[0, 1, 5, 40])),
            commit_every: milli(tape.pick(&[100, 10, 500])),
            commit_slow_per_mille: rate(tape, 200),
            commit_lost_per_mille: rate(tape, 200),
            commit_refused_per_mille: rate(tape, 200),
            foreign_per_mille: rare(tape, 200),
            older_per_mille: rare(tape, 500),
            drain: milli(tape.pick(&[500, 50, 2_000])),
            session: milli(tape.pick(&[2_000, 500])),
            chaos_every: milli(tape.pick(&[200, 50, 1_000])),
            kill_per_mille: rate(tape, 200),
            expel_per_mille: rate(tape, 200),
            hang_member_per_mille: rate(tape, 200),
            leave_per_mille: rate(tape, 200),
            limit_per_mille: rate(tape, 300),
            calm_after: u64::from(tape.between(1, 6)) * SECOND,
            gates: GatePlan::default(),
        }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            lanes: match self.config.ordering {
                Ordering::Partition => Lanes::ByPartition,
                Ordering::None => Lanes::None,
                _ => Lanes::ByKey,
            },
            max_attempts: self.config.max_attempts,
            max_queued: self.config.max_queued,
            max_bytes: self.config.max_bytes,
            max_window: self.config.max_window,
            gates: self.gates.producers > 0,
            loops: self.gates.loops.map(|loops| loops.calm(self)),
        }
    }
}

fn config(tape: &mut Tape) -> Config {
    let milli = |n: u32| Duration::from_millis(n.into());
    let initial = milli(tape.pick(&[10, 1, 100]));
    Config {
        ordering: tape.pick(&[Ordering::Key, Ordering::Key, Ordering::Partition, Ordering::None]),
        max_in_flight: tape.pick(&[1, 2, 4, 16, 64]),
        max_queued: tape.pick(&[64, 1, 4, 16, 256]),
        max_bytes: u64::from(tape.pick(&[1_000_000u32, 1_024, 4_000, 20_000])),
        max_window: u64::from(tape.pick(&[100_000u32, 8, 40, 200])),
        metadata_max_bytes: tape.pick(&[4_096, 0, 128, 300]),
        max_attempts: tape.pick(&[6, 1, 2, 3]),
        after_last_attempt: tape.pick(&[
            AfterLastAttempt::Skip,
            AfterLastAttempt::StopPartition,
            AfterLastAttempt::DeadLetter,
        ]),
        dead_letter_credit: tape.pick(&[100, 1, 5]),
        backoff: Backoff { initial, max: initial * tape.pick(&[1, 10, 20]) },
        handler_timeout: match tape.below(3) {
            0 => None,
            n => Some(milli(n * n * 50)),
        },
        stuck_after: milli(tape.pick(&[5_000, 1_000])),
        commit_stall: milli(tape.pick(&[3_000, 1_000])),
        seed: tape.byte().into(),
    }
}
