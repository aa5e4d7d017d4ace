//! TLS, logins and permissions on a broker that has them.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Recorder, Running};
use tidegate::{Builder, Consumer, Record};
use tidegate_testkit::kafka::{Broker, Fill, NewTopic, User};

async fn nothing(_: Record) {}

fn with(name: &str, properties: &[(String, String)]) -> Builder {
    let builder = Consumer::builder().group(name).topic(name).until_end(true);
    properties.iter().fold(builder, |builder, (name, value)| match name.as_str() {
        "bootstrap.servers" => builder.brokers(value),
        _ => builder.property(name, value),
    })
}

fn filled(name: &str) -> &'static Broker {
    let broker = Broker::shared_sasl_tls();
    broker.admin().create_topic(NewTopic::new(name).partitions(2));
    let _ = broker.fill(&Fill::new(name).records(100).keys(10));
    broker
}

#[test]
fn tls_with_plain_and_scram() {
    let name = "secure";
    let broker = filled(name);
    for user in User::ALL {
        broker.allow(&user.principal(), &["Read"], "--topic", name);
        broker.allow(&user.principal(), &["Read"], "--group", name);
        // A group of its own would need an ACL of its own; the records are sent again instead.
        let _ = broker.fill(&Fill::new(name).records(10).keys(10));
        let recorder = Recorder::new();
        let builder = with(name, &broker.client_properties(user));
        let summary = Running::start(builder, &recorder.member("a"), nothing).join().unwrap();
        assert!(summary.finished() >= 10, "{user:?}: {summary}");
    }
}

#[test]
fn a_wrong_password_is_refused_with_a_clear_message() {
    let name = "secure-wrong";
    let broker = filled(name);
    for user in [User::Plain, User::Scram256] {
        let properties: Vec<_> = broker
            .client_properties(user)
            .into_iter()
            .map(|(name, value)| match name.as_str() {
                "sasl.password" => (name, "wrong-secret".to_owned()),
                _ => (name, value),
            })
            .collect();
        let recorder = Recorder::new();
        let running = Running::start(with(name, &properties), &recorder.member("a"), nothing);
        running.wait_told("refused the login");
        assert!(!running.told().iter().any(|line| line.contains("wrong-secret")));
        running.stop();
        let fails = with(name, &properties).fail_fast(true);
        let failed = Running::start(fails, &recorder.member("b"), nothing).join().unwrap_err();
        assert!(failed.to_string().contains("refused the login"), "{failed}");
    }
}

#[test]
fn a_missing_permission_is_named() {
    let name = "secure-acl";
    let broker = filled(name);
    let user = User::Plain;
    let told = |words: &str| {
        let recorder = Recorder::new();
        let builder = with(name, &broker.client_properties(user));
        let running = Running::start(builder, &recorder.member("a"), nothing);
        running.wait_told(words);
        running.stop();
    };
    told("group secure-acl");
    broker.allow(&user.principal(), &["Read"], "--group", name);
    told("topic secure-acl");
    broker.allow(&user.principal(), &["Read"], "--topic", name);
    let recorder = Recorder::new();
    let builder = with(name, &broker.client_properties(user));
    let summary = Running::start(builder, &recorder.member("a"), nothing).join().unwrap();
    assert_eq!(summary.finished(), 100);
}
