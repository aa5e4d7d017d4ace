//! The flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use super::Admin;
use crate::check::plan::Port;
use crate::exit::Failure;
use crate::server::{self, Flags};

/// Holds the token itself, for those who have no file.
const TOKEN: &str = "TIDEGATE_ADMIN_TOKEN";
const FLAGS: Flags =
    Flags { listen: "--admin", token_file: "--admin-token-file", insecure: "--admin-insecure" };

/// Where metrics and probes are served.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Admin port")]
pub(crate) struct AdminArgs {
    /// Serve /metrics (Prometheus), /snapshot (JSON), /healthz and /readyz there; for example
    /// 127.0.0.1:9464. An address that others can reach needs a token, or --admin-insecure. Port 0
    /// takes one that is free. Nothing is served if not given.
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,

    /// A file with the token that requests to the admin port must have (Authorization: Bearer
    /// TOKEN). Without this flag the variable TIDEGATE_ADMIN_TOKEN may hold the token itself.
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,

    /// Serve the admin port where others can reach it without asking for a token.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        requires = "admin"
    )]
    admin_insecure: bool,
}

impl AdminArgs {
    /// What is known of the port before it is listened on.
    ///
    /// # Errors
    /// As those of [`resolve`](Self::resolve).
    pub(crate) fn port(&self) -> Result<Option<Port>, Failure> {
        let admin = self.resolve()?;
        Ok(admin.map(|Admin { address, token }| Port {
            address,
            has_token: token.is_some(),
            has_tls: false,
        }))
    }

    /// The port, if one is wanted.
    ///
    /// # Errors
    /// When others could reach it without a token, or the token cannot be read.
    pub(crate) fn resolve(&self) -> Result<Option<Admin>, Failure> {
        let Some(address) = self.admin else { return Ok(None) };
        let token = server::read_token(self.admin_token_file.as_deref(), TOKEN)?;
        server::check(&FLAGS, address, token.is_some(), self.admin_insecure)?;
        Ok(Some(Admin { address, token }))
    }
}
