//! Where it listens, and what that takes: a token, and enough open files.

use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};

use crate::exit::Failure;

/// Connections without a flag.
const CONNECTIONS: u32 = 16_384;
/// Open files beside connections: brokers, clients' pipes, standard streams.
const OTHER_FILES: u64 = 256;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

/// The flags of a server, as messages name them.
pub(crate) struct Flags {
    pub(crate) listen: &'static str,
    pub(crate) token_file: &'static str,
    pub(crate) insecure: &'static str,
}

/// An address that others can reach needs a token.
///
/// # Errors
/// When it has none, and nobody said that this is wanted.
pub(crate) fn check(
    flags: &Flags,
    address: SocketAddr,
    token: bool,
    insecure: bool,
) -> Result<(), Failure> {
    if address.ip().is_loopback() || token || insecure {
        return Ok(());
    }
    let Flags { listen, token_file, insecure } = flags;
    Err(Failure::Usage(format!(
        "{listen} {address} can be reached by others: ask for a token with {token_file}, or say \
         {insecure}"
    )))
}

/// Raises the limit of open files to what so many connections need, and says how many there may be.
///
/// # Errors
/// When the system does not allow as many as were asked for.
pub(crate) fn make_room(wanted: Option<u32>) -> Result<usize, Failure> {
    let failed =
        |error| Failure::Failed(format!("cannot ask for the limit of open files: {error}"));
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    let needed = u64::from(wanted.unwrap_or(CONNECTIONS)) + OTHER_FILES;
    let allowed = match soft.max(needed.min(hard)) {
        raised if raised == soft => soft,
        // Some systems take less than what they call their hard limit.
        raised => setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised),
    };
    if wanted.is_some() && allowed < needed {
        return Err(Failure::Config(format!(
            "--max-connections needs {needed} open files and the system allows {allowed}: raise its \
             limit (ulimit -n, LimitNOFILE), or serve fewer"
        )));
    }
    let most = needed.min(allowed.max(OTHER_FILES + 1)) - OTHER_FILES;
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Listens, and says where.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart need not wait for connections of the process before it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listen().map_err(|error: std::io::Error| {
        Failure::Failed(format!("cannot listen on {address}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_the_system_has_files_are_refused_with_words() {
        let Err(Failure::Config(words)) = make_room(Some(u32::MAX)) else { panic!("taken") };
        assert!(words.contains("4294967551 open files") && words.contains("ulimit"), "{words}");
        assert!(make_room(None).unwrap() > 0);
        assert_eq!(make_room(Some(1)).unwrap(), 1);
    }

    #[test]
    fn addresses_that_others_reach_are_told_from_those_of_this_machine() {
        let flags = Flags { listen: "--l", token_file: "--t", insecure: "--i" };
        let check = |text: &str, token, insecure| {
            check(&flags, text.parse().unwrap(), token, insecure).is_ok()
        };
        for own in ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1"] {
            assert!(check(own, false, false), "{own}");
        }
        for other in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            assert!(!check(other, false, false), "{other}");
            assert!(check(other, true, false) && check(other, false, true), "{other}");
        }
    }
}
