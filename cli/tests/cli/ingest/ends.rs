//! How it ends: nothing that was acknowledged is lost, and what was begun is finished.

use std::sync::Mutex;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tidegate_testkit::kafka::{Broker, NewTopic};

use super::{Answer, Server, at, call_on, head, read, topic};
use crate::process::{Ended, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

fn end(server: Server) -> Ended {
    server.running.wait(PATIENCE)
}

/// Eight clients send until their connections end. Says what was acknowledged, with its value.
fn send_until_the_end(server: &Server, path: &str, signal: Signal) -> Vec<(Answer, String)> {
    let acknowledged = Mutex::new(Vec::new());
    scope(|scope| {
        for client_number in 0..8 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                let mut client = server.connect();
                for n in 0.. {
                    let value = format!("{client_number}-{n}");
                    let request = head("POST", path, &[], Some(value.len()));
                    let bytes = [&request[..], value.as_bytes()].concat();
                    if std::io::Write::write_all(&mut client.stream, &bytes).is_err() {
                        return;
                    }
                    let Some(answer) = client.answer() else { return };
                    if answer.status == 202 {
                        acknowledged.lock().unwrap().push((answer, value));
                    }
                }
            });
        }
        eventually("some are acknowledged", || acknowledged.lock().unwrap().len() > 500);
        server.signal(signal);
    });
    acknowledged.into_inner().unwrap()
}

fn check(topic: &str, acknowledged: &[(Answer, String)]) {
    let records = read(topic);
    for (answer, value) in acknowledged {
        let record = at(&records, answer.place());
        assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
    }
}

#[test]
fn sigterm_under_load_loses_no_acknowledged_record() {
    topic("ingest-term", 3);
    let server = Server::ready("ingest-term", &[]);
    let acknowledged = send_until_the_end(&server, "/topics/ingest-term", Signal::SIGTERM);
    let ended = end(server);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    check("ingest-term", &acknowledged);
    let summary = &ended.events("summary")[0];
    assert_eq!(summary["delivered"], acknowledged.len(), "each was answered: {summary}");
    assert_eq!((&summary["cut_off"], &summary["not_delivered"]), (&0.into(), &0.into()));
    assert_eq!(read("ingest-term").len(), acknowledged.len());
}

#[test]
fn kill_9_loses_no_acknowledged_record() {
    topic("ingest-kill", 3);
    let server = Server::ready("ingest-kill", &[]);
    let acknowledged = send_until_the_end(&server, "/topics/ingest-kill", Signal::SIGKILL);
    assert_eq!(end(server).code, None);
    check("ingest-kill", &acknowledged);
}

#[test]
fn a_request_that_was_begun_is_finished_and_no_other_is_taken() {
    topic("ingest-begun", 1);
    let server = Server::ready("ingest-begun", &[]);
    let idle = server.connect();
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-begun", &[], Some(10)));
    client.send(b"half ");
    sleep(Duration::from_millis(300));
    server.signal(Signal::SIGTERM);
    let address = server.address;
    eventually("it accepts no more", || std::net::TcpStream::connect(address).is_err());
    client.send(b"whole");
    let answer = client.answer().unwrap();
    let place = answer.place();
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(end(server).code, Some(0));
    drop(idle);
    assert_eq!(at(&read("ingest-begun"), place).value.as_deref(), Some(&b"half whole"[..]));
}

#[test]
fn a_request_that_never_ends_is_cut_off_at_the_deadline() {
    topic("ingest-cut", 1);
    let server = Server::ready("ingest-cut", &["--shutdown-timeout", "1s"]);
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-cut", &[], Some(10)));
    client.send(b"half ");
    sleep(Duration::from_millis(300));
    let since = Instant::now();
    server.signal(Signal::SIGTERM);
    let ended = end(server);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(ended.code, Some(0), "it was never taken: {ended:?}");
    assert_eq!(ended.events("summary")[0]["cut_off"], 1);
    assert!(read("ingest-cut").is_empty());
}

#[test]
fn what_a_dead_broker_does_not_take_is_reported_and_a_second_signal_ends_at_once() {
    let mut broker = Broker::start();
    broker.admin().create_topic(NewTopic::new("t"));
    let start = |more: &[&str]| {
        let server = Server::of(call_on(broker.bootstrap(), "t", more));
        server.until_known("t");
        server
    };
    let first = start(&["--shutdown-timeout", "1s"]);
    let second = start(&[]);
    let hanging = start(&["--delivery-timeout", "2s"]);
    for server in [&first, &second, &hanging] {
        assert_eq!(server.post("/topics/t", &[], b"v").status, 202);
    }
    broker.pause();
    let mut clients = Vec::new();
    for server in [&first, &second] {
        let mut client = server.connect();
        client.send(&head("POST", "/topics/t", &[], Some(1)));
        client.send(b"v");
        clients.push(client);
    }
    let answer = hanging.post("/topics/t", &[], b"v");
    assert_eq!(answer.status, 504, "sent, and never acknowledged: {answer:?}");
    first.signal(Signal::SIGTERM);
    let ended = end(first);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("1 records of topic t"), "{ended:?}");
    assert_eq!(ended.events("summary")[0]["not_delivered"], 1);

    let since = Instant::now();
    second.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(500));
    second.signal(Signal::SIGTERM);
    let ended = end(second);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.events("second-signal")[0]["not_acknowledged"], 1, "{ended:?}");
    broker.resume();
}
