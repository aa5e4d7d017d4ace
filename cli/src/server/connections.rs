//! Connections: accepted while there may be more, served, and brought to an end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tidegate::Level;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Service;
use super::timed::{Timed, Times, Turn};
use crate::report::{Message, Sender};

/// The largest head of a request, in bytes; a larger one is answered 431.
const LARGEST_HEAD: usize = 16 << 10;
/// A machine that is out of files or memory is not asked again at once.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// How often the same trouble is told.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Said to a connection too many.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 52\r\n\r\n\
    {\"error_code\":503,\"message\":\"too many connections\"}\n";

/// The server.
pub(crate) struct Server<S> {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// How many connections are served at once.
    pub(crate) most: usize,
    pub(crate) times: Times,
    pub(crate) service: Arc<S>,
    pub(crate) sender: Sender,
}

/// What is left of a server that accepts no more: the connections that it has.
pub(crate) struct Connections {
    tasks: TaskTracker,
    end: CancellationToken,
    /// Ends what is still there.
    cut: CancellationToken,
}

impl<S: Service> Server<S> {
    /// Accepts and serves until the signal completes.
    pub(crate) async fn run(self, signal: impl Future<Output = ()>) -> Connections {
        let Self { listener, tls, most, times, service, sender } = self;
        let left = Connections {
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let places = Arc::new(Semaphore::new(most));
        let mut trouble = Trouble { sender, told: None };
        tokio::pin!(signal);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut signal => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if is_of_the_machine(&error) {
                        trouble.tell(format!("cannot accept a connection: {error}"));
                        sleep(OUT_OF_FILES).await;
                    }
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                trouble.tell(format!("there are {most} connections: one more was turned away"));
                // It fits into the socket's buffer, or nobody is there to read it.
                if tls.is_none() {
                    let _ = stream.try_write(TOO_MANY);
                }
                continue;
            };
            // Answers are small, and each is waited for.
            let _ = stream.set_nodelay(true);
            let service = Arc::clone(&service);
            let (tls, end, cut) = (tls.clone(), left.end.clone(), left.cut.clone());
            left.tasks.spawn(async move {
                let _open = Open::new(Arc::clone(&service));
                cut.run_until_cancelled(connection(stream, tls, times, service, end)).await;
                drop(place);
            });
        }
        left
    }
}

impl Connections {
    /// Lets every request that was begun have its answer, for so long at most. Says how many
    /// connections were cut off.
    pub(crate) async fn drain(self, patience: Duration) -> usize {
        self.end.cancel();
        self.tasks.close();
        if timeout(patience, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.tasks.len();
        self.cut.cancel();
        left
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    times: Times,
    service: Arc<impl Service>,
    end: CancellationToken,
) {
    let Some(tls) = tls else { return serve(stream, times, &*service, end).await };
    let handshake = timeout(times.head, tls.accept(stream));
    // Whoever does not get through the handshake learns why from TLS.
    if let Some(Ok(Ok(stream))) = end.run_until_cancelled(handshake).await {
        serve(stream, times, &*service, end).await;
    }
}

async fn serve<S>(stream: S, times: Times, service: &impl Service, end: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let turn = Turn::default();
    let stream = TokioIo::new(Timed::new(stream, times, turn.clone()));
    let answering = service_fn(|request| {
        let turn = turn.clone();
        async move {
            let _serving = turn.begin();
            Ok::<_, std::convert::Infallible>(service.call(request).await)
        }
    });
    let connection = http1::Builder::new()
        // The stream has times of its own.
        .header_read_timeout(None)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(stream, answering);
    tokio::pin!(connection);
    // How a connection ends, and whose fault it was, matters to nobody here: a client that did not
    // get its answer knows it.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// A connection that is served, until it is dropped.
struct Open<S: Service>(Arc<S>);

impl<S: Service> Open<S> {
    fn new(service: Arc<S>) -> Self {
        service.connected();
        Self(service)
    }
}

impl<S: Service> Drop for Open<S> {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// Not of a client that was gone before it was accepted.
fn is_of_the_machine(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Tells the operator, but not at each connection.
struct Trouble {
    sender: Sender,
    told: Option<Instant>,
}

impl Trouble {
    fn tell(&mut self, words: String) {
        if self.told.is_none_or(|told| told.elapsed() > TELL_AGAIN) {
            self.told = Some(Instant::now());
            self.sender.message(Message::new(Level::Warning, "connections", words));
        }
    }
}
