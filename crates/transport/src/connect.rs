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
