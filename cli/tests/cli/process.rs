//! Runs the binary, with an end to all patience.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_testkit::kafka::Broker;

/// No run takes longer, or the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call of the binary.
pub(crate) struct Call {
    command: Command,
    folder: TempDir,
}

/// A process that is killed when dropped.
pub(crate) struct Running {
    child: Child,
    folder: TempDir,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Call {
    /// With these arguments, and no settings from the environment of the tests.
    pub(crate) fn new(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(name);
            }
        }
        // A group of its own, which can be signalled as a terminal does it.
        command.args(args).stdin(Stdio::null()).env("COLUMNS", "100").process_group(0);
        Self { command, folder: tempfile::tempdir().unwrap() }
    }

    /// `run` on the shared broker.
    pub(crate) fn run(topic: &str, group: &str, to: &str, more: &[&str]) -> Self {
        let broker = Broker::shared().bootstrap();
        let args = ["run", "-b", broker, "-t", topic, "-G", group, "--to", to];
        Self::new(&[&args[..], more].concat())
    }

    /// With a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With this on standard input.
    pub(crate) fn stdin(mut self, text: &[u8]) -> Self {
        let path = self.folder.path().join("stdin");
        std::fs::write(&path, text).unwrap();
        self.command.stdin(File::open(path).unwrap());
        self
    }

    /// Starts it.
    pub(crate) fn spawn(mut self) -> Running {
        let file = |name| File::create(self.folder.path().join(name)).unwrap();
        self.command.stdout(file("stdout")).stderr(file("stderr"));
        let child = self.command.spawn().unwrap();
        Running { child, folder: self.folder }
    }

    /// Starts it with standard output in a pipe.
    pub(crate) fn spawn_piped(mut self) -> (Running, std::process::ChildStdout) {
        let file = |name| File::create(self.folder.path().join(name)).unwrap();
        self.command.stdout(Stdio::piped()).stderr(file("stderr"));
        file("stdout");
        let mut child = self.command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        (Running { child, folder: self.folder }, stdout)
    }

    /// Runs it to its end.
    pub(crate) fn end(self) -> Ended {
        self.spawn().wait(PATIENCE)
    }

    /// Runs it to its end, which must be a good one.
    pub(crate) fn succeed(self) -> Ended {
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        ended
    }

    /// Runs it to its end, which must have this exit code and this in its messages.
    pub(crate) fn fail(self, code: i32, named: &str) -> Ended {
        let ended = self.end();
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        assert!(ended.stderr.contains(named), "not named: {named}: {ended:#?}");
        ended
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it wrote so far.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.file("stdout")).unwrap()
    }

    /// What it said so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.file("stderr")).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// As a terminal does it: all of the process group.
    pub(crate) fn signal_group(&self, signal: Signal) {
        killpg(self.pid(), signal).unwrap();
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        eventually(what, || {
            let so = is_so(self);
            assert!(so || self.runs(), "it ended before: {what}: {}", self.stderr());
            so
        });
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (stdout, stderr) = (self.stdout(), self.stderr());
                return Ended { code: status.code(), stdout, stderr };
            }
            assert!(Instant::now() < deadline, "not over after {within:?}: {}", self.stderr());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Standard output as JSON lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }

    /// The messages of this kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        json_lines(&self.stderr).into_iter().filter(|line| line["event"] == kind).collect()
    }
}

/// JSON lines; one that was cut off by a kill is left out.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Waits until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20));
    }
}
