//! `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in the texts of a file. `$$` is one `$`; any
//! other `$` stands for itself.

/// The most bytes that a text may have with what is put in.
const LONGEST: usize = 64 * 1024;

/// What stands for a variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<Result<String, String>>;

/// The variables of this process.
pub(super) fn environment(name: &str) -> Option<Result<String, String>> {
    let value = std::env::var_os(name)?;
    Some(value.into_string().map_err(|_| format!("the variable {name} is not UTF-8")))
}

/// Puts variables in. As in a shell, an empty one counts as unset where there is a `:`.
///
/// # Errors
/// When a variable is not set and has no default, or this cannot be read.
pub(super) fn interpolate(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(behind) = behind.strip_prefix('$') {
            result.push('$');
            rest = behind;
        } else if let Some(behind) = behind.strip_prefix('{') {
            let Some((inner, behind)) = behind.split_once('}') else {
                return Err("${ has no } behind it; $$ is a $".to_owned());
            };
            result.push_str(&value(inner, lookup)?);
            if result.len() > LONGEST {
                break;
            }
            rest = behind;
        } else {
            result.push('$');
            rest = behind;
        }
    }
    result.push_str(rest);
    match result.len() > LONGEST {
        true => Err("is longer than 64 KiB with its variables".to_owned()),
        false => Ok(result),
    }
}

/// What stands for what is between the braces.
fn value(inner: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let (name, behind) = inner.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("${ must have the name of a variable behind it; $$ is a $".to_owned());
    }
    let set = lookup(name).transpose()?;
    let not_empty = set.clone().filter(|value| !value.is_empty());
    if behind.is_empty() {
        return set.ok_or_else(|| {
            format!("the variable {name} is not set; ${{{name}:-...}} gives it a default")
        });
    }
    let nested = "${...} cannot have another ${...} in it";
    match (behind.strip_prefix(":-"), behind.strip_prefix(":?")) {
        (Some(usual), _) if usual.contains("${") => Err(nested.to_owned()),
        (Some(usual), _) => Ok(not_empty.unwrap_or_else(|| usual.to_owned())),
        (_, Some(message)) => not_empty.ok_or_else(|| match message.trim() {
            "" => format!("the variable {name} is not set"),
            message => format!("the variable {name} is not set: {message}"),
        }),
        _ => Err(format!("behind the name {name} there may be :- or :?, and nothing else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<Result<String, String>> {
        match name {
            "SET" => Some(Ok("value".to_owned())),
            "EMPTY" => Some(Ok(String::new())),
            "BAD" => Some(Err("not UTF-8".to_owned())),
            _ => None,
        }
    }

    fn ok(text: &str) -> String {
        interpolate(text, &lookup).unwrap()
    }

    fn error(text: &str) -> String {
        interpolate(text, &lookup).unwrap_err()
    }

    #[test]
    fn variables_and_their_defaults() {
        assert_eq!(ok("a ${SET} b${SET}"), "a value bvalue");
        assert_eq!(ok("${UNSET:-100}ms"), "100ms");
        assert_eq!(ok("${EMPTY:-x}${EMPTY}${UNSET:-}"), "x");
        assert_eq!(ok("${SET:-x}${SET:?needed}"), "valuevalue");
        assert_eq!(ok("${UNSET:-a:-b $c}"), "a:-b $c");
    }

    #[test]
    fn a_dollar_is_a_dollar() {
        assert_eq!(ok("^orders-.*$"), "^orders-.*$");
        assert_eq!(ok("$${SET} $$ $x"), "${SET} $ $x");
        // What is put in is not looked at again.
        let once = |_: &str| Some(Ok("${SET}".to_owned()));
        assert_eq!(interpolate("${A}", &once).unwrap(), "${SET}");
    }

    #[test]
    fn a_text_stays_short() {
        let long = |_: &str| Some(Ok("x".repeat(1_000)));
        assert_eq!(interpolate(&"${A}".repeat(65), &long).unwrap().len(), 65_000);
        for text in ["${A}".repeat(66), "${A}".repeat(1_000_000), "x".repeat(70_000)] {
            assert!(interpolate(&text, &long).unwrap_err().contains("64 KiB"));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(error("${UNSET}").contains("UNSET is not set"));
        assert!(error("${EMPTY:?give a host}").contains("EMPTY is not set: give a host"));
        assert!(error("${BAD}").contains("UTF-8"));
        for wrong in ["${SET", "${}", "${1A}", "${SET-x}", "${SET:+x}", "${A:-${B}}"] {
            error(wrong);
        }
    }
}
