//! `sasl.jaas.config`: who logs in.

use std::iter::Peekable;
use std::str::Chars;

/// The user and password of a `PlainLoginModule` or `ScramLoginModule`.
///
/// # Errors
/// For other modules, and for what is not a JAAS entry. Never shows a value.
pub(super) fn translate(config: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = words(config)?.into_iter();
    let module = words.next().unwrap_or_default();
    match module.rsplit('.').next() {
        Some("PlainLoginModule" | "ScramLoginModule") => {}
        other => {
            // What is no module may be anything, a password as well.
            let module = other.filter(|name| name.ends_with("Module")).unwrap_or("its first word");
            return Err(format!(
                "sasl.jaas.config: {module} is not supported; PlainLoginModule and \
                 ScramLoginModule are, and everything else has librdkafka properties of its own \
                 (-X sasl.mechanism=..., -X sasl.oauthbearer...)"
            ));
        }
    }
    let mut found = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some(("username", value)) => found.push(("sasl.username".to_owned(), value.to_owned())),
            Some(("password", value)) => found.push(("sasl.password".to_owned(), value.to_owned())),
            Some((option, _)) => {
                return Err(format!("sasl.jaas.config: option {option} is not supported"));
            }
            // The control flag: required, requisite, sufficient or optional.
            None => {}
        }
    }
    for needed in ["sasl.username", "sasl.password"] {
        if !found.iter().any(|(name, _)| name == needed) {
            let option = needed.trim_start_matches("sasl.");
            return Err(format!("sasl.jaas.config: {option} is missing"));
        }
    }
    Ok(found)
}

/// The words of one entry, up to its semicolon; quotes are taken off, `\` escapes within them.
fn words(config: &str) -> Result<Vec<String>, String> {
    let mut chars = config.chars().peekable();
    let mut words = Vec::new();
    let mut word = String::new();
    loop {
        match chars.next() {
            None => return Err("sasl.jaas.config: the semicolon at the end is missing".to_owned()),
            Some(';') => break,
            Some(c) if c.is_whitespace() => words.extend(finished(&mut word)),
            Some(quote @ ('"' | '\'')) => quoted(&mut chars, quote, &mut word)?,
            Some(c) => word.push(c),
        }
    }
    words.extend(finished(&mut word));
    Ok(words)
}

fn finished(word: &mut String) -> Option<String> {
    (!word.is_empty()).then(|| std::mem::take(word))
}

fn quoted(chars: &mut Peekable<Chars<'_>>, quote: char, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next() {
            None => return Err("sasl.jaas.config: a quote is not closed".to_owned()),
            Some('\\') => word.extend(chars.next()),
            Some(c) if c == quote => return Ok(()),
            Some(c) => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";

    #[test]
    fn user_and_password_are_found() {
        let found =
            translate(&format!("{PLAIN} username='a b' password=\"x=\\\"y\\\\;\";")).unwrap();
        assert_eq!(found[0].1, "a b");
        assert_eq!(found[1].1, "x=\"y\\;");
    }

    #[test]
    fn refusals_show_no_secret() {
        let long = format!("{PLAIN} username=a password=hush");
        for (config, named) in [
            ("com.sun.security.auth.module.Krb5LoginModule required;", "Krb5LoginModule"),
            (&format!("{PLAIN} username=a;"), "password"),
            ("password=hush required;", "its first word"),
            (&format!("{long} tokenauth=true;"), "tokenauth"),
            (&format!("{PLAIN} password=\"hush"), "quote"),
            (&long, "semicolon"),
        ] {
            let refused = translate(config).unwrap_err();
            assert!(refused.contains(named) && !refused.contains("hush"), "{refused}");
        }
    }
}
