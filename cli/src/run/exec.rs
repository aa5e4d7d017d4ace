//! `--to exec:COMMAND`: a process for each record.

mod environment;
mod stderr;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{AccessFlags, Pid, access};
use tidegate::{Handler, Outcome, Record, TopicPartition};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::group::Groups;
use crate::exit::Failure;
use crate::report::{EXPECTED, Sender};

/// `EX_TEMPFAIL` of sysexits.h: the command failed for now and knows it.
const TEMPORARY: i32 = 75;
/// How long the rest of standard error may take after the command has ended; a process that it
/// left behind may hold the pipe open for ever.
const REST: Duration = Duration::from_millis(100);

/// Runs a command for each record.
pub(super) struct Exec {
    shared: Arc<Shared>,
    groups: Groups,
}

struct Shared {
    program: PathBuf,
    arguments: Vec<String>,
    groups: Groups,
    /// Shows what commands write to standard error.
    reporter: Option<Sender>,
}

impl Exec {
    /// Finds the command.
    ///
    /// # Errors
    /// When it cannot be found, or not executed.
    pub(super) fn new(words: Vec<String>) -> Result<Self, Failure> {
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        let program = find(&name).map_err(|why| {
            Failure::Config(format!("--to exec: cannot run the command {name}: {why}"))
        })?;
        let groups = Groups::default();
        let shared =
            Shared { program, arguments: words.collect(), groups: groups.clone(), reporter: None };
        Ok(Self { shared: Arc::new(shared), groups })
    }

    /// The process groups of its commands.
    pub(super) fn groups(&self) -> Groups {
        self.groups.clone()
    }

    /// Shows what commands write to standard error.
    pub(super) fn set_reporter(&mut self, reporter: Sender) {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.reporter = Some(reporter);
        }
    }
}

impl Handler for Exec {
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn handle(&self, record: Record) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.attempt(&record).await })
    }
}

impl Shared {
    async fn attempt(&self, record: &Record) -> Outcome {
        let mut child = match self.spawn(record) {
            Ok(child) => child,
            Err(error) => return not_started(&error),
        };
        // Declared after the child and so dropped before it: the group is killed while its leader
        // has not been waited for, so that its id cannot belong to anybody else.
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        let mut group = leader.map(|id| self.groups.watch(Pid::from_raw(id)));

        let stdin = child.stdin.take();
        let mut feed = pin!(async {
            if let (Some(mut stdin), Some(value)) = (stdin, record.value()) {
                // A command need not read its input.
                let _ = stdin.write_all(value).await;
            }
        });
        let of = TopicPartition::new(record.topic(), record.partition());
        let last = stderr::Last::default();
        let mut listen = pin!(stderr::follow(
            child.stderr.take(),
            &last,
            self.reporter.as_ref(),
            &of,
            record.offset()
        ));
        let (mut fed, mut silent) = (false, false);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = &mut feed, if !fed => fed = true,
                () = &mut listen, if !silent => silent = true,
            }
        };
        if let Some(group) = &mut group {
            group.ended();
        }
        if !silent {
            let _ = tokio::time::timeout(REST, listen).await;
        }
        match status {
            Ok(status) => outcome(status, &last.take()),
            Err(error) => Outcome::retry(format!("cannot wait for the command: {error}")),
        }
    }

    fn spawn(&self, record: &Record) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(if record.value().is_some_and(|value| !value.is_empty()) {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal reaches Tidegate only, which lets commands finish.
            .process_group(0)
            .kill_on_drop(true);
        environment::set(&mut command, record);
        command.spawn()
    }
}

/// What an ended command means.
fn outcome(status: ExitStatus, last_line: &str) -> Outcome {
    use std::os::unix::process::ExitStatusExt as _;

    let words = if last_line.is_empty() { String::new() } else { format!(": {last_line}") };
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Done,
        (Some(TEMPORARY), _) => {
            Outcome::retry(format!("{EXPECTED} (exit status {TEMPORARY}){words}"))
        }
        (Some(code), _) => Outcome::retry(format!("exit status {code}{words}")),
        (None, Some(signal)) => Outcome::retry(format!("killed by signal {signal}{words}")),
        (None, None) => Outcome::retry(format!("{status}{words}")),
    }
}

/// A command that could not be started has not failed when this machine is short of something.
fn not_started(error: &io::Error) -> Outcome {
    let words = format!("cannot start the command: {error}");
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => Outcome::overloaded(None, words),
        _ if error.raw_os_error().is_some_and(is_shortage) => Outcome::overloaded(None, words),
        io::ErrorKind::ArgumentListTooLong => Outcome::retry(format!(
            "{words}; the record's key or headers are too large for an environment variable"
        )),
        _ => Outcome::retry(words),
    }
}

/// Too many processes or open files.
fn is_shortage(code: i32) -> bool {
    use nix::errno::Errno;
    matches!(Errno::from_raw(code), Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)
}

/// Where the command is, as a shell would find it.
pub(super) fn find(name: &str) -> Result<PathBuf, String> {
    let executable = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match executable(&path) {
            true => Ok(path),
            false if path.exists() => Err("it is not executable".to_owned()),
            false => Err("there is no such file".to_owned()),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    candidates.find(|path| executable(path)).ok_or_else(|| "it is not in PATH".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_by_a_shell() {
        assert!(find("sh").is_ok() && find("/bin/sh").is_ok());
        assert!(find("no-such-command-anywhere").unwrap_err().contains("PATH"));
        assert!(find("/etc/passwd").unwrap_err().contains("executable"));
        assert!(find("./no/such").unwrap_err().contains("no such file"));
    }

    #[test]
    fn exit_statuses_are_outcomes() {
        use std::os::unix::process::ExitStatusExt as _;
        let of = |code: i32| outcome(ExitStatus::from_raw(code << 8), "why");
        assert_eq!(of(0), Outcome::Done);
        assert_eq!(of(75), Outcome::retry("expected failure (exit status 75): why"));
        assert_eq!(of(3), Outcome::retry("exit status 3: why"));
        let killed = outcome(ExitStatus::from_raw(9), "");
        assert_eq!(killed, Outcome::retry("killed by signal 9"));
    }

    #[test]
    fn shortage_is_not_the_records_fault() {
        let shortage = io::Error::from_raw_os_error(nix::libc::EMFILE);
        assert!(matches!(not_started(&shortage), Outcome::Overloaded { .. }));
        let gone = io::Error::from_raw_os_error(nix::libc::ENOENT);
        assert!(matches!(not_started(&gone), Outcome::Retry { .. }));
    }
}
