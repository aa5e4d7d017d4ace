//! Topics and group of a run.

use std::collections::BTreeSet;

use clap::builder::NonEmptyStringValueParser;
use tidegate::Builder;

use super::Connection;
use super::values::topic_or_pattern;
use crate::exit::Failure;

/// Topics of a run.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct TopicsArgs {
    /// A topic, or a regular expression that begins with ^. May be repeated; in the environment,
    /// separated by spaces.
    #[arg(
        short,
        long = "topic",
        value_name = "TOPIC",
        required = true,
        value_delimiter = ' ',
        value_parser = topic_or_pattern
    )]
    pub(crate) topics: Vec<String>,
}

impl TopicsArgs {
    /// Sets them, each once: the client refuses to subscribe to one twice, and does not say why.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let mut seen = BTreeSet::new();
        builder.topics(self.topics.iter().filter(|topic| seen.insert(*topic)))
    }
}

/// The group of a run.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct GroupArgs {
    /// The consumer group. Members of one group share the partitions.
    #[arg(
        short = 'G',
        long,
        value_name = "GROUP",
        value_parser = NonEmptyStringValueParser::new()
    )]
    group: Option<String>,

    /// Makes this a static member: a restart within the session timeout causes no rebalance. Each
    /// process needs an id of its own.
    #[arg(
        long,
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) group_instance_id: Option<String>,
}

impl GroupArgs {
    /// The group, if it is named anywhere.
    pub(crate) fn name<'a>(&'a self, connection: &'a Connection) -> Option<&'a str> {
        self.group.as_deref().or(connection.group.as_deref())
    }

    /// Sets them.
    ///
    /// # Errors
    /// When no group is named anywhere.
    pub(crate) fn apply(
        &self,
        builder: Builder,
        connection: &Connection,
    ) -> Result<Builder, Failure> {
        let Some(group) = self.name(connection) else {
            return Err(Failure::Missing(
                "no group is named: give --group GROUP, set TIDEGATE_GROUP, or have group.id in \
                 the file of --command-config"
                    .to_owned(),
            ));
        };
        let builder = builder.group(group);
        Ok(match &self.group_instance_id {
            Some(id) => builder.group_instance_id(id),
            None => builder,
        })
    }
}
