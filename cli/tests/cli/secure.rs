//! TLS and logins.

use std::fs;

use tidegate_testkit::kafka::{Broker, NewRecord, NewTopic, User, produce};

use crate::process::Call;

fn topic(name: &str) -> &'static Broker {
    let broker = Broker::shared_sasl_tls();
    broker.admin().create_topic(NewTopic::new(name));
    let written = produce::send(&broker.properties(), name, [NewRecord::new().value("v")]);
    assert_eq!(written.len(), 1);
    broker
}

const MORE: [&str; 6] = ["--to", "stdout", "--until-end", "--fail-fast", "-G", "secure"];

#[test]
fn a_login_by_properties() {
    let broker = topic("secure-flags");
    let call = |password: &str| {
        let mut properties = broker.client_properties(User::Admin);
        for (name, value) in &mut properties {
            if name == "sasl.password" {
                password.clone_into(value);
            }
        }
        let mut args = vec!["run".to_owned(), "-t".to_owned(), "secure-flags".to_owned()];
        for (name, value) in properties {
            args.extend(["-X".to_owned(), format!("{name}={value}")]);
        }
        args.extend(MORE.map(str::to_owned));
        Call::new(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(call(User::Admin.password()).succeed().lines().len(), 1);
    let refused = call("wrong-secret").fail(1, "refused the login");
    assert!(!refused.stderr.contains("wrong-secret"), "{}", refused.stderr);
}

#[test]
fn a_login_by_a_file_of_java() {
    let broker = topic("secure-file");
    broker.allow(&User::Scram512.principal(), &["Read", "Describe"], "--topic", "secure-file");
    broker.allow(&User::Scram512.principal(), &["Read", "Describe"], "--group", "secure");
    let folder = tempfile::tempdir().unwrap();
    let call = |password: &str| {
        let path = folder.path().join("client.properties");
        let text = format!(
            "bootstrap.servers={}\n\
             group.id=secure\n\
             security.protocol=SASL_SSL\n\
             sasl.mechanism=SCRAM-SHA-512\n\
             sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n\
             \x20 username=\"{}\" password=\"{password}\";\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n",
            broker.bootstrap_sasl(),
            User::Scram512.name(),
            broker.authority().display()
        );
        fs::write(&path, text).unwrap();
        let args = ["run", "-t", "secure-file", "-F", path.to_str().unwrap()];
        Call::new(&[&args[..], &MORE[..4]].concat())
    };
    assert_eq!(call(User::Scram512.password()).succeed().lines().len(), 1);
    call("wrong-secret").fail(1, "refused the login");
}

#[test]
fn a_missing_permission_is_named() {
    let broker = topic("secure-acl");
    let mut args = vec!["run".to_owned(), "-t".to_owned(), "secure-acl".to_owned()];
    for (name, value) in broker.client_properties(User::Plain) {
        args.extend(["-X".to_owned(), format!("{name}={value}")]);
    }
    args.extend(MORE.map(str::to_owned));
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    // Which of the two is asked for first is the client's choice.
    Call::new(&args).fail(1, "secure");
}

#[test]
fn redrive_names_the_permission_that_it_lacks_and_needs_no_other() {
    let broker = Broker::shared_sasl_tls();
    let (dead, target) = ("secure-dead", "secure-target");
    broker.admin().create_topic(NewTopic::new(dead));
    broker.admin().create_topic(NewTopic::new(target));
    let letter = NewRecord::new().value("v").header("kafka_dlt-original-topic", target);
    let _ = produce::send(&broker.properties(), dead, [letter]);
    let redrive = || {
        let mut args = ["redrive", "-t", dead, "--yes"].map(str::to_owned).to_vec();
        for (name, value) in broker.client_properties(User::Scram256) {
            args.extend(["-X".to_owned(), format!("{name}={value}")]);
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        Call::new(&args)
    };
    let allow = |operation: &str, resource: &str, name: &str| {
        broker.allow(&User::Scram256.principal(), &[operation], resource, name);
    };
    allow("Read", "--topic", dead);
    allow("Write", "--topic", target);
    redrive().fail(1, "tidegate-redrive:secure-dead");
    allow("Read", "--group", "tidegate-redrive:secure-dead");
    let keeper = "tidegate-redrive-selection:secure-dead:tidegate-redrive:secure-dead";
    let failed = redrive().fail(1, keeper);
    assert!(failed.stderr.contains("nothing is moved"), "{failed:#?}");
    allow("Read", "--group", keeper);
    let ended = redrive().succeed();
    assert_eq!(ended.events("summary")[0]["moved"], 1, "{ended:#?}");
}
