//! Which cluster, and how its clients are configured.

use std::fs::File;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use tidegate::StartFrom;

use super::java;
use super::values::property;
use crate::config::{Given, Origin};
use crate::exit::Failure;

/// Which cluster, and properties of its clients.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct ConnectionArgs {
    /// Brokers to begin with, separated by commas.
    #[arg(
        short,
        long,
        visible_alias = "bootstrap-server",
        value_name = "HOST:PORT",
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    brokers: Option<String>,

    /// A property of the Kafka client (librdkafka); comes over those of a file. May be repeated;
    /// in the environment, one a line.
    #[arg(
        short = 'X',
        long = "property",
        value_name = "NAME=VALUE",
        value_delimiter = '\n',
        value_parser = property
    )]
    properties: Vec<(String, String)>,

    /// A property file as Java's clients have it (security.protocol, sasl.jaas.config,
    /// ssl.truststore.location ...). Stores are read as PEM.
    #[arg(short = 'F', long, value_name = "FILE")]
    command_config: Option<PathBuf>,
}

// Properties may hold secrets.
impl std::fmt::Debug for ConnectionArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionArgs").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl ConnectionArgs {
    /// Whether the command line itself names a cluster: what stands in the environment or in a file may
    /// be meant for other commands.
    pub(crate) fn is_asked_for(given: &Given) -> bool {
        ["brokers", "properties", "command_config"]
            .iter()
            .any(|name| given.origin(name) == Origin::CommandLine)
    }

    fn is_named(&self) -> bool {
        self.brokers.is_some() || self.command_config.is_some() || !self.properties.is_empty()
    }

    /// The same where a cluster need not be named: `None` if none of these flags was given.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub(crate) fn resolve_if_named(&self) -> Result<Option<Connection>, Failure> {
        self.is_named().then(|| self.resolve()).transpose()
    }

    /// Reads the file and puts everything together.
    ///
    /// # Errors
    /// When the file cannot be used, or no broker is named anywhere.
    pub(crate) fn resolve(&self) -> Result<Connection, Failure> {
        let mut all = match &self.command_config {
            Some(path) => read(path)?,
            None => java::Translated::default(),
        };
        for (name, value) in &self.properties {
            all.properties.retain(|(earlier, _)| earlier != name);
            all.properties.push((name.clone(), value.clone()));
        }
        let mut take = |wanted: &[&str]| {
            let at = all.properties.iter().position(|(name, _)| wanted.contains(&name.as_str()))?;
            Some(all.properties.remove(at).1)
        };
        let (servers, group) =
            (take(&["bootstrap.servers", "metadata.broker.list"]), take(&["group.id"]));
        let Some(brokers) = self.brokers.clone().or(servers) else {
            return Err(Failure::Missing(
                "no broker is named: give --brokers HOST:PORT, set TIDEGATE_BROKERS, or have \
                 bootstrap.servers in the file of --command-config"
                    .to_owned(),
            ));
        };
        Ok(Connection { brokers, group, properties: all.properties, reset: all.reset })
    }
}

/// Reads a property file; what is wrong with it is told with its name.
fn read(path: &Path) -> Result<java::Translated, Failure> {
    let failed = |why: String| Failure::Config(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    java::read(file).map_err(failed)
}

/// A cluster, and how its clients are configured.
pub(crate) struct Connection {
    /// Brokers to begin with, separated by commas.
    pub(crate) brokers: String,
    /// The group that a property named.
    pub(crate) group: Option<String>,
    /// librdkafka properties.
    pub(crate) properties: Vec<(String, String)>,
    /// The start that a file's `auto.offset.reset` means.
    pub(crate) reset: Option<StartFrom>,
}

impl Connection {
    /// The configuration of a client beside the consumer.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "tidegate");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// A producer's builder with cluster and properties set.
    pub(crate) fn producer(&self) -> tidegate::ProducerBuilder {
        let builder = tidegate::Producer::builder().brokers(&self.brokers);
        self.properties.iter().fold(builder, |builder, (name, value)| builder.property(name, value))
    }

    /// A consumer's builder with cluster and properties set.
    pub(crate) fn builder(&self) -> tidegate::Builder {
        let builder = tidegate::Consumer::builder().brokers(&self.brokers);
        self.properties.iter().fold(builder, |builder, (name, value)| builder.property(name, value))
    }
}
