//! The clients that ask: one for each group, since a client asks for the offsets of its own group
//! only. None of them ever subscribes, and so none joins its group.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_runtime::TopicPartition;

use super::bell::Ringer;
use super::round::Failure;
use crate::kafka::context::Context;
use crate::kafka::native::{AdminAnswer, NativeClient, NativeEvent};
use crate::kafka::settings::SettingsError;

/// The group of a probe that follows none: its client asks for topics only.
const NO_GROUP: &str = "tidegate";

/// Every client of a probe, and the numbers of their requests.
pub(super) struct Clients {
    config: ClientConfig,
    ringer: Ringer,
    /// For what is no group's.
    first: String,
    clients: BTreeMap<String, GroupClient>,
    requests: usize,
}

struct GroupClient {
    client: NativeClient,
    /// The question for commits that was not answered yet. It may be of an earlier round.
    asked: Option<usize>,
    /// The group's coordinator may not be asked. The client is told so once, and then its questions
    /// time out.
    refused: Option<Failure>,
}

impl Clients {
    /// With the client of one group, to learn early whether the configuration is accepted.
    pub(super) fn new(
        config: ClientConfig,
        group: Option<&str>,
        ringer: Ringer,
    ) -> Result<Self, SettingsError> {
        let first = group.unwrap_or(NO_GROUP).to_owned();
        let mut clients = Self { config, ringer, first, clients: BTreeMap::new(), requests: 0 };
        let made = clients.make(&clients.first).map_err(SettingsError::Inconsistent)?;
        clients.clients.insert(clients.first.clone(), made);
        Ok(clients)
    }

    fn make(&self, group: &str) -> Result<GroupClient, String> {
        let mut config = self.config.clone();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        let ringer = self.ringer.clone();
        let client = NativeClient::new(&config, Context, move || ringer.ring())
            .map_err(|error| error.to_string())?;
        Ok(GroupClient { client, asked: None, refused: None })
    }

    fn next(&mut self) -> usize {
        self.requests += 1;
        self.requests
    }

    /// Asks what topics are.
    pub(super) fn ask_topics(&mut self, topics: &[&str]) -> usize {
        let request = self.next();
        self.clients[&self.first].client.ask_topics(request, topics);
        request
    }

    /// Asks for an offset of the logs: `NativeClient::LOG_START` or `LOG_END`.
    pub(super) fn ask_offsets(&mut self, names: &[TopicPartition], spec: i64) -> usize {
        let request = self.next();
        self.clients[&self.first].client.ask_offsets(request, names, spec, false);
        request
    }

    /// Asks what a group has committed.
    ///
    /// # Errors
    /// When it is known already that there will be no answer now. It is asked all the same, since
    /// that may change.
    pub(super) fn ask_committed(
        &mut self,
        group: &str,
        names: &[TopicPartition],
    ) -> Result<usize, Failure> {
        if !self.clients.contains_key(group) {
            let made = self.make(group).map_err(|error| (Code::Fail, error))?;
            self.clients.insert(group.to_owned(), made);
        }
        let request = self.next();
        let Some(of) = self.clients.get_mut(group) else { return Ok(request) };
        // An answer that nobody waits for any more is waited for: a question takes a thread.
        if of.asked.is_none() || of.refused.is_none() {
            of.client.ask_committed(request, names);
            of.asked = Some(request);
        }
        of.refused.clone().map_or(Ok(request), Err)
    }

    /// The next answer of any client, if there is one.
    pub(super) fn poll(&mut self) -> Option<(usize, Result<AdminAnswer, Failure>)> {
        self.clients.values_mut().find_map(GroupClient::poll)
    }
}

impl GroupClient {
    fn poll(&mut self) -> Option<(usize, Result<AdminAnswer, Failure>)> {
        while let Some(event) = self.client.poll_event() {
            match event {
                NativeEvent::Admin { request, result } if self.asked == Some(request) => {
                    self.asked = None;
                    if result.is_ok() {
                        self.refused = None;
                    }
                    let refused = self.refused.clone();
                    return Some((request, result.map_err(|error| refused.unwrap_or(error))));
                }
                NativeEvent::Admin { request, result } => return Some((request, result)),
                NativeEvent::Error {
                    code: code @ Code::GroupAuthorizationFailed, text, ..
                } => {
                    self.refused = Some((code, text));
                    if let (Some(request), Some(refused)) = (self.asked, self.refused.clone()) {
                        return Some((request, Err(refused)));
                    }
                }
                _ => {}
            }
        }
        None
    }
}
