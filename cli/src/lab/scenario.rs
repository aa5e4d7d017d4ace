//! Finding a scenario: a shipped one, or a file, with what was set on the command line.

use std::path::Path;
use std::time::Duration;

use tidegate_sim::lab::{Scenario, Strategy};
use toml::Table;

use super::file::File;
use super::set::{self, CONCURRENCY};
use crate::exit::Failure;

/// The shipped scenarios by name; the first is the default.
pub(super) const SHIPPED: &[(&str, &str)] = &[
    ("incident", include_str!("../../scenarios/incident.toml")),
    ("slow-downstream", include_str!("../../scenarios/slow-downstream.toml")),
    ("hot-key", include_str!("../../scenarios/hot-key.toml")),
    ("burst", include_str!("../../scenarios/burst.toml")),
    ("flapping-downstream", include_str!("../../scenarios/flapping-downstream.toml")),
    ("rebalance-storm", include_str!("../../scenarios/rebalance-storm.toml")),
    ("poison-record", include_str!("../../scenarios/poison-record.toml")),
    ("two-producers", include_str!("../../scenarios/two-producers.toml")),
];

/// The text of a scenario, and where it comes from.
#[derive(Debug)]
pub(super) struct Source {
    /// What the scenario is called.
    name: String,
    /// For messages.
    place: String,
    /// Its file.
    pub(super) text: String,
}

/// What the command line changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// `--strategy`; empty for those of the scenario.
    pub(super) strategies: Vec<Strategy>,
    /// `--set`, in order.
    pub(super) settings: Vec<(String, String)>,
    /// `--seed`.
    pub(super) seed: Option<u64>,
    /// `--duration`.
    pub(super) duration: Option<Duration>,
}

impl Source {
    /// Finds a shipped scenario by its name, or reads a file.
    pub(super) fn find(scenario: &str) -> Result<Self, Failure> {
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == scenario) {
            let (name, text) = ((*name).to_owned(), (*text).to_owned());
            return Ok(Self { place: format!("scenario {name}"), name, text });
        }
        let path = Path::new(scenario);
        if !scenario.ends_with(".toml") && !path.exists() {
            let names: Vec<_> = SHIPPED.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            return Err(Failure::Usage(format!(
                "there is no scenario {scenario:?}: name one of {names}, or a file that ends in .toml"
            )));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Config(format!("{scenario} cannot be read: {error}")))?;
        let name = path.file_stem().map_or(scenario.into(), |name| name.to_string_lossy());
        Ok(Self { name: name.into_owned(), place: scenario.to_owned(), text })
    }

    /// The scenario with these changes.
    pub(super) fn scenario(&self, changes: &Changes) -> Result<Scenario, Failure> {
        let bad_file = |why: &dyn std::fmt::Display| {
            Failure::Config(format!("{}: {}", self.place, why.to_string().trim_end()))
        };
        // Read as it is first: only so do errors have their line.
        let file: File = toml::from_str(&self.text).map_err(|error| bad_file(&error))?;
        let mut scenario = file.scenario(&self.name).map_err(|error| bad_file(&error))?;
        let settings = changes.settings.iter().filter(|(key, _)| key != CONCURRENCY);
        let mut table: Option<Table> = None;
        for (key, value) in settings {
            let usage = |why: &dyn std::fmt::Display| {
                let why = why.to_string();
                Failure::Usage(format!("--set {key}={value}: {}", why.trim_end()))
            };
            let mut changed = match table.take() {
                Some(table) => table,
                None => self.text.parse().map_err(|error| bad_file(&error))?,
            };
            set::set(&mut changed, key, value).map_err(|error| usage(&error))?;
            let file: File = changed
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| usage(&error.message()))?;
            scenario = file.scenario(&self.name).map_err(|error| usage(&error))?;
            table = Some(changed);
        }
        changes.apply(&mut scenario)?;
        Ok(scenario)
    }
}

