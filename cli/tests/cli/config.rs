//! The file of `--config`; `reload` changes it while a command runs.

mod reload;

use std::io::Write as _;

use tempfile::NamedTempFile;

use crate::process::Call;

/// A run that ends before anything is connected, since there is no such property.
const RUN: &str = "\
brokers = '127.0.0.1:1'
[run]
topic = ['one', 'two']
group = 'g'
to = 'null'
property = { 'no.such' = '${NEEDED:?give it}' }
";

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn call(words: &[&str], file: &NamedTempFile) -> Call {
    Call::new(words).env("TIDEGATE_CONFIG", file.path().to_str().unwrap())
}

#[test]
fn a_file_is_enough_for_a_run() {
    let file = file(RUN);
    let path = file.path().to_str().unwrap();
    call(&["run"], &file).env("NEEDED", "1").fail(78, "no.such");
    Call::new(&["run", "--config", path]).env("NEEDED", "1").fail(78, "no.such");
    call(&["run"], &file).fail(78, &format!("{path}:6: [run] property: no.such: the variable"));
    // What is said instead needs no variable of the file.
    let other = ["run", "-X", "no.such=2", "-X", "no.such.either=2"];
    call(&other, &file).fail(78, "no.such");
    // Other commands have no part in [run]; that it is the file which is not enough is told.
    call(&["lag"], &file).fail(2, "--group GROUP (settings of /");
}

#[test]
fn a_variable_comes_over_the_file_and_a_flag_over_both() {
    let file = file(&RUN.replace("to = ", "concurrency = 5\nto = "));
    let call = |words: &[&str]| {
        call(&[&["run"], words].concat(), &file).env("NEEDED", "1").env("TIDEGATE_CONCURRENCY", "0")
    };
    call(&[]).fail(2, "--concurrency");
    call(&["--concurrency", "7"]).fail(78, "no.such");
}

#[test]
fn a_variable_that_is_empty_is_as_if_it_were_not_set() {
    let run = ["run", "-b", "b:1", "-t", "t", "-G", "g", "--to", "null", "-X", "no.such=1"];
    let names = ["CONFIG", "TOPIC", "CONCURRENCY", "QUIET", "PROPERTY", "DEAD_LETTER", "OUTPUT"];
    let call = |words: &[&str]| {
        let call = Call::new(words).env("TIDEGATE_BROKERS", "");
        names.iter().fold(call, |call, name| call.env(&format!("TIDEGATE_{name}"), ""))
    };
    call(&run).fail(78, "no.such");
    call(&["run", "-t", "t", "-G", "g", "--to", "null"]).fail(2, "no broker is named");
    let help = call(&["run", "--help"]).succeed().stdout;
    assert!(help.contains("TIDEGATE_BROKERS") && help.contains("TIDEGATE_TOPIC"), "{help}");
    let file = file(
        "brokers = 'b:1'\n[run]\ntopic = 't'\ngroup = 'g'\nto = 'null'\n\
                     property = { 'no.such' = 1 }",
    );
    let path = file.path().to_str().unwrap();
    call(&["run", "--config", path]).fail(78, "no.such");
}

#[test]
fn what_contradicts_itself_in_a_file_is_told_with_its_line() {
    let run = RUN.replace("property", "# ");
    for wrong in
        ["backoff = '10s'\nbackoff-max = '1s'", "admin = '0.0.0.0:9'", "drain-timeout = '5m'"]
    {
        let file = file(&format!("{run}{wrong}\n"));
        let path = file.path().to_str().unwrap();
        call(&["run"], &file).fail(78, &format!("{path}:7: "));
    }
    let wrong = file("[lab]\nset = { foo = '1' }\n");
    call(&["lab"], &wrong).fail(78, &format!("{}:2: --set foo", wrong.path().display()));
    let without = file(&run.replace("group", "# "));
    call(&["run"], &without).fail(78, &format!("{}: no group is named", without.path().display()));
    call(&["run", "-G", "g", "--backoff=10s", "--backoff-max=1s"], &without)
        .fail(2, "--backoff-max");
}

