//! Plays schedules until the first broken promise: `--seed N | --seconds S | --tape FILE`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidegate_sim::{Coverage, Reached, Tape, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let index = arguments.iter().position(|a| a == name)?;
        arguments.get(index + 1).cloned()
    };
    let number = |name: &str| value(name).and_then(|v| v.parse::<u64>().ok());
    let tape = match value("--tape").map(std::fs::read).transpose() {
        Ok(tape) => tape,
        Err(error) => {
            eprintln!("the tape cannot be read: {error}");
            return ExitCode::from(2);
        }
    };
    let (seed, seconds) = (number("--seed"), number("--seconds"));
    if tape.is_none() && seed.is_none() && seconds.is_none() {
        eprintln!("usage: tidegate-sim --seed N | --seconds S | --tape FILE [--output json]");
        return ExitCode::from(2);
    }
    let once = tape.is_some() || seconds.is_none();
    let began = Instant::now();
    let mut coverage = Coverage::default();
    let (mut schedules, mut records, mut violations) = (0u64, 0u64, 0u64);
    let mut next = seed.unwrap_or(1);
    loop {
        let mut played = match &tape {
            Some(bytes) => Tape::from_bytes(bytes.clone()),
            None => Tape::from_seed(next),
        };
        let finished = run(&mut played, &mut coverage);
        schedules += 1;
        records += finished.records;
        let mut broken = finished.violation.map(|v| v.to_string());
        if schedules % 1_000 == 1 && broken.is_none() {
            let mut again = Tape::from_bytes(played.read().to_vec());
            if run(&mut again, &mut Coverage::default()).hash != finished.hash {
                broken = Some("determinism: the same tape gave another run".to_owned());
            }
        }
        if let Some(text) = broken {
            violations += 1;
            let file = format!("failed-{next}.tape");
            eprintln!("{text}");
            match std::fs::write(&file, played.read()) {
                Ok(()) => {
                    eprintln!("cargo run --release -p tidegate-sim -- --tape {file}");
                }
                Err(error) => eprintln!("seed {next}; {file} cannot be written: {error}"),
            }
            break;
        }
        next += 1;
        if once || began.elapsed() >= Duration::from_secs(seconds.unwrap_or(0)) {
            break;
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    let (schedules_per_s, records_per_s) = (schedules as f64 / elapsed, records as f64 / elapsed);
    if value("--output").as_deref() == Some("json") {
        let table: Vec<_> = Reached::ALL
            .iter()
            .map(|r| format!("\"{}\":{}", r.name(), coverage.count(*r)))
            .collect();
        println!(
            "{{\"schedules\":{schedules},\"records\":{records},\"schedules_per_s\":{schedules_per_s:.0},\"records_per_s\":{records_per_s:.0},\"violations\":{violations},\"coverage\":{{{}}}}}",
            table.join(",")
        );
    } else {
        println!("schedules {schedules}\nrecords {records}\nschedules_per_s {schedules_per_s:.0}");
        println!("records_per_s {records_per_s:.0}\nviolations {violations}");
        for reached in Reached::ALL {
            println!("{:>10}  {}", coverage.count(*reached), reached.name());
        }
    }
    ExitCode::from(u8::from(violations > 0))
}