impl Changes {
    fn apply(&self, scenario: &mut Scenario) -> Result<(), Failure> {
        if !self.strategies.is_empty() {
            scenario.strategies.clone_from(&self.strategies);
        }
        for (_, value) in self.settings.iter().filter(|(key, _)| key == CONCURRENCY) {
            let permits = match value.parse() {
                Ok(permits @ 1..=100_000) => permits,
                _ => {
                    return Err(Failure::Usage(format!(
                        "--set concurrency={value}: it must be a number from 1 to 100,000"
                    )));
                }
            };
            for strategy in &mut scenario.strategies {
                *strategy = strategy.with_permits(permits);
            }
        }
        if let Some(seed) = self.seed {
            scenario.seed = seed;
        }
        if let Some(duration) = self.duration {
            scenario.duration = duration;
            scenario.events.retain(|event| event.at <= duration);
        }
        // A strategy that is there twice would look as if there were two.
        let mut seen = Vec::new();
        scenario.strategies.retain(|strategy| {
            let is_new = !seen.contains(strategy);
            seen.push(*strategy);
            is_new
        });
        scenario.validate().map_err(|error| Failure::Usage(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, named: &[&str]) {
        let source = Source { name: "x".into(), place: "x.toml".into(), text: text.into() };
        let Err(Failure::Config(error)) = source.scenario(&Changes::default()) else {
            panic!("{text}");
        };
        assert!(error.contains("x.toml"), "{error}");
        for named in named {
            assert!(error.contains(named), "{named}: {error}");
        }
    }

    #[test]
    fn every_shipped_scenario_is_sound_and_says_what_it_shows() {
        for (name, _) in SHIPPED {
            let scenario = Source::find(name).unwrap().scenario(&Changes::default()).unwrap();
            assert!(!scenario.about.is_empty() && scenario.name == *name);
        }
    }

    #[test]
    fn the_incident_writes_every_default_out() {
        let empty = Source { name: "incident".into(), place: String::new(), text: String::new() };
        let mut empty = empty.scenario(&Changes::default()).unwrap();
        let incident = Source::find("incident").unwrap().scenario(&Changes::default()).unwrap();
        empty.about.clone_from(&incident.about);
        empty.producers[0].name = "orders".to_owned();
        assert_eq!(empty, incident);
    }

    #[test]
    fn bad_files_are_explained_with_line_key_and_what_is_allowed() {
        refused("duration = \"60s\"\nspeed = 5\n", &["line 2", "speed", "duration"]);
        refused("[downstream]\nservers = 500\n", &["line 2", "servers", "500 servers"]);
        refused("[downstream]\nservers = \"500\"\n", &["line 2", "unit is missing"]);
        refused("[[producers]]\nrate = \"fast\"\n", &["line 2", "10000/s"]);
        refused("[consumers]\nordering = \"random\"\n", &["line 2", "partition"]);
        refused("[[events]]\nat = \"5s\"\n", &["events[0]", "hot_key"]);
        refused("strategies = [\"open\"]\n", &["open", "closed-loop"]);
        refused("[topic]\npartitions = \"0 partitions\"\n", &["topic.partitions", "1000"]);
        refused("[[events]]\nat = \"61s\"\nadd = \"1 member\"\n", &["events[0].at"]);
        refused("a = = b", &["line 1"]);
    }

    #[test]
    fn settings_from_the_command_line_are_checked_as_usage() {
        let with = |key: &str, value: &str| {
            let settings = vec![(key.to_owned(), value.to_owned())];
            Source::find("incident").unwrap().scenario(&Changes { settings, ..Changes::default() })
        };
        assert_eq!(with("downstream.servers", "20").unwrap().downstream.servers, 20);
        assert_eq!(with("concurrency", "7").unwrap().strategies[1].permits(), Some(7));
        for (key, value) in [
            ("downstream.serverz", "5"),
            ("downstream.servers", "0"),
            ("downstream.service", "100"),
            ("concurrency", "0"),
            ("producers.nobody.rate", "5"),
        ] {
            assert!(matches!(with(key, value), Err(Failure::Usage(_))), "{key}");
        }
    }
}
