//! One Apache Kafka node, broker and controller in one.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{
    Admin, Fill, Properties, User, Written, java,
    node::Node,
    produce,
    security::{self},
    settings::{self, Place, Ports},
};

/// Another process may take a free port between the look and the start.
const ATTEMPTS: u32 = 3;

/// A running Apache Kafka node on free ports, with its data in a temporary folder.
///
/// Dropping it kills it and removes the folder. It also dies, and its folder goes, when the
/// test process ends without dropping anything; see [`crate::process`].
///
/// Starting takes a few seconds, so tests that only need *a* broker use [`Broker::shared`] with
/// topics and groups of their own names. What ends or freezes a broker needs `&mut`, so the
/// shared one cannot be hurt.
#[derive(Debug)]
pub struct Broker {
    node: Node,
    secure: bool,
    bootstrap_sasl: String,
    bootstrap_tls: String,
}

/// What a [`Broker`] starts with. From [`Broker::builder`].
#[derive(Debug, Clone, Default)]
pub struct Builder {
    properties: Properties,
    secure: bool,
}

impl Builder {
    /// A broker property; it replaces the test kit's own value.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl ToString) -> Self {
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a SASL-over-TLS and a TLS listener, the [`User`]s, and access control.
    #[must_use]
    pub fn sasl_tls(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Formats the storage, starts the node and waits until it answers.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    #[must_use]
    pub fn start(self) -> Broker {
        let mut reasons = String::new();
        for _ in 0..ATTEMPTS {
            match self.try_start() {
                Ok(broker) => return broker,
                Err(error) => {
                    let _ = writeln!(reasons, "{error}");
                    if !reasons.contains("Address already in use") {
                        break;
                    }
                }
            }
        }
        panic!("Apache Kafka did not start: {reasons}");
    }

    fn try_start(&self) -> io::Result<Broker> {
        let [ports] = Ports::free();
        let more = if self.secure { &[ports.sasl, ports.tls][..] } else { &[] };
        let node = Node::new(1, &["-Xmx512m"], ports.plain, more)?;
        let mut properties = Vec::new();
        let mut arguments = Vec::new();
        if self.secure {
            security::write_certificates(node.folder()).map_err(io::Error::other)?;
            properties = security::server_properties(node.folder());
            arguments = security::format_arguments();
        }
        properties.extend_from_slice(&self.properties);
        let place = match self.secure {
            true => Place::Secure,
            false => Place::Alone,
        };
        let text = settings::server_properties(node.folder(), ports, place, &properties);
        node.format(&text, &arguments)?;
        let address = |port| format!("127.0.0.1:{port}");
        let mut broker = Broker {
            node,
            secure: self.secure,
            bootstrap_sasl: address(ports.sasl),
            bootstrap_tls: address(ports.tls),
        };
        broker.launch()?;
        Ok(broker)
    }
}

impl Broker {
    /// A broker with the default settings.
    ///
    /// # Panics
    /// As [`Builder::start`].
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// For a broker with own settings.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One broker for all tests of a test binary, started by the first that asks.
    ///
    /// # Panics
    /// As [`Builder::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// As [`Broker::shared`], with [`Builder::sasl_tls`]: a second broker.
    ///
    /// # Panics
    /// As [`Builder::start`].
    pub fn shared_sasl_tls() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self::builder().sasl_tls().start())
    }

    /// `bootstrap.servers` of the plain listener. On a secure broker its user is a super user.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        self.node.address()
    }

    /// `bootstrap.servers` of the SASL-over-TLS listener.
    ///
    /// # Panics
    /// Without [`Builder::sasl_tls`].
    #[must_use]
    pub fn bootstrap_sasl(&self) -> &str {
        assert!(self.secure, "this broker has no SASL listener: use Broker::builder().sasl_tls()");
        &self.bootstrap_sasl
    }

    /// `bootstrap.servers` of the TLS listener without a login (a super user).
    ///
    /// # Panics
    /// Without [`Builder::sasl_tls`].
    #[must_use]
    pub fn bootstrap_tls(&self) -> &str {
        assert!(self.secure, "this broker has no TLS listener: use Broker::builder().sasl_tls()");
        &self.bootstrap_tls
    }

    /// The certificate of the authority that signed the broker's certificate, as a PEM file.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// librdkafka properties for the plain listener.
    #[must_use]
    pub fn properties(&self) -> Properties {
        vec![("bootstrap.servers".into(), self.bootstrap().to_owned())]
    }

    /// librdkafka properties to log in as `user` over TLS.
    ///
    /// # Panics
    /// Without [`Builder::sasl_tls`].
    #[must_use]
    pub fn client_properties(&self, user: User) -> Properties {
        [
            ("bootstrap.servers", self.bootstrap_sasl()),
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", &self.authority().display().to_string()),
            ("sasl.mechanism", user.mechanism()),
            ("sasl.username", user.name()),
            ("sasl.password", user.password()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Administers it, with every permission.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(&self.properties())
    }

    /// Writes what `fill` describes; returns where each record went.
    #[must_use]
    pub fn fill(&self, fill: &Fill) -> Vec<Written> {
        produce::send(&self.properties(), fill.topic(), fill.iter())
    }

    /// Gives `principal` the operations on a resource, e.g.
    /// `allow("User:paula", &["Read", "Describe"], "--topic", "orders")`.
    ///
    /// It runs Kafka's own command, which takes about two seconds.
    ///
    /// # Panics
    /// When the command fails; the message has its output.
    pub fn allow(&self, principal: &str, operations: &[&str], resource: &str, name: &str) {
        let mut command =
            java::command(self.folder(), &["-Xmx128m"], "org.apache.kafka.tools.AclCommand");
        command.args(["--bootstrap-server", self.bootstrap(), "--add", "--allow-principal"]);
        command.args([principal, resource, name]);
        for operation in operations {
            command.args(["--operation", operation]);
        }
        java::run(&mut command)
            .unwrap_or_else(|error| panic!("cannot add access for {principal}: {error}"));
    }

    /// The folder with its settings, data and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.node.folder()
    }

    /// The process id of its virtual machine.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.node.process_id()
    }

    /// `kill -9`. The data stays for [`Broker::restart`].
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Ends it as an operator would (`SIGTERM`). The data stays for [`Broker::restart`].
    ///
    /// # Panics
    /// When it is still there after 30 s.
    pub fn stop(&mut self) {
        self.node.stop();
    }

    /// Starts it again on the same data and ports, after killing it if it still runs.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    pub fn restart(&mut self) {
        self.kill();
        self.launch().unwrap_or_else(|error| panic!("Apache Kafka did not start again: {error}"));
    }

    /// Freezes it (`SIGSTOP`): connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.node.pause();
    }

    /// Ends [`Broker::pause`].
    pub fn resume(&mut self) {
        self.node.resume();
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        self.node.log_end()
    }

    fn launch(&mut self) -> io::Result<()> {
        self.node.launch()?;
        self.node.wait_until_ready()
    }
}
