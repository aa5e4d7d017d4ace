//! Reads the dead-letter topic once, without a group, and counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::letter::Letter;
use super::passes::Passes;
use crate::exit::Failure;
use crate::kafka::Observer;
use crate::settings::Connection;

/// Without a record or an end for so long something is wrong.
const SILENCE: Duration = Duration::from_secs(30);
/// So many records without an origin are named.
const MOST_STRAYS: usize = 20;
/// So many rows at most; a reason that is different for each letter would fill the memory.
const MOST_ROWS: usize = 1_000;
/// The reason of all that have no row of their own.
const OTHER: &str = "(other reasons)";
/// So many characters of a reason, at most.
const REASON: usize = 200;

/// The letters of one topic and one reason.
#[derive(Default)]
pub(super) struct Row {
    /// The partitions that they came from.
    pub(super) partitions: BTreeSet<u32>,
    pub(super) count: u64,
    /// When the first and the last became letters, in milliseconds since 1970.
    pub(super) span: Option<(i64, i64)>,
}

/// What there is.
#[derive(Default)]
pub(super) struct Survey {
    rows: BTreeMap<(String, String), Row>,
    targets: BTreeSet<String>,
    records: u64,
    letters: u64,
    selected: u64,
    moved_before: u64,
    without_origin: u64,
    strays: Vec<(i32, i64)>,
    /// It went on behind what this pass had already.
    goes_on: bool,
    /// Where each partition that has something to read ends.
    ends: HashMap<i32, i64>,
}

impl Survey {
    /// Reads from where this pass stands to where the topic ends now.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub(super) fn take(
        connection: &Connection,
        observer: &Observer,
        topic: &str,
        partitions: &[i32],
        passes: &Passes,
    ) -> Result<Self, Failure> {
        let mut survey = Self::default();
        let mut list = TopicPartitionList::new();
        let failed = |error: KafkaError| Failure::Failed(format!("cannot read {topic}: {error}"));
        for partition in partitions {
            let (begin, end) = observer.watermarks(topic, *partition)?;
            if let Some((group, committed)) = passes.beyond(*partition, end) {
                return Err(Failure::Failed(format!(
                    "group {group} has moved {topic}/{partition} up to offset {committed}, and the \
                     log ends at {end}: the topic was made anew, or truncated; delete that group, \
                     since it speaks of another log"
                )));
            }
            let start = passes.start(*partition).max(begin);
            survey.goes_on |= start > begin;
            if start < end {
                survey.ends.insert(*partition, end);
                list.add_partition_offset(topic, *partition, Offset::Offset(start))
                    .map_err(failed)?;
            }
        }
        if survey.ends.is_empty() {
            return Ok(survey);
        }
        let mut config = connection.client();
        config
            .set("group.id", "tidegate-redrive-survey")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // Retention may pass the first one meanwhile.
            .set("auto.offset.reset", "earliest")
            .set("fetch.queue.backoff.ms", "1")
            .set("queued.max.messages.kbytes", "16384")
            .set_log_level(RDKafkaLogLevel::Emerg);
        let client: BaseConsumer = config.create().map_err(failed)?;
        client.assign(&list).map_err(failed)?;
        survey.read(&client, topic, passes)?;
        Ok(survey)
    }

    fn read(&mut self, client: &BaseConsumer, topic: &str, passes: &Passes) -> Result<(), Failure> {
        let mut open: HashSet<i32> = self.ends.keys().copied().collect();
        let mut news = Instant::now();
        while !open.is_empty() {
            match client.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    news = Instant::now();
                    let end = self.ends.get(&message.partition()).copied().unwrap_or(0);
                    if message.offset() < end {
                        self.count(&message, passes);
                    }
                    if message.offset() + 1 >= end {
                        open.remove(&message.partition());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    news = Instant::now();
                    open.remove(&partition);
                }
                Some(Err(error)) if is_denied(&error) => {
                    return Err(Failure::Failed(format!("cannot read {topic}: {error}")));
                }
                // The client goes on by itself.
                Some(Err(_)) | None => {}
            }
            if news.elapsed() > SILENCE {
                let mut open: Vec<_> = open.into_iter().collect();
                open.sort_unstable();
                return Err(Failure::Failed(format!(
                    "cannot read {topic}: nothing came from partitions {open:?} for {} s",
                    SILENCE.as_secs()
                )));
            }
        }
        Ok(())
    }

    fn count(&mut self, message: &BorrowedMessage<'_>, passes: &Passes) {
        let (partition, offset) = (message.partition(), message.offset());
        self.records += 1;
        let headers = message.headers();
        let headers = headers.iter().flat_map(|headers| headers.iter());
        let letter = Letter {
            key: message.key(),
            value: message.payload(),
            timestamp: message.timestamp().to_millis(),
            headers: headers.map(|header| (header.key, header.value)).collect(),
        };
        self.letters += u64::from(letter.origin().is_some());
        if passes.had(partition, offset) || !passes.selection().wants(&letter) {
            return;
        }
        let target = passes.selection().target(&letter);
        let Some(target) = target.filter(|target| *target != message.topic()) else {
            self.without_origin += 1;
            if self.strays.len() < MOST_STRAYS {
                self.strays.push((partition, offset));
            }
            return;
        };
        if passes.moved_before(partition, offset, &letter) {
            self.moved_before += 1;
            return;
        }
        self.selected += 1;
        self.targets.insert(target.to_owned());
        let origin = letter.origin().unwrap_or("-").to_owned();
        let reason: String = letter.reason().chars().take(REASON).collect();
        let known = self.rows.len();
        let mut row = (origin, reason);
        if known >= MOST_ROWS && !self.rows.contains_key(&row) {
            row.1 = OTHER.to_owned();
        }
        let row = self.rows.entry(row).or_default();
        row.count += 1;
        row.partitions.extend(letter.partition());
        if let Some(at) = letter.timestamp {
            let (first, last) = row.span.unwrap_or((at, at));
            row.span = Some((first.min(at), last.max(at)));
        }
    }

    /// Topics and reasons, in this order.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, &str, &Row)> {
        self.rows.iter().map(|((topic, reason), row)| (topic.as_str(), reason.as_str(), row))
    }

    /// The topics that letters go to.
    pub(super) fn targets(&self) -> BTreeSet<String> {
        self.targets.clone()
    }

    /// Records that were read.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Letters that would be moved.
    pub(super) fn selected(&self) -> u64 {
        self.selected
    }

    /// Letters that another pass has moved.
    pub(super) fn moved_before(&self) -> u64 {
        self.moved_before
    }

    /// Records that have nowhere to go.
    pub(super) fn without_origin(&self) -> u64 {
        self.without_origin
    }

    /// The first of them, by partition and offset.
    pub(super) fn strays(&self) -> &[(i32, i64)] {
        &self.strays
    }

    /// Whether there is something, and nothing of the whole topic is a letter.
    pub(super) fn is_of_no_letters(&self) -> bool {
        self.records > 0 && self.letters == 0 && !self.goes_on
    }

    /// Where a partition ends for this call; 0 if there is nothing in it to be read.
    pub(super) fn ends(&self) -> &HashMap<i32, i64> {
        &self.ends
    }
}

fn is_denied(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
        )
    )
}
