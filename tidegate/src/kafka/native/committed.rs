#![allow(unsafe_code)]
//! The group's committed offsets, asked of its coordinator.
//!
//! There is an admin request for this (`ListConsumerGroupOffsets`), and it must not be used. When
//! it times out while the coordinator is still looked for, librdkafka forgets the request and goes
//! on looking; when the coordinator is found, it follows a pointer to what it has forgotten, and
//! the process ends by an assertion. A coordinator that is away for some seconds in the middle of
//! a rebalance is enough for that.
//!
//! The consumer's own call goes over the group's own connection and times out well, but it waits.
//! So it is made on a thread of its own, and the answer comes as an event.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_runtime::TopicPartition;

use super::admin::AdminAnswer;
use super::client::{OffsetPoint, to_list};
use super::event::{NativeEvent, answers};
use crate::kafka::context::Context;

/// How long it may take before it is answered with an error.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Tells whoever polls a client that there is something.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// Questions for committed offsets, and their answers.
pub(super) struct CommittedOffsets {
    answered: Receiver<NativeEvent>,
    answers: Sender<NativeEvent>,
    wake: Wake,
}

impl CommittedOffsets {
    /// `wake` is called when there is an answer.
    pub(super) fn new(wake: Wake) -> Self {
        // At most one question in the timeout is asked, and each has one answer.
        let (answers, answered) = channel();
        Self { answered, answers, wake }
    }

    pub(super) fn ask(
        &self,
        consumer: &Arc<BaseConsumer<Context>>,
        request: usize,
        names: &[TopicPartition],
    ) {
        let (consumer, names) = (Arc::clone(consumer), names.to_vec());
        let (answers, wake) = (self.answers.clone(), Arc::clone(&self.wake));
        let asking =
            thread::Builder::new().name("tidegate-committed".to_owned()).spawn(move || {
                let result = committed(&consumer, &names);
                // The client is destroyed by whoever gives it up last, and need not be waited for.
                drop(consumer);
                // Without a receiver the source is gone.
                let _ = answers.send(NativeEvent::Admin { request, result });
                wake();
            });
        if let Err(error) = asking {
            let result = Err((Code::Fail, format!("no thread to ask on: {error}")));
            let _ = self.answers.send(NativeEvent::Admin { request, result });
        }
    }

    pub(super) fn poll(&self) -> Option<NativeEvent> {
        self.answered.try_recv().ok()
    }
}

fn committed(
    consumer: &BaseConsumer<Context>,
    names: &[TopicPartition],
) -> Result<AdminAnswer, (Code, String)> {
    let point = |partition| OffsetPoint { partition, offset: 0, leader_epoch: -1, metadata: "" };
    let points: Vec<_> = names.iter().map(point).collect();
    let list = to_list(&points).and_then(|list| consumer.committed_offsets(list, TIMEOUT));
    match list {
        // SAFETY: the list is alive during the call.
        Ok(list) => Ok(AdminAnswer::Committed(unsafe { answers(list.ptr()) })),
        Err(error) => {
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            Err((code, format!("the group's committed offsets: {error}")))
        }
    }
}
