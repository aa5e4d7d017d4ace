//! Services in other languages; that in Python is the one of the tutorial, `docs/sidecar.md`.

use std::collections::HashMap;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{numbered, topic, until_end};
use crate::process::eventually;

/// A process that listens, and what it wrote.
struct Service {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Service {
    /// Started with its port as the last argument; none where the program is not installed.
    fn start(program: &str, args: &[&Path]) -> Option<Self> {
        let mut version = Command::new(program);
        version.arg(if program == "go" { "version" } else { "--version" });
        if !version.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        {
            println!("LEFT OUT: {program} is not installed");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let out = File::create(folder.path().join("out")).unwrap();
        let mut command = Command::new(program);
        command.args(args).arg(port.to_string()).stdout(out).process_group(0);
        let child = command.spawn().unwrap();
        let service = Self { child, port, folder };
        eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(service)
    }

    /// Gets 500 records of 25 keys, once each and in order, though it fails at some of them.
    fn receives_in_order(&self, name: &str) {
        let topic_name = format!("http-{name}");
        topic(&topic_name, numbered(500, 25));
        let ended = until_end(&topic_name, &format!("http://127.0.0.1:{}/", self.port), &[]);
        let failed = ended.events("summary")[0]["failed_attempts"].as_u64().unwrap();
        assert!((10..200).contains(&failed), "{failed}");
        let out = std::fs::read_to_string(self.folder.path().join("out")).unwrap();
        let mut last = HashMap::new();
        for line in out.lines() {
            let (key, offset) = line.split_once(' ').unwrap();
            let offset: i64 = offset.parse().unwrap();
            let before = last.insert(key.to_owned(), offset);
            assert!(before.is_none_or(|before| before < offset), "{line} after {before:?}");
        }
        assert_eq!((out.lines().count(), last.len()), (500, 25));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // What `go run` started as well.
        let _ = killpg(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_service_of_the_tutorial_in_python_receives_in_order() {
    let page = std::fs::read_to_string(here().join("../docs/sidecar.md")).unwrap();
    let code = page.split("```python\n").nth(1).and_then(|code| code.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.py");
    std::fs::write(&file, code).unwrap();
    if let Some(service) = Service::start("python3", &[&file]) {
        service.receives_in_order("python");
    }
}

#[test]
fn a_service_in_node_receives_in_order() {
    if let Some(service) = Service::start("node", &[&here().join("tests/targets/node.mjs")]) {
        service.receives_in_order("node");
    }
}

#[test]
fn a_service_in_go_receives_in_order() {
    let file = here().join("tests/targets/go.go");
    if let Some(service) = Service::start("go", &[Path::new("run"), &file]) {
        service.receives_in_order("go");
    }
}
