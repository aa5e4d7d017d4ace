//! Plays schedules until the first broken promise.

mod arguments;
mod report;
mod search;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_sim::history::{Event, What};
use tidegate_sim::{Coverage, Tape, run, run_and_keep, shrink};

use self::arguments::{Arguments, Play, USAGE};
use self::search::{Failed, Totals, search};

/// A failing tape is made shorter for so long.
const SHRINK_FOR: Duration = Duration::from_secs(20);
/// So many of the last events are shown.
const SHOWN: usize = 40;

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return wrong(&format!("{error}\n\n{USAGE}")),
    };
    if let Some(name) = &arguments.canary
        && let Err(error) = plant(name)
    {
        return wrong(&error);
    }
    // A panic of the engine is reported as what it is: a broken promise of one schedule.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let (totals, first) = match begin(&arguments) {
        Ok(played) => played,
        Err(error) => return wrong(&error),
    };
    let elapsed = began.elapsed();
    if let Some(failed) = &totals.failed {
        tell(failed, &arguments);
    }
    // Whoever closes the pipe knows enough.
    let _ = report::report(&totals, elapsed, first, arguments.json);
    ExitCode::from(u8::from(totals.failed.is_some()))
}

fn wrong(error: &str) -> ExitCode {
    eprintln!("tidegate-sim: {error}");
    ExitCode::from(2)
}

fn begin(arguments: &Arguments) -> Result<(Totals, Option<u64>), String> {
    let mut totals = Totals::default();
    match &arguments.play {
        Play::Seed(seed) => {
            totals.play_seed(*seed, true);
            Ok((totals, None))
        }
        Play::Tape { file, .. } => {
            let bytes = std::fs::read(file)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            totals.play(Tape::from_bytes(bytes), None, true);
            Ok((totals, None))
        }
        Play::Seconds { time, first } => {
            let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
            // Far enough from what began a second ago.
            let first = first.unwrap_or_else(|| clock() << 24);
            Ok((search(first, *time), Some(first)))
        }
    }
}

/// Shrinks the tape, writes it to a file, shows the end of the story and how to see it again.
fn tell(failed: &Failed, arguments: &Arguments) {
    let keeps = matches!(arguments.play, Play::Tape { shrink: false, .. });
    let invariant = failed.violation.invariant;
    let tape = match keeps {
        true => failed.tape.clone(),
        false => shrink(&failed.tape, SHRINK_FOR, |tape| {
            let finished = run(&mut Tape::from_bytes(tape.to_vec()), &mut Coverage::default());
            finished.violation.is_some_and(|v| v.invariant == invariant)
        }),
    };
    let again = run_and_keep(&mut Tape::from_bytes(tape.clone()), &mut Coverage::default());
    let violation = again.violation.unwrap_or_else(|| failed.violation.clone());
    let events = again.events;
    for event in &events[events.len().saturating_sub(SHOWN)..] {
        eprintln!("{}", line(event));
    }
    eprintln!("\n{violation}");
    if let Some(seed) = failed.seed {
        eprintln!("seed {seed}");
    }
    if keeps {
        return;
    }
    let number = failed.seed.map_or_else(|| "shrunk".to_owned(), |seed| seed.to_string());
    let file = PathBuf::from(format!("failed-{invariant}-{number}.tape"));
    let canary = arguments.canary.as_ref().map(|name| format!(" --canary {name}"));
    match std::fs::write(&file, &tape) {
        Ok(()) => eprintln!(
            "{} bytes of {} are left; play them again with\n  cargo run --release -p tidegate-sim -- --tape {}{}",
            tape.len(),
            failed.tape.len(),
            file.display(),
            canary.unwrap_or_default()
        ),
        Err(error) => eprintln!("{} cannot be written: {error}", file.display()),
    }
}

/// An event as people read it.
fn line(event: &Event) -> String {
    let seconds = event.at as f64 / 1e9;
    let who = match event.member {
        tidegate_sim::history::NOBODY => String::from("world"),
        member => format!("member {member}"),
    };
    let what = match event.what {
        What::Written { record: r, key, bytes } => {
            let key = key.map_or("no key".to_owned(), |key| format!("key {key}"));
            format!("writes {}/{}, {key}, {bytes} bytes", r.partition, r.offset)
        }
        What::Taken { record: r, bytes } => {
            format!("takes {}/{}, {bytes} bytes", r.partition, r.offset)
        }
        What::Start { record: r, attempt } => {
            format!("starts {}/{}, attempt {attempt}", r.partition, r.offset)
        }
        What::End { record: r, ending, .. } => {
            format!("ends {}/{}: {ending:?}", r.partition, r.offset)
        }
        what => format!("{what:?}"),
    };
    format!("{seconds:>12.6} s  {who:<9}  {what}")
}

#[cfg(tidegate_canary)]
fn plant(name: &str) -> Result<(), String> {
    use tidegate_sim::Canary;
    let names = || Canary::ALL.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ");
    let canary = Canary::ALL.iter().find(|c| c.name() == name);
    canary.map(|c| c.plant()).ok_or_else(|| format!("--canary is one of {}", names()))
}

#[cfg(not(tidegate_canary))]
fn plant(_: &str) -> Result<(), String> {
    Err("--canary needs a build with RUSTFLAGS='--cfg tidegate_canary'".to_owned())
}
