//! The producer on a real broker: what it writes, and how it follows groups.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Recorder, Running, builder};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use tidegate::gate::{GateState, Reason, WhenShut};
use tidegate::{
    Delivery, DeliveryError, NotSent, Producer, ProducerBuilder, ProducerRecord, Record, TopicGate,
};
use tidegate_testkit::kafka::{Broker, NewTopic, User, offsets, read_topic};

const S: Duration = Duration::from_secs(1);

fn topic(name: &str, partitions: i32) -> &'static Broker {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(name).partitions(partitions));
    broker
}

fn producer(broker: &Broker, gate: TopicGate) -> Producer {
    let told = |event: &tidegate::ProducerEvent| println!("{event}");
    Producer::builder().brokers(broker.bootstrap()).topic(gate).on_event(told).build().unwrap()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < 30 * S, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A plain consumer with a group's commits and no membership, at a rate that can change.
struct Slow {
    rate: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slow {
    fn start(broker: &Broker, name: &str, partitions: i32, rate: u64, commit: Duration) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap())
            .set("group.id", name)
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(name, partition, At::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (rate, done) = (Arc::new(AtomicU64::new(rate)), Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (rate, done, stop) = (Arc::clone(&rate), Arc::clone(&done), Arc::clone(&stop));
            thread::spawn(move || consume(&consumer, commit, &rate, &done, &stop))
        };
        Self { rate, done, stop, thread: Some(thread) }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

fn consume(
    consumer: &BaseConsumer,
    commit: Duration,
    rate: &AtomicU64,
    done: &AtomicU64,
    stop: &AtomicBool,
) {
    let (mut last, mut committed, mut credit) = (Instant::now(), Instant::now(), 0.0);
    let mut next: HashMap<(String, i32), i64> = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        credit += rate.load(Ordering::Relaxed) as f64 * (now - last).as_secs_f64();
        last = now;
        while credit >= 1.0 {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(1)) else { break };
            use rdkafka::Message as _;
            next.insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
            done.fetch_add(1, Ordering::Relaxed);
            credit -= 1.0;
        }
        // What could not be used is lost: an idle consumer does not catch up later.
        credit = credit.min(20.0);
        if committed.elapsed() >= commit && !next.is_empty() {
            committed = Instant::now();
            let mut list = TopicPartitionList::new();
            for ((topic, partition), offset) in next.drain() {
                list.add_partition_offset(&topic, partition, At::Offset(offset)).unwrap();
            }
            consumer.commit(&list, CommitMode::Async).unwrap();
        }
        thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends as fast as the gate lets it, from several tasks.
fn flood(producer: &Producer, name: &str, tasks: usize) -> (Arc<AtomicU64>, Arc<AtomicBool>) {
    let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    for task in 0..tasks {
        let (producer, name) = (producer.clone(), name.to_owned());
        let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
        tokio::spawn(async move {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let record = ProducerRecord::to(name.as_str())
                    .with_key(format!("{task}-{n}"))
                    .with_value(vec![b'x'; 100]);
                if producer.send(record).await.is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    (sent, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_arrive_as_they_were_sent_where_java_would_send_them() {
    let name = "producer-forms";
    let broker = topic(name, 12);
    let producer = producer(broker, TopicGate::new(name));
    let mut deliveries: Vec<(ProducerRecord, Delivery)> = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    for n in 0..200 {
        let mut record = ProducerRecord::to(name).with_key(format!("key {}", n % 20));
        record = match n % 4 {
            0 => record,
            1 => record.with_value(Vec::new()),
            2 => record
                .with_value(format!("{n}"))
                .with_header("h", None)
                .with_header("h", Some(vec![0])),
            _ => record.with_value(format!("{n}")).with_timestamp(now + n),
        };
        deliveries.push((record.clone(), producer.send(record).await.unwrap()));
    }
    let mut last: HashMap<Vec<u8>, i64> = HashMap::new();
    let mut places = HashMap::new();
    for (record, delivery) in deliveries {
        let delivered = delivery.await.unwrap();
        let key = record.key().unwrap().to_vec();
        assert_eq!(delivered.partition, tidegate::gate::partition_of_key(&key, 12));
        let before = last.insert(key, delivered.offset.0);
        assert!(before.is_none_or(|before| before < delivered.offset.0), "the order of a key");
        places.insert((delivered.partition as i32, delivered.offset.0), record);
    }
    producer.close(10 * S).await.unwrap();
    let read =
        read_topic(&broker.properties(), name, tidegate_testkit::kafka::Isolation::Committed);
    assert_eq!(read.len(), 200);
    for found in read {
        let sent = &places[&(found.partition, found.offset)];
        assert_eq!((found.key.as_deref(), found.value.as_deref()), (sent.key(), sent.value()));
        assert_eq!(found.headers, sent.headers());
        assert!(sent.timestamp().is_none_or(|sent| Some(sent) == found.timestamp));
    }
    let refused = producer.send(ProducerRecord::to(name)).await.unwrap_err();
    assert_eq!((refused.cause, refused.record), (NotSent::Closed, ProducerRecord::to(name)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_follows_the_consumer() {
    let name = "producer-follows";
    let broker = topic(name, 6);
    let slow = Slow::start(broker, name, 6, 2_000, Duration::from_millis(200));
    let producer = producer(broker, TopicGate::new(name).follow(name));
    let (_sent, stop) = flood(&producer, name, 8);
    tokio::time::sleep(12 * S).await;
    let (done, started, mut worst, mut sum, mut seen) = (slow.done(), Instant::now(), 0u64, 0, 0);
    while started.elapsed() < 12 * S {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let end: i64 =
            offsets::watermarks(&broker.properties(), name).values().map(|w| w.end).sum();
        let backlog = end as u64 - slow.done();
        worst = worst.max(backlog);
        sum += backlog;
        seen += 1;
    }
    let rate = (slow.done() - done) as f64 / started.elapsed().as_secs_f64();
    let drain = sum as f64 / f64::from(seen) / rate;
    println!("{rate:.0}/s, drain {drain:.2} s, worst {:.2} s", worst as f64 / rate);
    println!("{:?}", producer.snapshot());
    assert!(rate > 1_900.0, "nothing of the consumer is lost: {rate}");
    assert!((1.4..2.5).contains(&drain), "{drain}");
    assert!((worst as f64) < 3.2 * rate, "{worst}");
    slow.rate.store(0, Ordering::Relaxed);
    tokio::time::sleep(3 * S).await;
    let snapshot = &producer.snapshot()[0];
    assert!(matches!(snapshot.gate.state, GateState::Shut(_)), "{snapshot:?}");
    stop.store(true, Ordering::Relaxed);
    slow.rate.store(100_000, Ordering::Relaxed);
    until("everything is released", || producer.snapshot()[0].gate.outstanding == 0).await;
    producer.close(10 * S).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_not_there_is_named_and_the_record_comes_back() {
    let name = "producer-no-group";
    let broker = topic(name, 2);
    let gate = TopicGate::new(name).follow("nobody").when_shut(WhenShut::Refuse).floor_rate(0);
    let producer = producer(broker, gate);
    until("the first probe", || producer.snapshot()[0].gate.window == 1_000).await;
    let record = |n: u64| ProducerRecord::to(name).with_value(format!("{n}"));
    let mut sent = 0;
    let refused = loop {
        match producer.try_send(record(sent)) {
            Ok(_) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((sent, &refused.record), (1_000, &record(1_000)));
    let NotSent::Shut { group, reason, .. } = &refused.cause else { panic!("{refused}") };
    assert_eq!((group.as_deref(), *reason), (Some("nobody"), Reason::NoCommit));
    assert!(refused.to_string().contains("group nobody"), "{refused}");
    let also = producer.send(record(1_000)).await.unwrap_err();
    assert!(also.cause.retry_after().is_some());
    producer.close(10 * S).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_that_are_dropped_leak_neither_credit_nor_room() {
    let name = "producer-cancel";
    let broker = topic(name, 1);
    let slow = Slow::start(broker, name, 1, 0, Duration::from_millis(100));
    let gate = TopicGate::new(name).follow(name).fixed_window(10).floor_rate(0);
    let builder = Producer::builder().brokers(broker.bootstrap()).topic(gate).max_on_their_way(50);
    let producer = builder.build().unwrap();
    let record = || ProducerRecord::to(name).with_value("x");
    for _ in 0..10 {
        producer.send(record()).await.unwrap().await.unwrap();
    }
    for round in 0..500u64 {
        let waiting = producer.send(record());
        let short = Duration::from_micros(round * 7 % 900);
        assert!(tokio::time::timeout(short, waiting).await.is_err(), "the gate is shut");
    }
    assert_eq!(producer.snapshot()[0].gate.outstanding, 10);
    slow.rate.store(1_000, Ordering::Relaxed);
    until("everything is released", || producer.snapshot()[0].gate.outstanding == 0).await;
    for _ in 0..10 {
        tokio::time::timeout(5 * S, producer.send(record())).await.unwrap().unwrap();
    }
    producer.close(10 * S).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_the_topic_does_not_have_is_told_at_once() {
    let broker = topic("p-missing", 2);
    let producer = producer(broker, TopicGate::new("p-missing").follow("p-missing"));
    // Sent before it is known how many there are: it waits until then, and no longer.
    let record = || ProducerRecord::to("p-missing").with_value("v").with_partition(2);
    let sent = tokio::time::timeout(20 * S, producer.send(record())).await.unwrap();
    let missing = |cause: &NotSent| {
        let expected = (2, 2);
        matches!(cause, NotSent::UnknownPartition { partition, partitions, .. }
            if (*partition, *partitions) == expected)
    };
    let refused = sent.unwrap_err();
    assert!(missing(&refused.cause), "{refused}");
    assert_eq!(refused.record, record());
    assert!(missing(&producer.try_send(record()).unwrap_err().cause));
    assert!(missing(&producer.ready(&record()).await.unwrap_err()));
    producer.close(10 * S).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_waits_as_a_send_does_and_takes_nothing() {
    let name = "producer-ready";
    let broker = topic(name, 2);
    let slow = Slow::start(broker, name, 2, 0, Duration::from_millis(100));
    let gate = TopicGate::new(name).follow(name).fixed_window(10).floor_rate(0);
    let producer = producer(broker, gate.when_shut(WhenShut::Wait { max: S }));
    let record = ProducerRecord::to(name).with_key("k");
    assert_eq!((producer.has_topic(name), producer.has_topic("other")), (true, false));
    let other = producer.ready(&ProducerRecord::to("other")).await;
    assert!(matches!(other, Err(NotSent::UnknownTopic { .. })), "{other:?}");
    until("the partitions are known", || producer.partitions(name) == 2).await;
    for _ in 0..100 {
        producer.ready(&record).await.unwrap();
    }
    while producer.try_send(record.clone()).is_ok() {}
    let since = Instant::now();
    let shut = producer.ready(&record).await;
    assert!(matches!(shut, Err(NotSent::Shut { .. })) && since.elapsed() >= S, "{shut:?}");
    slow.rate.store(1_000, Ordering::Relaxed);
    until("something is released", || producer.snapshot()[0].gate.outstanding == 0).await;
    producer.ready(&record).await.unwrap();
    producer.close(10 * S).await.unwrap();
    assert_eq!(producer.ready(&record).await, Err(NotSent::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_ranges_release_what_is_behind_a_stuck_record() {
    let name = "producer-ranges";
    let broker = topic(name, 1);
    let recorder = Recorder::new();
    let consumer = builder(broker, name);
    let handler = |record: Record| async move {
        if record.offset() == 0 {
            std::future::pending::<()>().await;
        }
    };
    let running = Running::start(consumer, &recorder.member("a"), handler);
    let gate = TopicGate::new(name).follow(name).fixed_window(20).floor_rate(0);
    let producer = producer(broker, gate);
    for n in 0..200 {
        let record = ProducerRecord::to(name).with_key(format!("{n}")).with_value("x");
        tokio::time::timeout(20 * S, producer.send(record)).await.unwrap().unwrap();
    }
    until("all but one are released", || producer.snapshot()[0].gate.outstanding == 1).await;
    producer.close(10 * S).await.unwrap();
    tokio::task::spawn_blocking(move || drop(running)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_probe_serves_several_producers_and_a_topic_that_is_created_later() {
    let name = "producer-shared-probe";
    let broker = topic(name, 3);
    let first = producer(broker, TopicGate::new(name).follow("nobody"));
    let later = "producer-created-later";
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let told = Arc::clone(&told);
        move |event: &tidegate::ProducerEvent| told.lock().unwrap().push(event.to_string())
    };
    let second = Producer::builder()
        .brokers(broker.bootstrap())
        .probe(first.probe())
        .topic(TopicGate::new(later).follow("nobody"))
        .on_event(listener)
        .build()
        .unwrap();
    until("the topic is missed", || {
        told.lock().unwrap().iter().any(|line| line.contains(later) && line.contains("create"))
    })
    .await;
    drop(first);
    broker.admin().create_topic(NewTopic::new(later).partitions(2));
    let record = ProducerRecord::to(later).with_value("x");
    let delivery = tokio::time::timeout(10 * S, second.send(record)).await.unwrap().unwrap();
    delivery.await.unwrap();
    until("that is told", || told.lock().unwrap().iter().any(|line| line.contains("again"))).await;
    second.close(10 * S).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_named() {
    let name = "producer-acl";
    let broker = Broker::shared_sasl_tls();
    broker.admin().create_topic(NewTopic::new(name).partitions(1));
    broker.allow(&User::Plain.principal(), &["Write", "Describe"], "--topic", name);
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let told = Arc::clone(&told);
        move |event: &tidegate::ProducerEvent| told.lock().unwrap().push(event.to_string())
    };
    let gate = TopicGate::new(name).follow("producer-acl-group");
    let builder = Producer::builder().topic(gate).on_event(listener);
    let properties = broker.client_properties(User::Plain);
    let add =
        |builder: ProducerBuilder, (name, value): &(String, String)| builder.property(name, value);
    let producer = properties.iter().fold(builder, add).build().unwrap();
    until("the group is named", || {
        let told = told.lock().unwrap();
        told.iter().any(|line| line.contains("Describe on the group: group producer-acl-group"))
    })
    .await;
    broker.allow(&User::Plain.principal(), &["Describe"], "--group", "producer-acl-group");
    until("it goes on", || told.lock().unwrap().iter().any(|line| line.contains("again"))).await;
    let record = ProducerRecord::to(name).with_value("x");
    producer.send(record).await.unwrap().await.unwrap();
    producer.close(10 * S).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_broker_dies_close_ends_in_time_and_says_what_is_not_delivered() {
    let name = "producer-dead-broker";
    let mut broker = Broker::start();
    broker.admin().create_topic(NewTopic::new(name).partitions(1));
    let producer = producer(&broker, TopicGate::new(name));
    let record = || ProducerRecord::to(name).with_value("x");
    producer.send(record()).await.unwrap().await.unwrap();
    broker.kill();
    let mut deliveries = Vec::new();
    for _ in 0..7 {
        deliveries.push(producer.send(record()).await.unwrap());
    }
    assert_eq!(producer.flush(S / 2).await.unwrap_err().topics, [(name.to_owned(), 7)]);
    let started = Instant::now();
    let left = producer.close(S).await.unwrap_err();
    assert!(started.elapsed() < 5 * S, "{:?}", started.elapsed());
    assert_eq!(
        left.to_string(),
        format!("not delivered by the deadline: 7 records of topic {name}")
    );
    for delivery in deliveries {
        let error = delivery.await.unwrap_err();
        let known =
            matches!(error, DeliveryError::NotDelivered { .. } | DeliveryError::Uncertain { .. });
        assert!(known, "{error}");
    }
    assert_eq!(producer.snapshot()[0].gate.outstanding, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_is_its_own_fault() {
    let name = "producer-large";
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(name).config("max.message.bytes", 200_000));
    let producer = Producer::builder()
        .brokers(broker.bootstrap())
        .topic(TopicGate::new(name).follow("nobody"))
        .max_bytes_on_their_way(100_000)
        .build()
        .unwrap();
    let large = ProducerRecord::to(name).with_value(vec![0; 300_000]);
    let error = producer.send(large).await.unwrap().await.unwrap_err();
    assert!(matches!(error, DeliveryError::Rejected { .. }), "{error}");
    let small = ProducerRecord::to(name).with_value(vec![0; 3_000]);
    producer.send(small).await.unwrap().await.unwrap();
    producer.close(10 * S).await.unwrap();
    let unknown = producer.try_send(ProducerRecord::to("elsewhere")).unwrap_err();
    assert!(matches!(unknown.cause, NotSent::UnknownTopic { .. }));
}
