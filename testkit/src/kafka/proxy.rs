//! A TCP proxy between clients and a broker: the network, and what may happen to it.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often a thread that waits for bytes or connections looks whether the network has changed.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that are passed on at once.
const PIECE: usize = 16 * 1_024;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Passes everything on at once.
    Pass,
    /// Connections are closed, new ones are refused.
    Cut,
    /// Every 16 KiB, or what there is, take so long on their way, one after another: a latency
    /// and a bandwidth in one.
    Slow(Duration),
    /// Connections stay, new ones are taken, and nothing arrives, in neither direction: what a
    /// lost route looks like. Bytes that were on their way arrive when it is over, as they would
    /// by TCP's repetitions.
    HalfOpen,
}

/// Listens on a port, and connects each connection to another one. Its threads end when it is
/// dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    listen: u16,
    target: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    network: Network,
    /// Counts the cuts: a connection from before one is closed.
    cuts: u64,
    /// None while connections are refused.
    listener: Option<TcpListener>,
    ended: bool,
}

impl Proxy {
    /// Takes connections on `127.0.0.1:listen` and passes them on to `127.0.0.1:target`.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(listen: u16, target: u16) -> io::Result<Self> {
        let listener = Some(bind(listen)?);
        let state = State { network: Network::Pass, cuts: 0, listener, ended: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { listen, target, state, changed });
        let acceptor = thread::Builder::new().name(format!("proxy-{listen}")).spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept()
        })?;
        Ok(Self { shared, acceptor: Some(acceptor) })
    }

    /// Changes what the network does, for connections that exist as well.
    ///
    /// # Panics
    /// When the port cannot be had again after a cut.
    pub fn set(&self, network: Network) {
        let mut state = self.shared.lock();
        state.network = network;
        match network {
            Network::Cut => {
                state.cuts += 1;
                state.listener = None;
            }
            _ if state.listener.is_none() => {
                state.listener = Some(bind(self.shared.listen).expect("the proxy's own port"));
            }
            _ => {}
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Network::Cut);
        self.shared.lock().ended = true;
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>) {
        loop {
            let (accepted, cuts) = {
                let state = self.lock();
                if state.ended {
                    return;
                }
                (state.listener.as_ref().and_then(|listener| listener.accept().ok()), state.cuts)
            };
            match accepted {
                // A broker that is gone refuses, and so does the proxy by closing.
                Some((client, _)) => _ = self.join_up(client, cuts),
                None => thread::sleep(LOOK),
            }
        }
    }

    /// Two threads, one for each direction.
    fn join_up(self: &Arc<Self>, client: TcpStream, cuts: u64) -> io::Result<()> {
        let broker = TcpStream::connect(("127.0.0.1", self.target))?;
        for stream in [&client, &broker] {
            stream.set_nonblocking(false)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOOK))?;
        }
        for (from, to) in [(client.try_clone()?, broker.try_clone()?), (broker, client)] {
            let shared = Arc::clone(self);
            thread::Builder::new().name("proxy".to_owned()).spawn(move || {
                let _ = shared.pass_on(&from, &to, cuts);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            })?;
        }
        Ok(())
    }

    /// Until an end closes, or the network is cut.
    fn pass_on(&self, mut from: &TcpStream, mut to: &TcpStream, cuts: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    0
                }
                Err(error) => return Err(error),
            };
            let mut state = self.lock();
            while state.network == Network::HalfOpen {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.cuts != cuts {
                return Ok(());
            }
            let network = state.network;
            drop(state);
            if length > 0 {
                if let Network::Slow(delay) = network {
                    thread::sleep(delay);
                }
                to.write_all(&piece[..length])?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A client's end, and the end at which what it sends arrives.
    fn pair(listen: u16, target: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(("127.0.0.1", listen)).unwrap();
        let (server, _) = target.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (client, server)
    }

    fn arrives(server: &mut TcpStream) -> Option<u8> {
        let mut byte = [0];
        matches!(server.read(&mut byte), Ok(1)).then_some(byte[0])
    }

    #[test]
    fn the_network_passes_delays_swallows_and_cuts() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let proxy = Proxy::start(free, target.local_addr().unwrap().port()).unwrap();
        let (mut client, mut server) = pair(free, &target);
        client.write_all(&[1]).unwrap();
        assert_eq!(arrives(&mut server), Some(1));

        proxy.set(Network::Slow(Duration::from_millis(200)));
        let begun = Instant::now();
        client.write_all(&[2]).unwrap();
        assert_eq!(arrives(&mut server), Some(2));
        assert!(begun.elapsed() >= Duration::from_millis(200));

        proxy.set(Network::HalfOpen);
        client.write_all(&[3]).unwrap();
        let (mut second, mut other_end) = pair(free, &target);
        second.write_all(&[4]).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(arrives(&mut server), None);
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        proxy.set(Network::Pass);
        assert_eq!((arrives(&mut server), arrives(&mut other_end)), (Some(3), Some(4)));

        proxy.set(Network::Cut);
        assert_eq!(arrives(&mut server), None, "closed");
        assert!(TcpStream::connect(("127.0.0.1", free)).is_err(), "refused");
        proxy.set(Network::Pass);
        let (mut client, mut server) = pair(free, &target);
        client.write_all(&[5]).unwrap();
        assert_eq!(arrives(&mut server), Some(5));
    }
}
