//! Who may send: addresses, tokens, TLS; and flags that make no sense.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use tidegate_testkit::kafka::Broker;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
};

use super::{Client, Server, call, head, topic};
use crate::process::Call;

const NOWHERE: [&str; 5] = ["ingest", "-b", "127.0.0.1:1", "-t", "t"];

fn nowhere(more: &[&str]) -> Call {
    Call::new(&[&NOWHERE[..], more].concat())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn an_address_that_others_reach_needs_a_token_or_a_word() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        nowhere(&["--listen", address]).fail(2, "--insecure");
    }
    let server = Server::of(call("t", &["--listen", "0.0.0.0:0", "--insecure"]));
    assert!(server.stderr().contains("no token is asked for"), "{}", server.stderr());
    drop(server);
    let token = file("seventeen\n");
    let flags = ["--listen", "0.0.0.0:0", "--token-file", token.path().to_str().unwrap()];
    let server = Server::of(call("t", &flags));
    assert!(server.stderr().contains("without TLS"), "{}", server.stderr());
}

#[test]
fn without_the_token_nothing_is_told_and_nothing_taken() {
    topic("ingest-token", 1);
    let server = Server::of(call("ingest-token", &[]).env("TIDEGATE_TOKEN", "secret-17"));
    let mut open = Vec::new();
    for path in ["/topics/ingest-token", "/topics/other", "/"] {
        for wrong in ["", "Bearer secret-1", "Bearer secret-170", "Basic secret-17", "secret-17"] {
            let headers = [("Authorization", wrong)];
            let headers = if wrong.is_empty() { &[][..] } else { &headers[..] };
            let answer = server.post(path, headers, b"v");
            assert_eq!(answer.status, 401, "{path} {wrong}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            open.push(answer.body);
        }
    }
    assert!(open.windows(2).all(|pair| pair[0] == pair[1]), "all of them look alike");
    let right = [("Authorization", "Bearer secret-17"), ("Origin", "http://page.example")];
    crate::process::eventually("it is taken", || {
        server.post("/topics/ingest-token", &right, b"v").status == 202
    });
    assert!(!server.stderr().contains("secret-17"), "{}", server.stderr());
}

#[test]
fn a_token_that_is_none_is_bad_configuration() {
    nowhere(&["--token-file", "/no/such/file"]).fail(78, "/no/such/file");
    for wrong in ["", "\n", "two words"] {
        nowhere(&["--token-file", file(wrong).path().to_str().unwrap()]).fail(78, "token");
        nowhere(&[]).env("TIDEGATE_TOKEN", wrong).fail(78, "TIDEGATE_TOKEN");
    }
}

#[test]
fn tls_is_spoken_and_nothing_else() {
    topic("ingest-tls", 1);
    // A certificate for 127.0.0.1, with its key in the same file.
    let broker = Broker::shared_sasl_tls();
    let pem = broker.folder().join("server.pem");
    let pem = pem.to_str().unwrap();
    let server = Server::of(call("ingest-tls", &["--tls-cert", pem, "--tls-key", pem]));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(broker.authority()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let post = || {
        let name = "127.0.0.1".try_into().unwrap();
        let tls = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let stream = StreamOwned::new(tls, TcpStream::connect(server.address).unwrap());
        let mut client = Client { stream, buffer: Vec::new() };
        client.post("/topics/ingest-tls", &[], b"v").status
    };
    crate::process::eventually("it is taken", || post() == 202);
    let mut plain = server.connect();
    plain.send(&head("POST", "/topics/ingest-tls", &[], Some(0)));
    // What comes is an alert of TLS, and the end.
    while plain.more() {}
    assert!(!plain.buffer.starts_with(b"HTTP"), "{:?}", plain.buffer);
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_named() {
    let (empty, text) = (file(""), file("no certificate\n"));
    let missing = "/no/such/file";
    nowhere(&["--tls-cert", missing, "--tls-key", missing]).fail(78, missing);
    for wrong in [&empty, &text] {
        let path = wrong.path().to_str().unwrap();
        nowhere(&["--tls-cert", path, "--tls-key", path]).fail(78, path);
    }
    nowhere(&["--tls-cert", missing]).fail(2, "--tls-key");
    nowhere(&["--tls-key", missing]).fail(2, "--tls-cert");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (flag, value) in [
        ("--topic", "a*"),
        ("--topic", "a="),
        ("--listen", "8080"),
        ("--listen", "localhost"),
        ("--max-body", "0"),
        ("--max-body", "1GiB"),
        ("--max-bytes", "1MiB"),
        ("--max-connections", "0"),
        ("--header-timeout", "0"),
        ("--body-timeout", "2h"),
        ("--idle-timeout", "1ms"),
        ("--max-wait", "2h"),
        ("--shut-status", "500"),
        ("--delivery-timeout", "1ms"),
        ("--shutdown-timeout", "0"),
        ("--floor-rate", "-1"),
    ] {
        nowhere(&[flag, value]).fail(2, flag);
    }
    nowhere(&["-t", "t=g"]).fail(2, "with and without a group");
    nowhere(&["--max-body", "32MiB"]).fail(2, "--max-bytes");
    nowhere(&["--follow", "g"]).fail(2, "--follow");
    nowhere(&["-X", "acks=0"]).fail(78, "acks");
    Call::new(&["ingest", "-b", "127.0.0.1:1"]).fail(2, "--topic");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    nowhere(&["--listen", &address]).fail(1, &address);
}
