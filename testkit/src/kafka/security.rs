//! Certificates made at run time, SASL users, access control settings.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::Properties;

/// The users that a broker with [`Builder::sasl_tls`](super::Builder::sasl_tls) knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// A super user; logs in with `PLAIN`. Every permission.
    Admin,
    /// Logs in with `PLAIN`. No permission until one is given.
    Plain,
    /// Logs in with `SCRAM-SHA-256`. No permission until one is given.
    Scram256,
    /// Logs in with `SCRAM-SHA-512`. No permission until one is given.
    Scram512,
}

impl User {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Plain, Self::Scram256, Self::Scram512];

    /// The name to log in with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Plain => "paula",
            Self::Scram256 => "samuel",
            Self::Scram512 => "sabine",
        }
    }

    /// The password to log in with.
    #[must_use]
    pub fn password(self) -> &'static str {
        match self {
            Self::Admin => "admin-secret",
            Self::Plain => "paula-secret",
            Self::Scram256 => "samuel-secret",
            Self::Scram512 => "sabine-secret",
        }
    }

    /// The SASL mechanism, as `sasl.mechanism` has it.
    #[must_use]
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Admin | Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
        }
    }

    /// The principal in access control lists: `User:name`.
    #[must_use]
    pub fn principal(self) -> String {
        format!("User:{}", self.name())
    }
}

/// Writes `ca.pem` (for clients) and `server.pem` (key and chain, for the broker) into `folder`.
///
/// The certificate is for `localhost` and `127.0.0.1`, from an authority made for this one
/// broker.
pub(crate) fn write_certificates(
    folder: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Tidegate test authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()])?;
    server.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let server = server.signed_by(&key, &authority)?;

    fs::write(folder.join("ca.pem"), authority.pem())?;
    let chain = key.serialize_pem() + &server.pem() + &authority.pem();
    fs::write(folder.join("server.pem"), chain)?;
    Ok(())
}

/// The broker's settings for the listeners `SECURE` (SASL over TLS) and `TLS`.
///
/// The plain listener's user is `ANONYMOUS`, a super user: it is the test's own way in.
pub(crate) fn server_properties(folder: &Path) -> Properties {
    let login = "org.apache.kafka.common.security";
    let mut plain = format!("{login}.plain.PlainLoginModule required");
    for user in User::ALL.iter().filter(|user| user.mechanism() == "PLAIN") {
        plain += &format!(" user_{}=\"{}\"", user.name(), user.password());
    }
    let scram = format!("{login}.scram.ScramLoginModule required;");
    [
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", folder.join("server.pem").display().to_string()),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", folder.join("ca.pem").display().to_string()),
        (
            "listener.name.secure.sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        ),
        ("listener.name.secure.plain.sasl.jaas.config", plain + ";"),
        ("listener.name.secure.scram-sha-256.sasl.jaas.config", scram.clone()),
        ("listener.name.secure.scram-sha-512.sasl.jaas.config", scram),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer".into()),
        ("super.users", format!("User:ANONYMOUS;{}", User::Admin.principal())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The arguments with which the storage is formatted so that the SCRAM users exist.
pub(crate) fn format_arguments() -> Vec<String> {
    [User::Scram256, User::Scram512]
        .iter()
        .flat_map(|user| {
            let (name, password) = (user.name(), user.password());
            let value = format!("{}=[name={name},password={password}]", user.mechanism());
            ["--add-scram".to_owned(), value]
        })
        .collect()
}
