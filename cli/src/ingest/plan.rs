//! What an ingest would do, for `tidegate check`: as `run` reads its flags, and nothing is started.

use super::{FLAGS, IngestArgs, TOKEN, served};
use crate::check::plan::{Ingest, Kind, Plan, Port};
use crate::exit::Failure;
use crate::server;

impl IngestArgs {
    /// What it would do.
    ///
    /// # Errors
    /// As one that cannot start for what its flags and files say.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let topics = served::merge(&self.topics)?;
        let connection = self.connection.resolve()?;
        let token = server::read_token(self.token_file.as_deref(), TOKEN)?;
        server::check(&FLAGS, self.listen, token.is_some(), self.insecure)?;
        let admin = self.admin.port()?;
        let has_tls = self.tls()?.is_some();
        self.check_sizes()?;
        self.producer(&connection, &topics).check()?;
        let ingest = Ingest {
            topics: topics
                .into_iter()
                .map(|topic| self.gate.gated(topic.name, topic.groups))
                .collect(),
            listen: Port { address: self.listen, has_token: token.is_some(), has_tls },
            max_body: self.max_body() as u64,
            max_bytes: self.max_bytes().into(),
            max_wait: self.max_wait(),
            shut_status: self.shut_status().as_u16(),
            delivery_timeout: self.delivery_timeout,
            shutdown_timeout: self.shutdown_timeout,
        };
        Ok(Plan { command: "ingest", connection, admin, kind: Kind::Ingest(ingest) })
    }
}
