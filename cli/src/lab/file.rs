//! A scenario's file: TOML, every quantity with its unit, unknown keys refused.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use tidegate::Ordering;
use tidegate_sim::lab::{
    Burst, Change, Consumers, Credit, Downstream, Event, Producer, Scenario, ServiceTime, Strategy,
    Topic, WhenFull,
};

use super::quantity::{
    Attempts, Keys, Members, Of, Partitions, Rate, Records, Requests, Servers, Share, Sizes, Skew,
};

/// The file. What is left out is as in the incident.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    about: String,
    duration: Option<Of<Duration>>,
    seed: Option<u64>,
    strategies: Option<Vec<String>>,
    #[serde(default)]
    producers: Vec<ProducerTable>,
    #[serde(default)]
    topic: TopicTable,
    #[serde(default)]
    consumers: ConsumersTable,
    #[serde(default)]
    credit: CreditTable,
    #[serde(default)]
    downstream: DownstreamTable,
    #[serde(default)]
    events: Vec<EventTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducerTable {
    name: Option<String>,
    rate: Option<Of<Rate>>,
    burst: Option<BurstTable>,
    channel: Option<Of<Records>>,
    when_full: Option<WhenFullName>,
    size: Option<Of<Sizes>>,
    keys: Option<Of<Keys>>,
    skew: Option<Of<Skew>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BurstTable {
    every: Of<Duration>,
    records: Of<Records>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WhenFullName {
    Wait,
    Refuse,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicTable {
    partitions: Option<Of<Partitions>>,
    quota: Option<Of<Records>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OrderingName {
    Key,
    Partition,
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumersTable {
    members: Option<Of<Members>>,
    poll: Option<Of<Records>>,
    memory: Option<Of<ByteSize>>,
    task_memory: Option<Of<ByteSize>>,
    killed_after: Option<Of<Duration>>,
    restarts_after: Option<Of<Duration>>,
    session: Option<Of<Duration>>,
    auto_commit: Option<Of<Duration>>,
    commit: Option<Of<Duration>>,
    ordering: Option<OrderingName>,
    max_queued: Option<Of<Records>>,
    max_bytes: Option<Of<ByteSize>>,
    attempts: Option<Of<Attempts>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreditTable {
    target: Option<Of<Duration>>,
    probe: Option<Of<Duration>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DownstreamTable {
    servers: Option<Of<Servers>>,
    service: Option<Of<ServiceTime>>,
    waiting: Option<Of<Requests>>,
    failures: Option<Of<Share>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventTable {
    at: Of<Duration>,
    downstream: Option<ChangedDownstream>,
    rate: Option<ChangedRate>,
    hot_key: Option<Of<Share>>,
    poison: Option<Of<Records>>,
    crash: Option<Crash>,
    add: Option<Of<Members>>,
    remove: Option<Of<Members>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangedDownstream {
    servers: Option<Of<Servers>>,
    service: Option<Of<ServiceTime>>,
    failures: Option<Of<Share>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangedRate {
    producer: Option<String>,
    rate: Of<Rate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Crash {
    member: u32,
}

impl File {
    /// The scenario, with this name.
    pub(super) fn scenario(self, name: &str) -> Result<Scenario, String> {
        let strategies = self.strategies.unwrap_or_else(|| {
            ["unbounded", "bounded", "bounded:600", "closed-loop"].map(str::to_owned).to_vec()
        });
        let strategies: Result<Vec<Strategy>, _> = strategies.iter().map(|s| s.parse()).collect();
        let strategies = strategies.map_err(|error| format!("strategies: {error}"))?;
        let mut events = Vec::new();
        for (index, event) in self.events.into_iter().enumerate() {
            events.push(event.event().map_err(|why| format!("events[{index}]: {why}"))?);
        }
        events.sort_by_key(|event| event.at);
        let producers = match self.producers.is_empty() {
            true => vec![ProducerTable::default()],
            false => self.producers,
        };
        let scenario = Scenario {
            name: name.to_owned(),
            about: self.about.trim().to_owned(),
            duration: self.duration.map_or(Duration::from_secs(60), |d| d.0),
            seed: self.seed.unwrap_or(1),
            strategies,
            producers: (1..).zip(producers).map(|(n, producer)| producer.producer(n)).collect(),
            topic: self.topic.topic(),
            consumers: self.consumers.consumers(),
            credit: self.credit.credit(),
            downstream: self.downstream.downstream(),
            events,
        };
        scenario.validate().map_err(|error| error.to_string())?;
        Ok(scenario)
    }
}

impl ProducerTable {
    fn producer(self, number: usize) -> Producer {
        let size = self.size.map_or((1_000, 1_000), |size| (size.0.0, size.0.1));
        Producer {
            name: self.name.unwrap_or_else(|| format!("producer-{number}")),
            rate: self.rate.map_or(10_000.0, |rate| rate.0.0),
            burst: self.burst.map(|b| Burst { every: b.every.0, records: b.records.0.0 }),
            channel: self.channel.map_or(10_000, |channel| channel.0.0),
            when_full: match self.when_full {
                Some(WhenFullName::Refuse) => WhenFull::Refuse,
                Some(WhenFullName::Wait) | None => WhenFull::Wait,
            },
            size: size.0..=size.1,
            keys: self.keys.map_or(100_000, |keys| keys.0.0),
            zipf: self.skew.map_or(0.0, |skew| skew.0.0),
        }
    }
}

impl TopicTable {
    fn topic(self) -> Topic {
        Topic {
            partitions: self.partitions.map_or(12, |partitions| partitions.0.0),
            quota: self.quota.map_or(10_000, |quota| quota.0.0.into()),
        }
    }
}

impl ConsumersTable {
    fn consumers(self) -> Consumers {
        let time = |given: Option<Of<Duration>>, usual_ms| {
            given.map_or(Duration::from_millis(usual_ms), |given| given.0)
        };
        let bytes = |given: Option<Of<ByteSize>>, usual| given.map_or(usual, |given| given.0.0);
        Consumers {
            members: self.members.map_or(1, |members| members.0.0),
            poll: self.poll.map_or(1_000, |poll| poll.0.0),
            memory: bytes(self.memory, 500_000_000),
            task_memory: bytes(self.task_memory, 9_000),
            killed_after: time(self.killed_after, 6_000),
            restarts_after: time(self.restarts_after, 5_000),
            session: time(self.session, 10_000),
            auto_commit: time(self.auto_commit, 5_000),
            commit: time(self.commit, 200),
            ordering: match self.ordering {
                Some(OrderingName::Partition) => Ordering::Partition,
                Some(OrderingName::None) => Ordering::None,
                Some(OrderingName::Key) | None => Ordering::Key,
            },
            max_queued: self.max_queued.map_or(4_096, |queued| queued.0.0),
            max_bytes: bytes(self.max_bytes, 64 << 20),
            attempts: self.attempts.map_or(6, |attempts| attempts.0.0),
        }
    }
}

impl CreditTable {
    fn credit(self) -> Credit {
        Credit {
            target: self.target.map_or(Duration::from_secs(2), |target| target.0),
            probe: self.probe.map_or(Duration::from_millis(500), |probe| probe.0),
        }
    }
}

impl DownstreamTable {
    fn downstream(self) -> Downstream {
        let usual = ServiceTime::Constant(Duration::from_millis(100));
        Downstream {
            servers: self.servers.map_or(500, |servers| servers.0.0),
            service: self.service.map_or(usual, |service| service.0),
            waiting: self.waiting.map(|waiting| waiting.0.0),
            failures: self.failures.map_or(0.0, |failures| failures.0.0),
        }
    }
}

impl EventTable {
    fn event(self) -> Result<Event, String> {
        let downstream = self.downstream.map(|changed| Change::Downstream {
            servers: changed.servers.map(|servers| servers.0.0),
            service: changed.service.map(|service| service.0),
            failures: changed.failures.map(|failures| failures.0.0),
        });
        let rate = self
            .rate
            .map(|changed| Change::Rate { producer: changed.producer, rate: changed.rate.0.0 });
        let changes = [
            downstream,
            rate,
            self.hot_key.map(|share| Change::HotKey { share: share.0.0 }),
            self.poison.map(|records| Change::Poison { records: records.0.0 }),
            self.crash.map(|crash| Change::Crash { member: crash.member }),
            self.add.map(|members| Change::AddMembers(members.0.0)),
            self.remove.map(|members| Change::RemoveMembers(members.0.0)),
        ];
        let mut changes = changes.into_iter().flatten();
        match (changes.next(), changes.next()) {
            (Some(change), None) => Ok(Event { at: self.at.0, change }),
            _ => {
                Err("an event changes one thing: downstream, rate, hot_key, poison, crash, add or \
                      remove"
                    .to_owned())
            }
        }
    }
}
