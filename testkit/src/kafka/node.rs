//! One Kafka process with its folder: what a single [`Broker`](super::Broker) and the members of
//! a [`Cluster`](super::Cluster) have in common.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tempfile::TempDir;

use super::{Properties, client, java, settings};
use crate::process::Guarded;

/// A start may be slow on a loaded machine; it is not a matter of minutes.
const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);

/// A Kafka process, or what is left of it, and its folder.
#[derive(Debug)]
pub(crate) struct Node {
    // Dropped first: the process must be gone before its folder is.
    process: Option<Guarded>,
    folder: TempDir,
    id: i32,
    /// Of its virtual machine.
    options: &'static [&'static str],
    /// The plain listener.
    address: String,
    /// All must be open before it counts as started.
    ports: Vec<u16>,
}

impl Node {
    /// A node that is not started, in a folder of its own with its logging set up.
    pub(crate) fn new(
        id: i32,
        options: &'static [&'static str],
        plain: u16,
        other_ports: &[u16],
    ) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-kafka-").tempdir()?;
        let text = settings::log_properties(folder.path());
        fs::write(folder.path().join("log4j2.properties"), text)?;
        let ports = std::iter::once(plain).chain(other_ports.iter().copied()).collect();
        let address = format!("127.0.0.1:{plain}");
        Ok(Self { process: None, folder, id, options, address, ports })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `bootstrap.servers` of the plain listener.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the broker runs").id()
    }

    /// Writes `server.properties` and formats the storage.
    pub(crate) fn format(&self, properties: &str, more: &[String]) -> io::Result<()> {
        let file = self.folder().join("server.properties");
        fs::write(&file, properties)?;
        let options = ["-Xmx128m", "-XX:TieredStopAtLevel=1"];
        let mut command = java::command(self.folder(), &options, "kafka.tools.StorageTool");
        // Any identifier will do: clusters of tests do not meet.
        command.args(["format", "--cluster-id", "dGlkZWdhdGUtdGVzdGtpdA", "--config"]);
        command.arg(file).args(more);
        java::run(&mut command)
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn launch(&mut self) -> io::Result<()> {
        let console = File::create(self.folder().join("console.log"))?;
        let mut arguments = java::arguments(self.folder(), self.options, "kafka.Kafka");
        arguments.push(self.folder().join("server.properties").display().to_string());
        self.process = Some(Guarded::spawn("java", arguments, &console, Some(self.folder()))?);
        Ok(())
    }

    /// Waits until it answers as a registered broker.
    pub(crate) fn wait_until_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.process.as_mut().and_then(Guarded::exited) {
                return Err(io::Error::other(format!("it ended: {status}\n{}", self.log_end())));
            }
            if self.answers() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let seconds = START.as_secs();
                let text = format!("no answer after {seconds} s\n{}", self.log_end());
                return Err(io::Error::other(text));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it is registered: the port is open earlier than that.
    fn answers(&self) -> bool {
        if self.ports.iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err()) {
            return false;
        }
        let properties: Properties = vec![("bootstrap.servers".into(), self.address.clone())];
        let consumer: Result<BaseConsumer, _> =
            client(&properties).set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg).create();
        consumer
            .and_then(|consumer| consumer.fetch_metadata(None, Duration::from_secs(2)))
            .is_ok_and(|metadata| metadata.brokers().iter().any(|broker| broker.id() == self.id))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// `SIGTERM`, and waits for the end.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate();
            assert!(process.wait(STOP).is_some(), "the broker did not stop: {}", self.log_end());
        }
    }

    pub(crate) fn pause(&self) {
        if let Some(process) = &self.process {
            process.pause();
        }
    }

    pub(crate) fn resume(&self) {
        if let Some(process) = &self.process {
            process.resume();
        }
    }

    /// Whether the process runs (or is frozen).
    pub(crate) fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.exited().is_none())
    }

    /// From now on no file of it may grow beyond `bytes`: see [`Guarded::limit_file_size`].
    pub(crate) fn limit_file_size(&self, bytes: u64) {
        self.process.as_ref().expect("the broker runs").limit_file_size(bytes);
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        let mut text = String::new();
        for name in ["console.log", "server.log"] {
            let content = self.log(name);
            let lines: Vec<_> = content.lines().collect();
            let _ = writeln!(text, "--- the end of {name}:");
            for line in &lines[lines.len().saturating_sub(40)..] {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    /// A log of it as a whole: `console.log` or `server.log`.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }
}
