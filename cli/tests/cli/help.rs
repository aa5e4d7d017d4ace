//! The help texts and the reference of settings, kept as files.
//!
//! After a change: `TIDEGATE_UPDATE_HELP=1 cargo test --release -p tidegate-cli help`.

use std::path::Path;

use crate::process::Call;

#[test]
fn help_is_as_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    for command in [
        "",
        "lab",
        "run",
        "produce",
        "ingest",
        "redrive",
        "lag",
        "check",
        "bench",
        "bench load",
        "bench consume",
        "bench raw",
        "bench produce",
        "config",
        "completions",
    ] {
        let mut args: Vec<_> = command.split_whitespace().collect();
        args.push("--help");
        let text = Call::new(&args).succeed().stdout;
        let text: String = text.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        let name = format!("tidegate {command}").trim_end().replace(' ', "-");
        let file = folder.join(name).with_extension("txt");
        check(&file, &text);
    }
}

#[test]
fn the_reference_is_as_kept() {
    let text = Call::new(&["config", "--reference"]).succeed().stdout;
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md"), &text);
}

/// Compares with what is kept, or keeps it.
fn check(file: &Path, text: &str) {
    if std::env::var_os("TIDEGATE_UPDATE_HELP").is_some() {
        std::fs::write(file, text).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(text, kept, "{} is out of date; see the top of this file", file.display());
}