#[test]
fn a_value_that_may_be_a_secret_is_not_told() {
    let run = ["run", "-b", "b:1", "-t", "t", "-G", "g", "--to", "null"];
    for (more, code) in [(["-X", "sasl.pasword=hunter2"], 78), (["-X", "hunter2"], 2)] {
        let ended = Call::new(&[&run[..], &more].concat()).fail(code, "property");
        assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
    }
    Call::new(&[&run[..], &["-X", "security.protocol=SSLL"]].concat()).fail(78, "SSLL");
}

#[test]
fn a_bad_file_is_told_as_any_other_failure() {
    let text = RUN.replace("to = ", "concurency = 5\nunknown = true\nto = ");
    let file = file(&text);
    let ended = call(&["run"], &file).fail(78, "did you mean concurrency?");
    let failed = ended.events("failed");
    assert_eq!(failed.len(), 1, "{ended:#?}");
    let message = failed[0]["message"].as_str().unwrap();
    assert_eq!(message.lines().count(), 3, "all at once: {message}");
    let ended = call(&["run", "--output", "text"], &file).fail(78, "error: /");
    assert!(ended.stderr.contains(":6: ") && ended.stderr.contains(":5: "), "{ended:#?}");
    // Whoever needs help gets it.
    call(&["run", "--help"], &file).succeed();
    call(&["--version"], &file).succeed();
}

#[test]
fn the_lab_does_not_mind_that_a_cluster_is_named_for_others() {
    let file = file("brokers = 'nowhere:1'\n[lab]\nscenario = 'burst'\nduration = '1s'\n");
    let text = call(&["lab", "--output", "text"], &file).succeed().stdout;
    assert!(text.contains("burst"), "{text}");
    call(&["lab", "-b", "nowhere:1"], &file).fail(2, "needs no broker");
}

#[test]
fn the_printed_file_can_be_used_as_it_is() {
    let example = file(&Call::new(&["config", "--example"]).succeed().stdout);
    let run = ["run", "-b", "b:1", "-t", "t", "-G", "g", "--to", "null", "-X", "no.such=1"];
    call(&run, &example).fail(78, "no.such");
    Call::new(&["config"]).fail(2, "--example");
    Call::new(&["config", "--example", "--reference"]).fail(2, "--reference");
    // A file that cannot be used is no reason not to print one that can.
    call(&["config", "--example"], &file("no = 'sense'")).succeed();
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = Call::new(&["completions", shell]).succeed().stdout;
        for word in ["max-queued", "redrive", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = Call::new(&["completions", "bash"]).succeed().stdout;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    let asks = "COMP_WORDS=(tidegate run --max-q); COMP_CWORD=2; _tidegate tidegate --max-q run; \
                echo \"${COMPREPLY[@]}\"";
    std::fs::write(&path, format!("{script}\n{asks}\n")).unwrap();
    let answer = std::process::Command::new("bash").arg(&path).output().unwrap();
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), "--max-queued\n");
}

#[test]
fn flags_of_an_http_target_are_refused_for_another() {
    let run = ["run", "-b", "b:1", "-t", "t", "-G", "g", "--to", "null", "-X", "no.such=1"];
    let with = |more: &[&str]| Call::new(&[&run[..], more].concat());
    let ended = with(&["--ca", "x", "--cloudevents", "none"]).fail(2, "--cloudevents, --ca: only");
    assert!(ended.stderr.contains("--to http"), "{ended:#?}");
    // What the environment, or the top of a file, has may be meant for others.
    with(&[]).env("TIDEGATE_TOKEN_FILE", "x").fail(78, "no.such");
    call(&run, &file("token-file = 'x'")).fail(78, "no.such");
    let own = file("[run]\ntoken-file = 'x'\n\nhttp-version = '2'\n");
    let path = own.path().to_str().unwrap();
    let ended = call(&run, &own).fail(78, &format!("{path}:2: [run] token-file: only for"));
    assert!(ended.stderr.contains(&format!("{path}:4: [run] http-version")), "{ended:#?}");
}
