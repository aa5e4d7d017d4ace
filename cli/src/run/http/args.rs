//! The flags of `--to http://...`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args as _, Command, ValueEnum};
use hyper::header::HeaderValue;

use super::response::{OnStatus, on_status};
use crate::config::{Given, Origin};
use crate::exit::Failure;
use crate::settings::duration;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// What is said of a flag that has nothing to do.
const ONLY: &str = "for an HTTP target, --to http://HOST/PATH or https://HOST/PATH";
/// How long a call may take if `--timeout` does not say.
pub(in crate::run) const TIMEOUT: Duration = Duration::from_secs(60);

/// Whether requests are CloudEvents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CloudEvents {
    /// In binary mode: attributes as ce- headers, the value as body.
    Binary,
    /// No ce- headers.
    None,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Version {
    /// With TLS what both speak, HTTP/2 first; without it HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    #[value(name = "1.1")]
    One,
    /// HTTP/2, without TLS as well (prior knowledge).
    #[value(name = "2")]
    Two,
}

/// Flags of an HTTP target.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "HTTP target")]
pub(crate) struct HttpArgs {
    /// Whether requests are CloudEvents.
    #[arg(long, value_name = "MODE", default_value = "binary")]
    pub(super) cloudevents: CloudEvents,

    /// The media type of values whose record has no header content-type.
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "application/octet-stream",
        value_parser = media_type
    )]
    pub(super) content_type: HeaderValue,

    /// What a status means, instead of what docs/http.md says: 404=dead-letter, 500-599=overload,
    /// 4xx=retry. Actions are done, drop, retry, overload, fault and dead-letter. May be repeated,
    /// and the last one that fits counts; in the environment, separated by spaces.
    #[arg(
        long,
        value_name = "STATUS=ACTION",
        value_delimiter = ' ',
        value_parser = on_status
    )]
    pub(super) on_status: Vec<OnStatus>,

    /// Which HTTP is spoken.
    #[arg(long, value_name = "VERSION", default_value = "auto")]
    pub(super) http_version: Version,

    /// How long a connection may take to open, TLS included. 10ms to 1h.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration(10 * MS, HOUR)
    )]
    pub(super) connect_timeout: Duration,

    /// How long it may take until the head of an answer is there. 10ms to 1h. The whole call may take
    /// as long as --timeout says, or a minute.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(10 * MS, HOUR)
    )]
    pub(super) first_byte_timeout: Duration,

    /// A file with a token that is sent with each request (Authorization: Bearer TOKEN). Without this
    /// flag the variable TIDEGATE_TOKEN may hold the token itself. The file is read again when the
    /// target wants another one.
    #[arg(long, value_name = "FILE", conflicts_with = "basic_file")]
    pub(super) token_file: Option<PathBuf>,

    /// A file with USER:PASSWORD, sent with each request (Authorization: Basic). Without this flag the
    /// variable TIDEGATE_BASIC may hold it.
    #[arg(long, value_name = "FILE")]
    pub(super) basic_file: Option<PathBuf>,

    /// Those who may vouch for the target's certificate, in PEM, instead of those this machine trusts.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// A certificate that is shown to the target, and those that vouch for it, in PEM.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(super) client_cert: Option<PathBuf>,

    /// That certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(super) client_key: Option<PathBuf>,
}

impl HttpArgs {
    /// Refuses what was given of these for a target that is none of theirs, by the command line or in
    /// the command's own table of a file. Variables, and keys that are for several commands, may be
    /// meant for others.
    ///
    /// # Errors
    /// With the flags, or the keys and their lines.
    pub(crate) fn refuse(given: &Given) -> Result<(), Failure> {
        let origins = Self::origins(given);
        let told = |(flag, origin): &(String, Origin)| {
            (*origin == Origin::CommandLine).then(|| format!("--{flag}"))
        };
        let flags: Vec<_> = origins.iter().filter_map(told).collect();
        let file = given.file().map(|file| file.display().to_string()).unwrap_or_default();
        let keys = origins.iter().filter_map(|(key, origin)| match origin {
            Origin::File { line, own: true } => {
                Some(format!("{file}:{line}: [run] {key}: only {ONLY}"))
            }
            _ => None,
        });
        let keys: Vec<_> = keys.collect();
        match (flags.is_empty(), keys.is_empty()) {
            (false, _) => Err(Failure::Usage(format!("{}: only {ONLY}", flags.join(", ")))),
            (true, false) => Err(Failure::Config(keys.join("\n"))),
            (true, true) => Ok(()),
        }
    }

    /// The same of a file alone, for whoever names the file and its table by itself.
    ///
    /// # Errors
    /// With the keys and their lines.
    pub(crate) fn refuse_keys(given: &Given) -> Result<(), Failure> {
        let keys = Self::origins(given).into_iter().filter_map(|(key, origin)| match origin {
            Origin::File { line, own: true } => Some(format!("{key} (line {line})")),
            _ => None,
        });
        let keys: Vec<_> = keys.collect();
        match keys.is_empty() {
            true => Ok(()),
            false => Err(Failure::Config(format!("{}: only {ONLY}", keys.join(", ")))),
        }
    }

    /// Where each of these came from, by its flag.
    fn origins(given: &Given) -> Vec<(String, Origin)> {
        let flags = Self::augment_args(Command::new("http"));
        let origin = |arg: &Arg| {
            (arg.get_long().unwrap_or_default().to_owned(), given.origin(arg.get_id().as_str()))
        };
        flags.get_arguments().map(origin).collect()
    }
}

/// Reads a media type.
fn media_type(text: &str) -> Result<HeaderValue, String> {
    let wrong = || "write it like application/json".to_owned();
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !plain || text.trim() != text || !text.contains('/') {
        return Err(wrong());
    }
    HeaderValue::from_str(text).map_err(|_| wrong())
}
