//! `--set`: one setting of a scenario changed without a file.

use toml::{Table, Value};

/// Settings by their names in a file, with the unit that a bare number has.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("concurrency", ""),
    ("producers.rate", "/s"),
    ("producers.channel", " records"),
    ("producers.when_full", ""),
    ("producers.size", ""),
    ("producers.keys", " keys"),
    ("producers.skew", ""),
    ("topic.partitions", " partitions"),
    ("topic.quota", " records"),
    ("consumers.members", " members"),
    ("consumers.poll", " records"),
    ("consumers.memory", ""),
    ("consumers.task_memory", ""),
    ("consumers.killed_after", ""),
    ("consumers.restarts_after", ""),
    ("consumers.session", ""),
    ("consumers.auto_commit", ""),
    ("consumers.commit", ""),
    ("consumers.ordering", ""),
    ("consumers.max_queued", " records"),
    ("consumers.max_bytes", ""),
    ("consumers.attempts", " attempts"),
    ("credit.target", ""),
    ("credit.probe", ""),
    ("downstream.servers", " servers"),
    ("downstream.service", ""),
    ("downstream.waiting", " requests"),
    ("downstream.failures", ""),
];

/// The permits of every strategy: not a key of the file.
pub(super) const CONCURRENCY: &str = "concurrency";

/// The unit that a bare number of this setting has; an error that lists the settings if there is
/// none of this name.
pub(super) fn unit(key: &str) -> Result<&'static str, String> {
    let general = general(key);
    let known = KEYS.iter().find(|(name, _)| *name == general);
    known.map(|(_, unit)| *unit).ok_or_else(|| {
        let names: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
        format!("there is no setting {key:?}; there are {}", names.join(", "))
    })
}

/// The name without that of a producer: `producers.orders.rate` is `producers.rate`.
fn general(key: &str) -> String {
    match key.strip_prefix("producers.").and_then(|rest| rest.rsplit_once('.')) {
        Some((_, setting)) => format!("producers.{setting}"),
        None => key.to_owned(),
    }
}

/// Changes a setting in a file's table.
pub(super) fn set(table: &mut Table, key: &str, value: &str) -> Result<(), String> {
    let unit = unit(key)?;
    let number = !value.is_empty() && value.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value = if number { format!("{value}{unit}") } else { value.to_owned() };
    let (section, setting) = key.split_once('.').unwrap_or((key, ""));
    if section != "producers" {
        let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(section) = section else { return Err(format!("{key} is no table")) };
        section.insert(setting.to_owned(), Value::String(value));
        return Ok(());
    }
    let (name, setting) = match setting.rsplit_once('.') {
        Some((name, setting)) => (Some(name), setting),
        None => (None, setting),
    };
    let producers =
        table.entry("producers").or_insert_with(|| Value::Array(vec![Value::Table(Table::new())]));
    let producers = producers.as_array_mut().into_iter().flatten().filter_map(Value::as_table_mut);
    let mut names = Vec::new();
    let mut found = false;
    for producer in producers {
        let its = producer.get("name").and_then(Value::as_str).map(str::to_owned);
        if name.is_none() || its.as_deref() == name {
            producer.insert(setting.to_owned(), Value::String(value.clone()));
            found = true;
        }
        names.extend(its);
    }
    match found {
        true => Ok(()),
        false => Err(format!("{key}: there is no such producer; there are {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_changed_by_their_names() {
        let mut table: Table =
            "[[producers]]\nname = 'a'\n[[producers]]\nname = 'b'\n".parse().unwrap();
        set(&mut table, "producers.rate", "5").unwrap();
        set(&mut table, "producers.b.rate", "7/min").unwrap();
        set(&mut table, "downstream.service", "20ms").unwrap();
        set(&mut table, "downstream.servers", "20").unwrap();
        assert_eq!(table["producers"][0]["rate"].as_str(), Some("5/s"));
        assert_eq!(table["producers"][1]["rate"].as_str(), Some("7/min"));
        assert_eq!(table["downstream"]["service"].as_str(), Some("20ms"));
        assert_eq!(table["downstream"]["servers"].as_str(), Some("20 servers"));
        assert!(set(&mut table, "producers.c.rate", "5").unwrap_err().contains("a, b"));
        let error = set(&mut table, "downstream.serverz", "5").unwrap_err();
        assert!(error.contains("downstream.servers") && error.contains("concurrency"));
    }
}
