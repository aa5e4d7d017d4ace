//! The topics that are served, each with the groups that it follows.

use crate::exit::Failure;
use crate::settings::topic;

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) name: String,
    /// None: its gate is open.
    pub(super) groups: Vec<String>,
}

/// Reads `TOPIC` or `TOPIC=GROUP,...`.
pub(super) fn served(text: &str) -> Result<Served, String> {
    let (name, groups) = match text.split_once('=') {
        None => (text, Vec::new()),
        Some((name, groups)) => (name, groups.split(',').map(str::to_owned).collect()),
    };
    if groups.iter().any(String::is_empty) {
        return Err("a group has no name; write it as TOPIC or TOPIC=GROUP,GROUP".to_owned());
    }
    Ok(Served { name: topic(name)?, groups })
}

/// Puts the groups of topics together that are named more than once.
///
/// # Errors
/// When one is named with and without groups: its gate cannot be open and follow a group.
pub(super) fn merge(topics: &[Served]) -> Result<Vec<Served>, Failure> {
    let mut merged: Vec<Served> = Vec::new();
    for topic in topics {
        match merged.iter_mut().find(|known| known.name == topic.name) {
            None => merged.push(topic.clone()),
            Some(known) if known.groups.is_empty() != topic.groups.is_empty() => {
                return Err(Failure::Usage(format!(
                    "--topic {} is named with and without a group",
                    topic.name
                )));
            }
            Some(known) => {
                for group in &topic.groups {
                    if !known.groups.contains(group) {
                        known.groups.push(group.clone());
                    }
                }
            }
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, groups: &[&str]) -> Served {
        Served { name: name.to_owned(), groups: groups.iter().map(|g| (*g).to_owned()).collect() }
    }

    #[test]
    fn a_topic_has_groups_or_none() {
        assert_eq!(served("orders"), Ok(of("orders", &[])));
        assert_eq!(served("orders=a,b"), Ok(of("orders", &["a", "b"])));
        for wrong in ["", "=a", "orders=", "orders=a,", "or ders", "^orders"] {
            assert!(served(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn named_twice_its_groups_count_together() {
        let twice = [of("t", &["a"]), of("u", &[]), of("t", &["b", "a"])];
        assert_eq!(merge(&twice).unwrap(), [of("t", &["a", "b"]), of("u", &[])]);
        assert!(merge(&[of("t", &["a"]), of("t", &[])]).is_err());
    }
}
