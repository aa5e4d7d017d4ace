//! What the tests on a real broker share: a run in the background that writes its history.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate::{
    Builder, Consumer, Event, IntoOutcome, Monitor, Outcome, Record, RunError, Summary,
};
use tidegate_testkit::history::{Ending, Happened, History, HistoryWriter};
use tidegate_testkit::kafka::{Broker, Fill, NewTopic, Written};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A topic of its own with records, on the broker that a test binary shares.
pub fn filled(name: &str, partitions: i32, records: u64) -> (&'static Broker, Vec<Written>) {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(name).partitions(partitions));
    let fill = Fill::new(name).records(records).keys(200).value_bytes(100);
    let written = if records > 0 { broker.fill(&fill) } else { Vec::new() };
    (broker, written)
}

/// A consumer of `name` in a group of the same name.
pub fn builder(broker: &Broker, name: &str) -> Builder {
    Consumer::builder().brokers(broker.bootstrap()).group(name).topic(name)
}

/// Where a test's histories go.
pub struct Recorder {
    folder: tempfile::TempDir,
}

impl Recorder {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    pub fn member(&self, name: &str) -> HistoryWriter {
        HistoryWriter::open(self.path(), name).unwrap()
    }

    pub fn history(&self) -> History {
        History::read(self.path()).unwrap()
    }
}

/// Wraps a handler so that its starts and ends are in the history.
pub fn recorded<F, Fut>(
    history: HistoryWriter,
    handler: F,
) -> impl Fn(Record) -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync
where
    F: Fn(Record) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    move |record: Record| {
        let guard = history.start(
            record.topic(),
            record.partition(),
            record.offset(),
            record.key(),
            record.attempt(),
        );
        let work = handler(record);
        Box::pin(async move {
            let outcome = work.await.into_outcome();
            guard.end(match &outcome {
                Outcome::Done => Ending::Done,
                Outcome::Skip => Ending::Skip,
                Outcome::Overloaded { .. } => Ending::Overloaded,
                _ => Ending::Retry,
            });
            outcome
        })
    }
}

/// Writes what a consumer tells into the history.
pub fn listener(history: HistoryWriter, told: Arc<Mutex<Vec<String>>>) -> impl Fn(&Event) {
    move |event| {
        match event {
            Event::Committed { partition, offset } => {
                history.commit(&partition.topic, partition.partition, offset.0);
            }
            Event::Assigned { partition, .. } => {
                history.assigned(&partition.topic, partition.partition);
            }
            Event::Released { partition, .. } => {
                history.revoked(&partition.topic, partition.partition);
            }
            Event::Lost { partition, .. } => history.lost(&partition.topic, partition.partition),
            _ => {}
        }
        if !matches!(event, Event::Committed { .. }) {
            told.lock().unwrap().push(event.to_string());
        }
    }
}

/// A consumer that runs on a runtime of its own.
pub struct Running {
    pub monitor: Monitor,
    told: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    run: JoinHandle<Result<Summary, RunError>>,
    runtime: Runtime,
}

impl Running {
    /// Starts it with a handler whose starts and ends are recorded.
    pub fn start<F, Fut>(builder: Builder, history: &HistoryWriter, handler: F) -> Self
    where
        F: Fn(Record) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoOutcome> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let consumer = builder.build().unwrap();
        let monitor = consumer.monitor();
        let (stop, stopped) = oneshot::channel();
        let run = consumer
            .on_event(listener(history.clone(), Arc::clone(&told)))
            .run(recorded(history.clone(), handler))
            .with_graceful_shutdown(async move {
                // A stop that was dropped is none: the run ends by itself.
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            });
        let run = runtime.spawn(run.into_future());
        Self { monitor, told, stop: Some(stop), run, runtime }
    }

    /// What it told so far, commits excepted.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until it told something with these words.
    pub fn wait_told(&self, words: &str) {
        let said = || self.told().iter().any(|line| line.contains(words));
        wait_for(&format!("{words:?} in {:#?}", self.told()), said);
    }

    pub fn done(&self) -> u64 {
        self.monitor.snapshot().engine.counters.done
    }

    pub fn wait_done(&self, records: u64) {
        let text = || format!("{records} done; {:#?}", self.told());
        let until = Instant::now() + Duration::from_secs(60);
        while self.done() < records {
            assert!(Instant::now() < until, "{}: {}", text(), self.done());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its own end.
    pub fn join(self) -> Result<Summary, RunError> {
        let told = Arc::clone(&self.told);
        self.runtime.block_on(async {
            match tokio::time::timeout(Duration::from_secs(60), self.run).await {
                Ok(ended) => ended.unwrap(),
                Err(_) => panic!("no end; it told {:#?}", told.lock().unwrap()),
            }
        })
    }

    /// Whether it has come to its end.
    pub fn has_ended(&self) -> bool {
        self.run.is_finished()
    }

    /// Drops the run in the middle of its work, and waits until all of it is gone.
    pub fn abort(self) {
        let Self { run, runtime, .. } = self;
        run.abort();
        let _ = runtime.block_on(run);
        // Its own thread may need a moment to notice, and what it sent before to arrive.
        std::thread::sleep(Duration::from_secs(1));
    }

    /// Shuts it down and waits.
    pub fn stop(mut self) -> Summary {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.join().unwrap()
    }
}

/// Waits for up to a minute.
pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Plays a test under both group protocols, side by side.
pub fn on_both_protocols(test: impl Fn(&'static str) + Sync) {
    std::thread::scope(|scope| {
        for protocol in ["classic", "consumer"] {
            let test = &test;
            scope.spawn(move || test(protocol));
        }
    });
}

/// What may be handled again after `expelled` stood still: what it had begun and not finished, and
/// what it had finished since the last commit of that partition that was accepted, both from the
/// time before it learned that its partitions were lost. And of what `other` finished, what was not
/// committed when it was itself made to rejoin: brokers refuse commits meanwhile.
pub fn may_come_again(history: &History, expelled: &str, other: &str) -> u64 {
    let of = |member: &str, until_lost: bool| {
        let mut open: HashMap<(i32, i64), bool> = HashMap::new();
        let mut most = 0;
        for event in history.events().iter().filter(|event| &*event.member == member) {
            match &event.happened {
                Happened::Start { record, .. } => {
                    open.insert((record.partition, record.offset), false);
                }
                Happened::End { record, ending, .. } if ending.finishes() => {
                    open.insert((record.partition, record.offset), true);
                }
                // Everything above is named as finished; what still runs stays open.
                Happened::Commit { next } => open.retain(|(partition, offset), finished| {
                    *partition != next.partition || (!*finished && *offset >= next.offset)
                }),
                Happened::Lost { .. } if until_lost => {
                    most = most.max(open.len());
                }
                _ => {}
            }
            if !until_lost {
                most = most.max(open.len());
            }
        }
        most as u64
    };
    of(expelled, true) + of(other, false)
}
