//! A child process that cannot outlive the test process.
//!
//! Rust never drops a `static`, and a test process may be killed with `kill -9`: in both cases
//! no destructor runs. `PR_SET_PDEATHSIG` would fire when the *thread* that spawned the child
//! ends, which for a test harness is the end of one test. So every child gets a watchdog: a
//! shell that reads a pipe whose other end only the test process holds. When the test process
//! ends, however it ends, the kernel closes that end, the watchdog reads end-of-file, kills the
//! child and removes its folder.

use std::{
    ffi::OsStr,
    fs::File,
    io::Write as _,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

/// `$1` is the folder to remove if the parent dies, the rest is the command.
///
/// The shell keeps the pipe as descriptor 3, leaves the watchdog in the background and then
/// *becomes* the command, so the child's process id is the command's. A line on the pipe tells
/// the watchdog to go without killing anything.
const SCRIPT: &str = r#"
exec 3<&0
(
    exec >/dev/null 2>&1
    if read -r word <&3; then exit 0; fi
    kill -9 $$
    i=0
    while [ "$i" -lt 100 ] && [ -d "/proc/$$" ] && ! grep -q '^State:.*Z' "/proc/$$/status"; do
        sleep 0.05; i=$((i + 1))
    done
    [ -z "$1" ] || rm -rf -- "$1"
) &
shift
exec "$@" </dev/null 3<&-
"#;

/// A running child process with a watchdog. Dropping it kills the child (`SIGKILL`) and waits.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    watchdog: Option<ChildStdin>,
}

impl Guarded {
    /// Runs `program` with `arguments`; both of its outputs go to `output`.
    ///
    /// If the test process dies first, the child is killed and `remove` (a folder) is deleted.
    ///
    /// # Errors
    /// When the shell cannot be started. A missing `program` shows as exit status 127.
    pub fn spawn<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
        output: &File,
        remove: Option<&Path>,
    ) -> std::io::Result<Self> {
        use std::os::unix::process::CommandExt as _;

        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(remove.map_or(OsStr::new(""), Path::as_os_str))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            // Ctrl-C in a terminal reaches the tests first, not the broker under them.
            .process_group(0)
            .spawn()?;
        let watchdog = child.stdin.take();
        Ok(Self { child, watchdog })
    }

    /// The process id of the command itself.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("wait for a child");
        if status.is_some() {
            self.dismiss_watchdog();
        }
        status
    }

    /// Waits until it ends, at most for `within`.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            match self.exited() {
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                status => return status,
            }
        }
    }

    /// `SIGKILL`, and waits for the end.
    pub fn kill(&mut self) {
        // An error here means that it has already ended.
        let _ = self.child.kill();
        self.child.wait().expect("wait for a killed child");
        self.dismiss_watchdog();
    }

    /// `SIGTERM`: asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// `SIGSTOP`: it freezes; its sockets stay open.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// `SIGCONT`: it goes on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Lets no file of the process grow beyond `bytes` from now on (`RLIMIT_FSIZE`): a write that
    /// would fails, and a virtual machine reports it as any other failed write. To the program
    /// that is a disk without space, and it takes neither a file system of its own nor root. It
    /// lasts as long as the process.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn limit_file_size(&self, bytes: u64) {
        assert!(self.watchdog.is_some(), "the process has ended");
        let limit = Rlimit { current: Some(bytes), maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, limit).expect("limit the size of files");
    }

    fn pid(&self) -> Pid {
        i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process id")
    }

    fn signal(&self, signal: Signal) {
        // While `watchdog` is there the child has not been reaped: the id is still its own.
        if self.watchdog.is_some() {
            let _ = kill_process(self.pid(), signal);
        }
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut pipe) = self.watchdog.take() {
            // Broken pipe: the watchdog is gone already, which is what is wanted.
            let _ = pipe.write_all(b"go\n");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
