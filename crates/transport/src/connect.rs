//! Connections with a time limit and clear errors.
//!
//! A TCP connection sends small messages at once, and is given up by the system when its peer has not been heard of
//! for about 20 seconds: a host that lost its power does not close its connections.

use std::{
    fmt, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::tls::TlsFault;

const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_PROBES: u32 = 3;
const USER_TIMEOUT_MS: u32 = 20_000;

/// Where a connection goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A Unix socket.
    Unix(PathBuf),
    /// A DNS name or an address, and a port.
    Tcp(String, u16),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens there.
    #[error("nothing listens on {peer}; check that it runs and that this is its address")]
    Refused {
        /// Where to.
        peer: Peer,
        /// What the system said.
        source: io::Error,
    },
    /// This user may not open the socket.
    #[error("this user may not open {peer}; run as root, or as a member of the group that owns it")]
    Forbidden {
        /// Where to.
        peer: Peer,
        /// What the system said.
        source: io::Error,
    },
    /// No answer within the limit.
    #[error("{peer} did not answer within {limit:?}; check that it has power and that the network lets this through")]
    TimedOut {
        /// Where to.
        peer: Peer,
        /// The limit.
        limit: Duration,
    },
    /// The handshake failed.
    #[error("cannot trust {peer}: {fault}")]
    Tls {
        /// Where to.
        peer: Peer,
        /// What was wrong.
        fault: TlsFault,
        /// What rustls or the system said.
        source: io::Error,
    },
    /// The name cannot be found, there is no way to the network, or something else.
    #[error("cannot connect to {peer}; check its name and the network")]
    Other {
        /// Where to.
        peer: Peer,
        /// What the system said.
        source: io::Error,
    },
}

impl ConnectError {
    fn of(peer: Peer, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { peer, source },
            io::ErrorKind::NotFound if matches!(peer, Peer::Unix(_)) => Self::Refused { peer, source },
            io::ErrorKind::PermissionDenied if matches!(peer, Peer::Unix(_)) => Self::Forbidden { peer, source },
            _ => Self::Other { peer, source },
        }
    }

    /// What was wrong in the handshake, if it came to one.
    #[must_use]
    pub fn tls_fault(&self) -> Option<&TlsFault> {
        match self {
            Self::Tls { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

/// Makes a TCP connection send at once and notice a silent peer.
///
/// # Errors
/// What the system says when the socket is not a live TCP connection.
pub fn tune_tcp(socket: impl AsFd) -> io::Result<()> {
    use rustix::net::sockopt;
    let socket = socket.as_fd();
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(socket, USER_TIMEOUT_MS)?;
    sockopt::set_socket_keepalive(socket, true)?;
    Ok(())
}

/// Connects to a Unix socket.
///
/// # Errors
/// [`ConnectError`].
pub async fn unix(path: &Path, limit: Duration) -> Result<UnixStream, ConnectError> {
    let peer = || Peer::Unix(path.to_owned());
    match timeout(limit, UnixStream::connect(path)).await {
        Ok(connected) => connected.map_err(|source| ConnectError::of(peer(), source)),
        Err(_) => Err(ConnectError::TimedOut { peer: peer(), limit }),
    }
}

/// Connects over TCP, trying each address of a name in turn.
///
/// # Errors
/// [`ConnectError`].
pub async fn tcp(host: &str, port: u16, limit: Duration) -> Result<TcpStream, ConnectError> {
    let peer = || Peer::Tcp(host.to_owned(), port);
    let connect = async {
        let failed = |source| ConnectError::of(peer(), source);
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        tune_tcp(&stream).map_err(failed)?;
        Ok(stream)
    };
    match timeout(limit, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::TimedOut { peer: peer(), limit }),
    }
}

/// Does the TLS handshake over a connection that is there already, as after STARTTLS. `address` is its name and port.
///
/// # Errors
/// [`ConnectError`].
pub async fn tls_over(
    stream: TcpStream,
    address: (&str, u16),
    config: &Arc<ClientConfig>,
    server_name: &ServerName<'static>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let peer = || Peer::Tcp(address.0.to_owned(), address.1);
    let handshake = TlsConnector::from(Arc::clone(config)).connect(server_name.clone(), stream);
    match timeout(limit, handshake).await {
        Ok(done) => done.map_err(|source| ConnectError::Tls { peer: peer(), fault: TlsFault::of(&source), source }),
        Err(_) => Err(ConnectError::TimedOut { peer: peer(), limit }),
    }
}

/// Connects over TCP, trying each address of a name in turn, and does the TLS handshake, all within `limit`.
///
/// # Errors
/// [`ConnectError`]. That the server refuses our certificate is learnt only at the first read: see
/// [`TlsFault::of`].
pub async fn tls(
    host: &str,
    port: u16,
    config: &Arc<ClientConfig>,
    server_name: &ServerName<'static>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let peer = || Peer::Tcp(host.to_owned(), port);
    let connect = async {
        let failed = |source| ConnectError::of(peer(), source);
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        tune_tcp(&stream).map_err(failed)?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(server_name.clone(), stream);
        handshake.await.map_err(|source| ConnectError::Tls { peer: peer(), fault: TlsFault::of(&source), source })
    };
    match timeout(limit, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::TimedOut { peer: peer(), limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fingerprint, listen, tls as ours};

    const LIMIT: Duration = Duration::from_secs(20);

    async fn try_port(port: u16, limit: Duration) -> ConnectError {
        let config = ours::join_config(Fingerprint::of(b"an authority")).expect("config");
        tls("127.0.0.1", port, &config, &ours::controller_name(), limit).await.expect_err("no connection")
    }

    #[tokio::test]
    async fn a_port_without_a_listener_is_named() {
        let listener = listen::bind_tcp(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let error = try_port(port, LIMIT).await;
        assert!(matches!(error, ConnectError::Refused { .. }));
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_accepts_but_says_nothing_is_given_up() {
        // The system accepts for a frozen process: only the handshake shows that nobody is there.
        let listener = listen::bind_tcp(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let error = try_port(listener.local_addr().expect("bound").port(), Duration::from_millis(100)).await;
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_tuned_connection_sends_at_once_and_notices_a_silent_peer() {
        use rustix::net::sockopt;
        let listener = listen::bind_tcp(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        tune_tcp(&stream).expect("tuned");
        assert!(sockopt::tcp_nodelay(&stream).expect("read") && sockopt::socket_keepalive(&stream).expect("read"));
        assert_eq!(sockopt::tcp_keepidle(&stream).expect("read"), KEEPALIVE_IDLE);
        assert_eq!(sockopt::tcp_user_timeout(&stream).expect("read"), USER_TIMEOUT_MS);
    }

    #[test]
    fn a_peer_is_written_as_one_types_it() {
        assert_eq!(Peer::Tcp("fd00::1".to_owned(), 7443).to_string(), "[fd00::1]:7443");
        assert_eq!(Peer::Tcp("bmc-h1".to_owned(), 443).to_string(), "bmc-h1:443");
        assert_eq!(Peer::Unix("/run/x.sock".into()).to_string(), "/run/x.sock");
    }
}
