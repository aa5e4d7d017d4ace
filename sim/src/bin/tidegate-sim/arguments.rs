//! The command line.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
Plays schedules of a simulated world against Tidegate's engine until a promise is broken.

Usage: tidegate-sim --seed N | --seconds S [--seed N] | --tape FILE [--shrink]

  --seed N         play the schedule of this seed; with --seconds, begin with it
  --seconds S      play as many schedules as fit, on all cores; begins anywhere without --seed
  --tape FILE      play a tape that was written down
  --shrink         make a failing tape shorter first (a failing seed's always is)
  --output FORMAT  text (default) or json
  --canary NAME    wake a planted bug (builds with RUSTFLAGS='--cfg tidegate_canary' only)

Exit codes: 0 all promises kept, 1 one broken (its tape is written to a file), 2 wrong usage.";

/// What to play.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Play {
    Seed(u64),
    Seconds { time: Duration, first: Option<u64> },
    Tape { file: PathBuf, shrink: bool },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) play: Play,
    pub(crate) json: bool,
    pub(crate) canary: Option<String>,
}

/// Reads the command line. `Ok(None)`: help was asked for.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let (mut seed, mut seconds, mut tape, mut canary) = (None, None, None, None);
    let (mut shrink, mut json) = (false, false);
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if attached.is_some() && ["--help", "-h", "--shrink"].contains(&name.as_str()) {
            return Err(format!("{name} takes no value"));
        }
        let mut value =
            || attached.clone().or_else(|| words.next()).ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--shrink" => shrink = true,
            "--seed" => seed = Some(whole_number(&name, &value()?)?),
            "--seconds" => seconds = Some(whole_number(&name, &value()?)?),
            "--tape" => tape = Some(PathBuf::from(value()?)),
            "--canary" => canary = Some(value()?),
            "--output" => {
                json = match value()?.as_str() {
                    "json" => true,
                    "text" => false,
                    other => return Err(format!("--output is text or json, not {other}")),
                }
            }
            other => return Err(format!("{other} is not known")),
        }
    }
    if shrink && tape.is_none() {
        return Err("--shrink goes with --tape".to_owned());
    }
    let play = match (tape, seconds, seed) {
        (Some(file), None, None) => Play::Tape { file, shrink },
        (Some(_), ..) => return Err("--tape goes with neither --seed nor --seconds".to_owned()),
        (None, Some(0), _) => return Err("--seconds is at least 1".to_owned()),
        (None, Some(seconds), first) => Play::Seconds { time: Duration::from_secs(seconds), first },
        (None, None, Some(seed)) => Play::Seed(seed),
        (None, None, None) => return Err("--seed, --seconds or --tape is needed".to_owned()),
    };
    Ok(Some(Arguments { play, json, canary }))
}

fn whole_number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name} is a whole number, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Option<Arguments>, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_to_play_is_read() {
        let plain = |play| Ok(Some(Arguments { play, json: false, canary: None }));
        assert_eq!(words("--seed 7"), plain(Play::Seed(7)));
        let time = Duration::from_secs(5);
        assert_eq!(words("--seconds=5"), plain(Play::Seconds { time, first: None }));
        let file = PathBuf::from("a.tape");
        assert_eq!(words("--shrink --tape a.tape"), plain(Play::Tape { file, shrink: true }));
        assert_eq!(words("--seed 1 -h"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, error) in [
            ("", "--seed, --seconds or --tape is needed"),
            ("--seed", "--seed needs a value"),
            ("--seed x", "--seed is a whole number, not \"x\""),
            ("--seeds 4", "--seeds is not known"),
            ("--seconds 0", "--seconds is at least 1"),
            ("--seed 4 --shrink", "--shrink goes with --tape"),
            ("--tape a --seed 4", "--tape goes with neither --seed nor --seconds"),
            ("--seed 4 --output xml", "--output is text or json, not xml"),
        ] {
            assert_eq!(words(line), Err(error.to_owned()), "{line}");
        }
    }
}
