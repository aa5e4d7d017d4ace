//! The admin port of commands that run for long: metrics, a snapshot, and probes.
//!
//! `args` are its flags, `service` its paths. What is shown comes from a [`Source`]: `consumer` (with
//! `numbers`, `lags`, `health`, and `measured` with its `histogram`) for a run, and `gates` for what produces.
//! `text` is the format that Prometheus reads. `docs/metrics.md` is its reference.
//!
//! It is served by a thread of its own, so that it answers when nothing else does.

mod args;
mod consumer;
mod gates;
mod health;
mod histogram;
mod lags;
mod measured;
mod numbers;
mod service;
mod text;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate::Level;

pub(crate) use self::args::AdminArgs;
pub(crate) use self::consumer::Consumer;
pub(crate) use self::gates::{metrics as gate_metrics, snapshot as gate_snapshot};
pub(crate) use self::health::{Health, Look};
pub(crate) use self::measured::Measured;
use self::service::Service;
pub(crate) use self::text::{Metric, Text};
use crate::exit::Failure;
use crate::report::{Message, Sender};
use crate::server::{self, Server, Times, Token};

/// The version of what `/snapshot` answers. It changes when a field goes or changes its meaning.
pub(crate) const VERSION: u32 = 1;
/// So many connections are served.
const CONNECTIONS: usize = 64;
/// Slow clients are cut off.
const TIMES: Times = Times {
    idle: Duration::from_secs(60),
    head: Duration::from_secs(5),
    write: Duration::from_secs(10),
};
/// How often a source looks whether something moves.
const TICK: Duration = Duration::from_millis(500);

/// What an admin port shows.
pub(crate) trait Source: Send + Sync + 'static {
    /// Looks whether something moves. Called twice a second.
    fn tick(&self);

    /// Every metric, in the format of Prometheus.
    fn metrics(&self, text: &mut Text);

    /// Everything at a moment.
    fn snapshot(&self) -> Value;

    /// Whether what waits moves.
    ///
    /// # Errors
    /// Where it does not, in words.
    fn health(&self) -> Result<(), String>;

    /// Whether it takes work.
    ///
    /// # Errors
    /// Why not, in words.
    fn ready(&self) -> Result<(), String>;
}

/// An admin port that is wanted.
pub(crate) struct Admin {
    address: SocketAddr,
    token: Option<Token>,
}

impl Admin {
    /// Listens and serves until the process ends.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(crate) fn start(self, source: Arc<dyn Source>, sender: &Sender) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Failed(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (listener, address) = runtime.block_on(async { server::bind(self.address) })?;
        let words = format!("admin port on http://{address}");
        let message = Message::new(Level::Info, "admin-listening", words);
        sender.message(message.with("address", address.to_string()));
        if !address.ip().is_loopback() && self.token.is_none() {
            let words = "everybody who reaches the admin port may read it: no token is asked for";
            sender.message(Message::new(Level::Warning, "no-token", words));
        }
        let server = Server {
            listener,
            tls: None,
            most: CONNECTIONS,
            times: TIMES,
            service: Arc::new(Service { source: Arc::clone(&source), token: self.token }),
            sender: sender.clone(),
        };
        let serve = async move {
            tokio::spawn(async move {
                loop {
                    source.tick();
                    tokio::time::sleep(TICK).await;
                }
            });
            server.run(std::future::pending()).await;
        };
        let thread = std::thread::Builder::new().name("tidegate-admin".to_owned());
        thread.spawn(move || runtime.block_on(serve)).map(drop).map_err(failed)
    }
}
