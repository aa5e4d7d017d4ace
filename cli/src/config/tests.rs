//! A file and a command line together.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use super::*;
use crate::cli::Command;

/// `tidegate run` with these flags and this file.
fn load_with(text: &str, words: &[&str]) -> Result<Loaded, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let words = [&["tidegate", "--config", path], words].concat();
    let words: Vec<_> = words.iter().map(OsString::from).collect();
    load(&words).map_err(|refused| match refused {
        Refused::Usage(error) => format!("usage: {error}"),
        Refused::File(Failure::Config(words), _) => words.replace(path, "FILE"),
        Refused::File(..) => "another failure".to_owned(),
    })
}

fn given(text: &str, words: &[&str]) -> Given {
    load_with(text, words).map(|loaded| loaded.given).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str, words: &[&str]) -> String {
    load_with(text, words).map(|_| ()).unwrap_err()
}

fn values(given: &Given, id: &str) -> Vec<String> {
    given.values(id).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// Enough for a run.
const RUN: &str = "brokers = 'b:1'\n[run]\ntopic = 't'\ngroup = 'g'\nto = 'null'\n";

#[test]
fn a_file_stands_for_flags_that_must_be_there() {
    let loaded = load_with(RUN, &["run"]).unwrap();
    assert!(matches!(loaded.cli.command, Command::Run(_)));
    assert_eq!(loaded.given.origin("brokers"), Origin::File { line: 1, own: false });
    assert_eq!(loaded.given.origin("to"), Origin::File { line: 5, own: true });
    assert_eq!(loaded.given.origin("concurrency"), Origin::Default);
    let error = refused("brokers = 'b:1'", &["run", "-t", "t", "-G", "g"]);
    assert!(
        error.contains("--to") && error.contains("tip: what is missing can also be set in /"),
        "{error}"
    );
}

#[test]
fn the_command_line_comes_first_then_the_commands_table_then_the_top() {
    let text =
        "concurrency = 5\nmax-queued = 6\n[run]\nconcurrency = 7\n[redrive]\nconcurrency = 8";
    let run = ["run", "-b", "b:1", "-t", "t", "-G", "g", "--to", "null"];
    let from_file = given(text, &run);
    assert_eq!(values(&from_file, "concurrency"), ["7"]);
    assert_eq!(values(&from_file, "max_queued"), ["6"]);
    let both = given(text, &[&run[..], &["--concurrency", "9"]].concat());
    assert_eq!(values(&both, "concurrency"), ["9"]);
    assert_eq!(both.origin("concurrency"), Origin::CommandLine);
    let consume = given(text, &["bench", "consume", "-b", "b:1", "-t", "t"]);
    assert_eq!(values(&consume, "concurrency"), ["5"]);
}

#[test]
fn every_kind_of_value_is_read() {
    let text = "\
        brokers = 'b:1'\nverbose = 2\n[run]\ntopic = ['a', 'b']\ngroup = '-g'\nto = 'exec:cat -n'\n\
        until-end = true\nfail-fast = false\nmax-bytes = '1MiB'\nfrom = 2026-03-01T12:00:00Z\n\
        max-window = 0x10\nconcurrency = '${NOBODY_SETS_THIS:-12}'\n\
        [run.property]\nsession.timeout.ms = 45000\n'client.id' = 'x = y'\n\
        enable.sparse.connections = true\n";
    let run = given(text, &["run"]);
    assert_eq!(values(&run, "topics"), ["a", "b"]);
    assert_eq!(values(&run, "group"), ["-g"]);
    assert_eq!(values(&run, "from"), ["2026-03-01T12:00:00Z"]);
    assert_eq!(values(&run, "max_window"), ["16"]);
    assert_eq!(values(&run, "concurrency"), ["12"]);
    assert_eq!(
        values(&run, "properties"),
        ["session.timeout.ms=45000", "client.id=x = y", "enable.sparse.connections=true"]
    );
    let Command::Run(_) = load_with(text, &["run"]).unwrap().cli.command else { panic!() };
    assert_eq!(run.origin("fail_fast"), Origin::Default);
    assert!(matches!(run.origin("until_end"), Origin::File { .. }));
    // One text is split as a variable is.
    let spaces = RUN.replace("'t'", "'a b'");
    assert_eq!(values(&given(&spaces, &["run"]), "topics"), ["a", "b"]);
    // An argument without a flag has a key as well.
    assert_eq!(values(&given("[lab]\nscenario = 'burst'", &["lab"]), "scenario"), ["burst"]);
    assert_eq!(values(&given("[lab]\nscenario = 'burst'", &["lab", "x"]), "scenario"), ["x"]);
    assert_eq!(values(&given("[lab]\nseed = 3", &["lab", "--", "x"]), "seed"), ["3"]);
}

#[test]
fn properties_are_joined_by_name_and_the_command_line_comes_first() {
    let text = format!("{RUN}property = {{ a = '1', b = '2' }}\n");
    let run = given(&text, &["run", "-X", "b=3", "-X", "c=4"]);
    assert_eq!(values(&run, "properties"), ["b=3", "c=4", "a=1"]);
    let top = "property = { a = '5', d = '6', e = '${NOBODY_SETS_THIS}' }\n";
    let run = given(&format!("{top}{text}"), &["run", "-X", "b=3", "-X", "e=7"]);
    assert_eq!(values(&run, "properties"), ["b=3", "e=7", "a=1", "d=6"]);
    // However they are written.
    for top in ["['a=5', 'd=6', 'b=7']", "\"a=5\\nd=6\\nb=7\""] {
        let run = given(&format!("property = {top}\n{text}"), &["run", "-X", "b=3"]);
        assert_eq!(values(&run, "properties"), ["b=3", "a=1", "d=6"], "{top}");
    }
    let error = refused(&format!("property = ['d']\n{text}"), &["run"]);
    assert!(error.starts_with("FILE:1: property: "), "{error}");
    let bench = "[bench]\nproperty = { a = '1' }\n[bench.consume]\nproperty = { b = '2' }";
    let consume = given(bench, &["bench", "consume", "-b", "b:1", "-t", "t"]);
    assert_eq!(values(&consume, "properties"), ["b=2", "a=1"]);
}

#[test]
fn what_the_command_line_excludes_is_left_out() {
    let text = format!("{RUN}dead-letter = 'd'\nquiet = true\n");
    let run = given(&text, &["run", "--after-last-attempt", "skip", "-v"]);
    assert_eq!(run.origin("dead_letter"), Origin::Default);
    assert_eq!(run.origin("quiet"), Origin::Default);
    let error = refused(&format!("{text}after-last-attempt = 'skip'"), &["run"]);
    assert!(error.contains("exclude each other"), "{error}");
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_line() {
    let text = "\
        brokers = ''\nmax_bytes = '1MiB'\n[run]\nconcurency = 5\nmax-bytes = 'lots'\ntopic = ['a b']\n\
        ordering = 'random'\nuntil-end = 'perhaps'\nto = ['null']\n[produce]\nconcurrency = 1\n\
        [rum]\n[lag]\nbootstrap-server = 'b:1'\n";
    let names = refused(text, &["run"]);
    for line in [
        "FILE:2: no command has a setting \"max_bytes\"; did you mean max-bytes?",
        "FILE:4: [run] has no setting \"concurency\"; did you mean concurrency?",
        "FILE:11: [produce] has no setting \"concurrency\"; it is one of [run], [redrive], [bench.consume]",
        "FILE:12: no command has a setting \"rum\"; did you mean run?",
        "FILE:14: [lag] has no setting \"bootstrap-server\"; it is brokers here",
    ] {
        assert!(names.lines().any(|told| told == line), "{line}\n{names}");
    }
    let values = names;
    for line in [
        "FILE:1: brokers: must not be empty",
        "FILE:6: [run] topic: one of a list must not have ' ' in it",
        "FILE:7: [run] ordering: write one of key, partition, none",
        "FILE:8: [run] until-end: write true or false",
        "FILE:9: [run] to: write one value",
    ] {
        assert!(values.lines().any(|told| told == line), "{line}\n{values}");
    }
    assert!(values.contains("FILE:5: [run] max-bytes: ") && values.contains("64MiB"), "{values}");
    let error = refused(&format!("{RUN}concurrency = 1.5"), &["run"]);
    assert_eq!(error, "FILE:6: [run] concurrency: must be a whole number");
    // Another command has no part in these values.
    let text = text.replace("max_bytes = '1MiB'", "").replace("concurency = 5", "");
    let text = &text[..text.find("[produce]").unwrap()];
    let error = refused(text, &["lag", "-G", "g"]);
    assert_eq!(error, "FILE:1: brokers: must not be empty");
}

#[test]
fn secrets_are_not_in_what_is_told() {
    let text = "[run]\nproperty = { 'sasl.password' = \"hun\\nter2\", 'a=b' = 'hunter2' }\n\
                token-file = 'hunter2' hunter2\n";
    assert!(!refused(text, &["run"]).contains("hunter2"));
    let text = text.replace("' hunter2\n", "'\n");
    let error = refused(&text, &["run"]);
    assert!(
        !error.contains("ter2") && error.contains("[run] property: sasl.password: "),
        "{error}"
    );
    let error = refused("[run]\nproperty = 'hunter2'", &["run"]);
    assert!(!error.contains("hunter2") && error.contains("NAME=VALUE"), "{error}");
}

#[test]
fn a_file_that_is_none_is_named() {
    let words = ["tidegate", "run", "--config", "/no/such/file.toml"].map(OsString::from);
    let Err(Refused::File(Failure::Config(words), _)) = load(&words) else { panic!() };
    assert!(words.starts_with("/no/such/file.toml: "), "{words}");
    let error = refused("a = [1,\n2\n[run]\n", &["run"]);
    assert!(error.starts_with("FILE:") && !error.contains('|'), "{error}");
    let error = refused("[run]\nto = 'null'\nto = 'stdout'", &["run"]);
    assert!(error.contains("FILE:3: duplicate key"), "{error}");
    let error = refused("run = 5", &["lag"]);
    assert_eq!(error, "FILE:1: run is a command: write a table [run]");
}

#[test]
fn a_wrong_command_line_is_told_as_ever() {
    for words in [&["run", "--no-such"][..], &["run", "--concurrency", "0"], &["no-such"], &[]] {
        assert!(refused("no = 'sense'", words).starts_with("usage: "), "{words:?}");
    }
}

#[test]
fn settings_that_differ_are_known_by_their_keys() {
    let before = given(RUN, &["run"]);
    let text = format!("{RUN}concurrency = 5\nproperty = {{ a = 1 }}\nuntil-end = true\n");
    let mut changed = given(&text, &["run"]).changed_since(&before).join(" ");
    assert_eq!(changed, "concurrency property until-end");
    changed = before.changed_since(&given(&text, &["run"])).join(" ");
    assert_eq!(changed, "concurrency property until-end");
    // The default, written down.
    let same = given(&format!("{RUN}concurrency = 100\n"), &["run"]);
    assert!(same.changed_since(&before).is_empty());
}

#[test]
fn a_file_is_a_regular_one_of_a_bounded_size_with_a_bounded_number_of_problems() {
    let refused_path = |path: &str| {
        let words = ["tidegate", "run", "--config", path].map(OsString::from);
        let Err(Refused::File(failure, _)) = load(&words) else { panic!() };
        failure.to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [folder.path(), &pipe, Path::new("/dev/null")] {
        assert!(refused_path(path.to_str().unwrap()).ends_with("is no regular file"));
    }
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "no = 1\n").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(refused_path(link.to_str().unwrap()).contains("link:1: no "));
    assert!(refused(&"#".repeat((1 << 20) + 1), &["run"]).ends_with("is larger than 1 MiB"));
    let many: String = (0..50).map(|n| format!("no{n} = 1\n")).collect();
    let told = refused(&many, &["run"]);
    assert_eq!((told.lines().count(), told.lines().last()), (21, Some("FILE: and 30 more")));
}

#[test]
fn what_a_file_contradicts_or_leaves_out_is_its_own_fault() {
    let blamed = |text: &str, words: &[&str], told: &str| {
        let blame = given(text, words).blame().unwrap();
        matches!(
            blame.on(Failure::Usage(told.to_owned())),
            Failure::Config(words) if words.ends_with(&format!(":6: {told}"))
        )
    };
    let text = format!("{RUN}backoff-max = '1s'\n");
    assert!(blamed(&text, &["run"], "--backoff-max is less than --backoff"));
    assert!(blamed(&text, &["run"], "backoff_max is what it is"));
    assert!(!blamed(&text, &["run", "--backoff-max=2s"], "--backoff-max is wrong"));
    assert!(!blamed(&text, &["run"], "--backoff is wrong"));
    let missing = |text: &str, words: &[&str]| {
        let blame = given(text, words).blame().unwrap();
        matches!(blame.on(Failure::Missing("no group".to_owned())), Failure::Config(_))
    };
    assert!(missing("[lag]\ntopic = 't'", &["lag"]));
    assert!(!missing("brokers = 'b:1'", &["lag"]));
    let error = refused("brokers = 'b:1'\n[run]\ntopic = 't'", &["run"]);
    assert_eq!(error, "FILE: [run]: to is missing");
}

/// The paths of all commands that have settings and do something.
fn paths(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
    for below in setting::commands(command) {
        let path = [path, &[below.get_name().to_owned()]].concat();
        match below.is_subcommand_required_set() {
            true => paths(below, &path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn the_example_has_every_setting_and_each_of_its_values_is_taken() {
    let command = setting::built();
    let text = example::file(&command);
    let parse = |text: &str| File::parse(Path::new("FILE"), text, &command).unwrap();
    let keys = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => key,
        _ => line,
    });
    let keys: String = keys.map(|line| format!("{line}\n")).collect();
    let with_all = parse(&keys);
    let mut all = Vec::new();
    paths(&command, &[], &mut all);
    assert!(all.len() >= 10, "{all:?}");
    for path in all {
        let words: Vec<_> = std::iter::once("tidegate".to_owned()).chain(path.clone()).collect();
        let words: Vec<_> = words.into_iter().map(OsString::from).collect();
        let asked = Asked::read(&command, &words).unwrap();
        assert!(arguments::of(parse(&text), &command, &asked).unwrap().words.is_empty());
        let taken = arguments::of(parse(&keys), &command, &asked).map(|taken| taken.words);
        let wrong = taken.map_or_else(|problems| problems.to_string(), |_| String::new());
        let wrong: Vec<_> = wrong.lines().filter(|w| !w.contains("exclude each other")).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        for setting in setting::settings(setting::at(&command, &path).unwrap()) {
            let key = setting.key();
            assert!(!with_all.entries(&path, key).is_empty(), "{path:?} {key}");
            assert!(!text.contains(&format!("\n#{key} = \"\"\n")), "{key} has no example");
        }
    }
}
