//! The records of a benchmark, and the topic that they go to.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use clap::Args;
use clap::builder::BoolishValueParser;

use super::keys::{SplitMix, Zipf, fill};
use crate::exit::Failure;
use crate::kafka::{Admin, Observer};
use crate::settings::{Connection, size};

/// How long a topic may take to appear or to go.
const TOPIC: Duration = Duration::from_secs(30);

/// Which records are written.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// Partitions of the topic if it is created, with one replica each. 1 to 10,000.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_PARTITIONS",
        default_value_t = 12,
        value_parser = clap::value_parser!(i32).range(1..=10_000),
        help_heading = "Records"
    )]
    pub(super) partitions: i32,

    /// How many records are written. 1 to 10^12.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_RECORDS",
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000),
        help_heading = "Records"
    )]
    pub(super) records: u64,

    /// The size of each value. 0 to 1 GiB.
    #[arg(
        long,
        value_name = "SIZE",
        env = "TIDEGATE_BENCH_VALUE_BYTES",
        default_value = "100",
        value_parser = size(0, 1 << 30),
        help_heading = "Records"
    )]
    pub(super) value_bytes: ByteSize,

    /// How many different keys there are: key-0, key-1 and on. 0 to 10,000,000; 0 writes no keys.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_KEYS",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(0..=10_000_000),
        help_heading = "Records"
    )]
    pub(super) keys: u32,

    /// How uneven the keys are: key-N has a weight of 1 / (N + 1)^ZIPF. 0 to 10; 0 makes all
    /// alike.
    #[arg(
        long,
        value_name = "ZIPF",
        env = "TIDEGATE_BENCH_ZIPF",
        default_value_t = 1.0,
        value_parser = exponent,
        help_heading = "Records"
    )]
    pub(super) zipf: f64,

    /// Which record gets which key and value follows from this number.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_SEED",
        default_value_t = 1,
        help_heading = "Records"
    )]
    pub(super) seed: u64,

    /// Delete the topic and create it anew. Without it, records are added to a topic that exists.
    #[arg(
        long,
        env = "TIDEGATE_BENCH_REPLACE",
        value_parser = BoolishValueParser::new(),
        help_heading = "Records"
    )]
    pub(super) replace: bool,
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(exponent) if (0.0..=10.0).contains(&exponent) => Ok(exponent),
        _ => Err("must be from 0 to 10".to_owned()),
    }
}

/// Makes the records, one after another: the same arguments make the same ones.
pub(super) struct Records {
    zipf: Zipf,
    random: SplitMix,
    key: String,
    value: Vec<u8>,
}

impl Records {
    pub(super) fn new(args: &RecordArgs) -> Result<Self, Failure> {
        let bytes = usize::try_from(args.value_bytes.0).map_err(|_| {
            Failure::Usage("--value-bytes is too large for this machine".to_owned())
        })?;
        let (zipf, random) = (Zipf::new(args.keys, args.zipf), SplitMix::new(args.seed));
        Ok(Self { zipf, random, key: String::new(), value: vec![0; bytes] })
    }

    /// Key and value of the next one.
    pub(super) fn next(&mut self) -> (Option<&str>, &[u8]) {
        let rank = self.zipf.next(&mut self.random);
        if let Some(rank) = rank {
            self.key.clear();
            // Writing to a string does not fail.
            let _ = write!(self.key, "key-{rank}");
        }
        fill(&mut self.value, &mut self.random);
        (rank.map(|_| self.key.as_str()), &self.value)
    }
}

/// Makes sure that the topic is there; returns how many partitions it has.
pub(super) async fn topic(
    name: &str,
    args: &RecordArgs,
    connection: &Connection,
) -> Result<usize, Failure> {
    let observer = Observer::new(connection, "tidegate-bench")?;
    let admin = Admin::new(connection)?;
    let count = || tokio::task::block_in_place(|| observer.partitions(name)).map(|p| p.len());
    let mut found = count()?;
    if found > 0 && args.replace {
        admin.delete_topic(name).await?;
        found = until(&count, |count| count == 0).await?;
        if found > 0 {
            return Err(Failure::Failed(format!("topic {name} was deleted but is still there")));
        }
    }
    if found > 0 {
        return match usize::try_from(args.partitions) {
            Ok(wanted) if wanted != found => Err(Failure::Failed(format!(
                "topic {name} has {found} partitions and not {wanted}: give --partitions {found}, \
                 or --replace to delete it and create it anew"
            ))),
            _ => Ok(found),
        };
    }
    // The deletion may still go on behind the scenes.
    let deadline = Instant::now() + TOPIC;
    while let Err(error) = admin.create_topic(name, args.partitions).await {
        if !args.replace || Instant::now() > deadline {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    match until(&count, |count| count > 0).await? {
        0 => Err(Failure::Failed(format!("topic {name} was created but does not appear"))),
        found => Ok(found),
    }
}

/// Asks until the answer is right, or it took too long; returns the last one.
async fn until(
    count: &impl Fn() -> Result<usize, Failure>,
    right: impl Fn(usize) -> bool,
) -> Result<usize, Failure> {
    let deadline = Instant::now() + TOPIC;
    loop {
        let found = count()?;
        if right(found) || Instant::now() > deadline {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
