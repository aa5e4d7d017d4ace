//! Java command lines on Kafka's jars.

use std::{io, path::Path, process::Command};

use super::install;

/// The arguments of `java` to run `class` for the broker in `folder`.
pub(crate) fn arguments(folder: &Path, options: &[&str], class: &str) -> Vec<String> {
    let mut arguments: Vec<String> = options.iter().map(ToString::to_string).collect();
    // By this property test.sh recognises what a run left behind.
    if let Ok(run) = std::env::var("TIDEGATE_TEST_RUN") {
        arguments.push(format!("-Dtidegate.test.run={run}"));
    }
    let logging = folder.join("log4j2.properties");
    arguments.extend([
        "-XX:+UseSerialGC".into(),
        "-Xshare:auto".into(),
        format!("-Dlog4j2.configurationFile={}", logging.display()),
        "-cp".into(),
        format!("{}/*", install::libraries().display()),
        class.into(),
    ]);
    arguments
}

/// The same as a command, to which its own arguments can be added.
pub(crate) fn command(folder: &Path, options: &[&str], class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(arguments(folder, options, class));
    command
}

/// Runs a command to its end; its output becomes the error's text.
pub(crate) fn run(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot run `{program}`: {error}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{program}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )))
}
