//! Trust stores and key stores: PEM is taken, the others are explained.

use std::collections::BTreeMap;

/// What Java uses when a store's type is not given.
const DEFAULT_TYPE: &str = "JKS";

/// Takes what concerns TLS out of `from`, in librdkafka's words.
///
/// # Errors
/// For stores that are not PEM (a PKCS#12 key store is fine), with how to convert them.
pub(super) fn translate(
    from: &mut BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, String> {
    let mut to = Vec::new();
    truststore(from, &mut to)?;
    keystore(from, &mut to)?;
    if let Some(check) = from.remove("ssl.endpoint.identification.algorithm") {
        // Java turns the check of the host name off by an empty value.
        let check = if check.is_empty() { "none".to_owned() } else { check.to_lowercase() };
        to.push(("ssl.endpoint.identification.algorithm".to_owned(), check));
    }
    Ok(to)
}

type Properties = BTreeMap<String, String>;

fn store_type(from: &mut Properties, name: &str) -> String {
    from.remove(name).unwrap_or_else(|| DEFAULT_TYPE.to_owned()).to_uppercase()
}

fn truststore(from: &mut Properties, to: &mut Vec<(String, String)>) -> Result<(), String> {
    let kind = store_type(from, "ssl.truststore.type");
    // Certificates are no secret: a PEM store has no password.
    from.remove("ssl.truststore.password");
    let location = from.remove("ssl.truststore.location");
    let certificates = from.remove("ssl.truststore.certificates");
    if kind == "PEM" {
        to.extend(location.map(|path| ("ssl.ca.location".to_owned(), path)));
        to.extend(certificates.map(|pem| ("ssl.ca.pem".to_owned(), pem)));
        return Ok(());
    }
    match location {
        Some(path) => Err(format!(
            "ssl.truststore.location={path} is a {kind} store, and only PEM can be read here. \
             Convert it: keytool -list -rfc -keystore {path} > truststore.pem; then set \
             ssl.truststore.type=PEM and ssl.truststore.location=truststore.pem"
        )),
        None => Ok(()),
    }
}

fn keystore(from: &mut Properties, to: &mut Vec<(String, String)>) -> Result<(), String> {
    let kind = store_type(from, "ssl.keystore.type");
    let password = from.remove("ssl.keystore.password");
    let location = from.remove("ssl.keystore.location");
    let key = from.remove("ssl.keystore.key");
    let chain = from.remove("ssl.keystore.certificate.chain");
    let key_password = from.remove("ssl.key.password");
    let mut set = |name: &str, value: Option<String>| {
        to.extend(value.map(|value| (name.to_owned(), value)));
    };
    match (kind.as_str(), location) {
        ("PEM", location) => {
            // One file has both, as Java wants it.
            set("ssl.key.location", location.clone());
            set("ssl.certificate.location", location);
            set("ssl.key.pem", key);
            set("ssl.certificate.pem", chain);
            set("ssl.key.password", key_password);
            Ok(())
        }
        ("PKCS12", Some(path)) => {
            set("ssl.keystore.location", Some(path));
            set("ssl.keystore.password", password);
            Ok(())
        }
        (_, None) => Ok(()),
        (_, Some(path)) => Err(format!(
            "ssl.keystore.location={path} is a {kind} store, and only PEM and PKCS12 can be read \
             here. Convert it: keytool -importkeystore -srckeystore {path} -destkeystore \
             keystore.p12 -deststoretype PKCS12; then set ssl.keystore.type=PKCS12 and \
             ssl.keystore.location=keystore.p12"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(properties: &[(&str, &str)]) -> Result<Properties, String> {
        let mut from =
            properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let to = translate(&mut from)?;
        assert!(from.is_empty(), "{from:?}");
        Ok(to.into_iter().collect())
    }

    #[test]
    fn pem_stores_become_locations_or_contents() {
        let files = from(&[
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", "ca.pem"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", "me.pem"),
            ("ssl.key.password", "hush"),
            ("ssl.endpoint.identification.algorithm", ""),
        ])
        .unwrap();
        assert_eq!(files["ssl.ca.location"], "ca.pem");
        assert_eq!(files["ssl.key.location"], "me.pem");
        assert_eq!(files["ssl.certificate.location"], "me.pem");
        assert_eq!(files["ssl.key.password"], "hush");
        assert_eq!(files["ssl.endpoint.identification.algorithm"], "none");
        let contents = from(&[
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.certificates", "CA"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", "KEY"),
            ("ssl.keystore.certificate.chain", "CHAIN"),
        ])
        .unwrap();
        assert_eq!(contents["ssl.ca.pem"], "CA");
        assert_eq!(contents["ssl.key.pem"], "KEY");
        assert_eq!(contents["ssl.certificate.pem"], "CHAIN");
    }

    #[test]
    fn other_stores_are_explained() {
        let refused = from(&[("ssl.truststore.location", "t.jks")]).unwrap_err();
        assert!(refused.contains("keytool") && refused.contains("t.jks"), "{refused}");
        let refused = from(&[("ssl.keystore.location", "k.jks")]).unwrap_err();
        assert!(refused.contains("PKCS12"), "{refused}");
        let taken = from(&[
            ("ssl.keystore.type", "pkcs12"),
            ("ssl.keystore.location", "k.p12"),
            ("ssl.keystore.password", "hush"),
        ])
        .unwrap();
        assert_eq!(taken["ssl.keystore.password"], "hush");
    }
}
