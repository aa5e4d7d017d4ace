//! Which settings can change while a command runs.

/// By command; those of other commands cannot. What is named here is taken over by the command itself,
/// where it asks for the file again ([`Reload`](super::Reload)).
const LIVE: [(&str, &[&str]); 3] = [
    (
        "run",
        &[
            "concurrency",
            "max-bytes",
            "max-queued",
            "max-window",
            "commit-interval",
            "commit-stall",
            "retries",
            "backoff",
            "backoff-max",
            "timeout",
            "stuck-after",
            "shutdown-timeout",
        ],
    ),
    ("produce", &["target", "fixed-window", "rate", "floor-rate", "grace"]),
    ("ingest", &["target", "fixed-window", "rate", "floor-rate", "grace", "max-wait"]),
];

/// Whether this setting of the command can change while it runs.
pub(super) fn is_live(command: &str, key: &str) -> bool {
    LIVE.iter().any(|(name, keys)| *name == command && keys.contains(&key))
}

/// What can change in a command.
#[cfg(test)]
pub(crate) fn keys(command: &str) -> &'static [&'static str] {
    LIVE.iter().find(|(name, _)| *name == command).map_or(&[], |(_, keys)| keys)
}

/// The commands in which it can.
pub(super) fn commands(key: &str) -> impl Iterator<Item = &'static str> {
    LIVE.iter().filter(move |(_, keys)| keys.contains(&key)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::super::setting;
    use super::*;

    #[test]
    fn all_of_them_are_settings_of_their_command() {
        let root = setting::built();
        for (name, keys) in LIVE {
            let command = setting::at(&root, &[name.to_owned()]).unwrap();
            for key in keys {
                assert!(setting::settings(command).any(|s| s.key() == *key), "{name} {key}");
            }
        }
    }
}
