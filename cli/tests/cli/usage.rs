//! Bad usage and bad configuration, found before anything is connected.

use std::io::Write as _;

use crate::process::Call;

/// A broker that nobody needs to reach.
const RUN: [&str; 9] = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g", "--to", "null"];

fn run(more: &[&str]) -> Call {
    Call::new(&[&RUN[..], more].concat())
}

#[test]
fn zero_and_absurd_values_are_refused_by_their_flag() {
    for (flag, value) in [
        ("--concurrency", "0"),
        ("--concurrency", "100001"),
        ("--concurrency", "-1"),
        ("--max-bytes", "0"),
        ("--max-bytes", "5PiB"),
        ("--max-bytes", "lots"),
        ("--max-queued", "0"),
        ("--max-window", "0"),
        ("--metadata-max-bytes", "5"),
        ("--workers", "0"),
        ("--commit-interval", "0"),
        ("--commit-interval", "2h"),
        ("--commit-stall", "1ms"),
        ("--retries", "1000000"),
        ("--timeout", "0"),
        ("--timeout", "10"),
        ("--stuck-after", "0"),
        ("--backoff", "0"),
        ("--backoff-max", "10ms"),
        ("--drain-timeout", "1h"),
        ("--shutdown-timeout", "0"),
        ("--max-records", "0"),
        ("--from", "yesterday"),
        ("--on-gap", "guess"),
        ("--ordering", "random"),
        ("--after-last-attempt", "cry"),
        ("--group", ""),
        ("--topic", "a b*"),
        ("--to", "file:x"),
        ("--to", "exec:"),
        ("--property", "novalue"),
        ("--output", "xml"),
    ] {
        // Given twice, the later one of a flag that was there already is refused for that.
        let known = RUN.iter().position(|arg| match flag {
            "--to" | "--topic" => *arg == flag || flag.starts_with("--topic") && *arg == "-t",
            "--group" => *arg == "-G",
            _ => false,
        });
        let mut args = RUN.to_vec();
        match known {
            Some(at) => args[at + 1] = value,
            None => args.extend([flag, value]),
        }
        Call::new(&args).fail(2, flag);
    }
}

#[test]
fn a_variable_stands_for_its_flag() {
    run(&[]).env("TIDEGATE_CONCURRENCY", "0").fail(2, "--concurrency");
    run(&[]).env("TIDEGATE_UNTIL_END", "perhaps").fail(2, "--until-end");
    Call::new(&["run"])
        .env("TIDEGATE_BROKERS", "127.0.0.1:1")
        .env("TIDEGATE_TOPIC", "one two")
        .env("TIDEGATE_GROUP", "g")
        .env("TIDEGATE_TO", "null")
        .env("TIDEGATE_PROPERTY", "client.id=a=b\nno.such=1")
        .fail(78, "no.such");
}

#[test]
fn what_is_missing_is_named() {
    Call::new(&["run", "-t", "t", "-G", "g", "--to", "null"]).fail(2, "--brokers");
    Call::new(&["run", "-b", "b:1", "-t", "t", "--to", "null"]).fail(2, "--group");
    Call::new(&["run", "-b", "b:1", "-G", "g", "--to", "null"]).fail(2, "--topic");
    Call::new(&["bench", "load", "-t", "t"]).fail(2, "--brokers");
}

#[test]
fn bad_properties_are_named() {
    run(&["-X", "no.such.property=1"]).fail(78, "no.such.property");
    run(&["-X", "enable.auto.commit=true"]).fail(78, "enable.auto.commit");
    run(&["-X", "fetch.min.bytes=many"]).fail(78, "fetch.min.bytes");
    let load = ["bench", "load", "-b", "127.0.0.1:1", "-t", "t", "-X", "no.such.property=1"];
    Call::new(&load).fail(78, "no.such.property");
}

#[test]
fn a_command_that_is_not_there_is_bad_configuration() {
    let to = |to| Call::new(&[&RUN[..8], &[to]].concat());
    to("exec:no-such-command --flag").fail(78, "no-such-command");
    to("exec:/etc/passwd").fail(78, "/etc/passwd");
}

#[test]
fn property_files_are_explained() {
    run(&["-F", "/no/such/file"]).fail(78, "/no/such/file");
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    for (text, named) in [
        ("ssl.truststore.location=/etc/trust.jks\n", "keytool"),
        ("no.such.property=1\n", "no.such.property"),
        ("sasl.jaas.config=a.b.Krb5LoginModule required;\n", "Krb5LoginModule"),
        ("auto.offset.reset=none\n", "auto.offset.reset"),
    ] {
        let file = file(text);
        run(&["-F", file.path().to_str().unwrap()]).fail(78, named);
    }
    let file = file("bootstrap.servers=127.0.0.1:1\ngroup.id=g\nno.such.property=1\n");
    let path = file.path().to_str().unwrap();
    Call::new(&["run", "-t", "t", "--to", "null", "-F", path]).fail(78, "no.such.property");
}
