//! TLS with and without a client's certificate, and HTTP/2.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_testkit::kafka::Broker;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::target::read;
use super::{numbered, topic, until_end};
use crate::process::Call;

/// A certificate for 127.0.0.1 with its key, and who vouches for it.
fn pem() -> (PathBuf, PathBuf) {
    let broker = Broker::shared_sasl_tls();
    (broker.folder().join("server.pem"), broker.authority().to_owned())
}

fn config(client: bool, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let (pem, authority) = pem();
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client {
        true => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        ),
        false => builder.with_no_client_auth(),
    };
    let chain = CertificateDer::pem_file_iter(&pem).unwrap().collect::<Result<_, _>>().unwrap();
    let mut config =
        builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(&pem).unwrap()).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Answers 200 over HTTP/1.1 with TLS; counts.
fn server(config: Arc<ServerConfig>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counts = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, counts) = (Arc::clone(&config), Arc::clone(&counts));
            thread::spawn(move || {
                let tls = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(tls, stream.unwrap());
                let mut buffer = Vec::new();
                while read(&mut stream, &mut buffer).is_some() {
                    counts.fetch_add(1, Ordering::SeqCst);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    std::io::Write::write_all(&mut stream, answer).unwrap();
                }
            });
        }
    });
    (address, count)
}

#[test]
fn a_client_certificate_is_shown_and_without_it_nothing_is_lost() {
    let (pem, authority) = pem();
    let (pem, authority) = (pem.to_str().unwrap(), authority.to_str().unwrap());
    topic("http-tls", numbered(50, 10));
    let (address, count) = server(config(true, &[b"http/1.1"]));
    let to = format!("https://{address}/in");
    // Groups of their own: a member that is killed is missed for a while.
    let run = |group, more: &[&str]| Call::run("http-tls", group, &to, more).spawn();
    let mut without = run("http-tls-without", &["--ca", authority, "--retries", "1"]);
    without.until("it is told", |run| {
        run.stderr().contains("\"target-down\"") || run.stderr().contains("attempt-failed")
    });
    drop(without);
    let mut untrusted = run("http-tls-untrusted", &["--retries", "1"]);
    untrusted.until("it is told", |run| {
        run.stderr().contains("\"target-down\"") || run.stderr().contains("trusts no authority")
    });
    assert!(!untrusted.stderr().contains("target-up"));
    drop(untrusted);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    let more = ["--ca", authority, "--client-cert", pem, "--client-key", pem];
    until_end("http-tls", &to, &more);
    assert_eq!(count.load(Ordering::SeqCst), 50);
}

/// Answers 200 over HTTP/2, with TLS or without; gives the values of all requests.
fn http2(tls: Option<Arc<ServerConfig>>) -> (SocketAddr, Arc<Mutex<Vec<Bytes>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let values = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&values);
    let answer = move |request: Request<Incoming>| {
        let all = Arc::clone(&all);
        async move {
            assert_eq!(request.version(), hyper::Version::HTTP_2);
            assert!(request.headers().contains_key("x-tidegate-offset"));
            let value = request.into_body().collect().await.unwrap().to_bytes();
            all.lock().unwrap().push(value);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
        }
    };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(answer.clone());
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => server.serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => {
                            let tls = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await;
                            server.serve_connection(TokioIo::new(tls.unwrap()), service).await
                        }
                    }
                });
            }
        });
    });
    (address, values)
}

#[test]
fn http2_is_spoken_with_tls_by_agreement_and_without_when_told() {
    let (_, authority) = pem();
    topic("http-2", numbered(500, 50));
    let (address, values) = http2(None);
    until_end("http-2", &format!("http://{address}/"), &["--http-version", "2"]);
    assert_eq!(values.lock().unwrap().len(), 500);
    assert!(values.lock().unwrap().contains(&Bytes::from_static(b"value-499")));
    let (address, values) = http2(Some(config(false, &[b"h2", b"http/1.1"])));
    let more = ["-G", "http-2-tls", "--ca", authority.to_str().unwrap()];
    let to = format!("https://{address}/");
    let args =
        ["run", "-b", Broker::shared().bootstrap(), "-t", "http-2", "--until-end", "--to", &to];
    Call::new(&[&args[..], &more].concat()).succeed();
    assert_eq!(values.lock().unwrap().len(), 500);
}
