//! The engine against a naive model, with configurations, logs and tapes that proptest chooses.

mod world;

use std::time::Duration;

use proptest::prelude::*;
use tidegate_engine::*;

use world::{LogRecord, PARTITIONS, World};

fn logs() -> impl Strategy<Value = Vec<Vec<LogRecord>>> {
    let record = (1i64..3, prop::option::of(0u8..4), 0u32..700);
    let log = prop::collection::vec(record, 0..60).prop_map(|steps| {
        let mut offset = -1;
        steps
            .into_iter()
            .map(|(step, key, bytes)| {
                offset += step;
                LogRecord { offset, key, bytes }
            })
            .collect()
    });
    prop::collection::vec(log, PARTITIONS)
}

fn configs() -> impl Strategy<Value = Config> {
    let ordering = prop_oneof![
        3 => Just(Ordering::Key),
        1 => Just(Ordering::Partition),
        1 => Just(Ordering::None)
    ];
    let last = prop_oneof![
        Just(AfterLastAttempt::StopPartition),
        Just(AfterLastAttempt::Skip),
        Just(AfterLastAttempt::DeadLetter)
    ];
    let limits = (1u32..8, 1u32..20, 1024u64..4096, 1u64..40, 1u32..4);
    (ordering, last, limits, prop::option::of(1u64..500)).prop_map(
        |(ordering, after_last_attempt, limits, timeout)| {
            let (flight, queued, max_bytes, max_window, max_attempts) = limits;
            Config {
                ordering,
                after_last_attempt,
                max_in_flight: flight,
                max_queued: queued,
                max_bytes,
                max_window,
                max_attempts,
                dead_letter_credit: 1 + queued % 3,
                commit_stall: Duration::from_millis(300),
                handler_timeout: timeout.map(Duration::from_millis),
                ..Config::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn engine_agrees_with_the_model(
        config in configs(),
        logs in logs(),
        tape in prop::collection::vec(any::<[u8; 3]>(), 0..600),
    ) {
        let mut world = World::new(config, logs);
        for step in tape {
            world.step(step);
        }
        world.finish();
    }
}
