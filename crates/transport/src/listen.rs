//! Listening sockets that replace only what is dead.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt as _, net::UnixListener as StdUnixListener},
    path::{Path, PathBuf},
};

use rustix::{
    fs::Mode,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use tokio::net::{TcpListener, UnixListener};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody answers on that Unix socket.
    #[error("cannot listen on {}: address in use by a running process; stop it (`fuser -v {}` names it) or choose another path", .path.display(), .path.display())]
    SocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket has that path.
    #[error("cannot listen on {}: there is something else than a socket, which was left alone; choose another path", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The Unix socket cannot be made.
    #[error("cannot make the socket {}; check that its directory exists and that this user may write there", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has that TCP port.
    #[error(
        "cannot listen on {address}: port in use by another process; stop it (`ss -ltnp sport = :{port}` names it) or choose another address", port = .address.port()
    )]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address is none of this machine's.
    #[error(
        "cannot listen on {address}: no network interface of this machine has that address; `ip address` lists them"
    )]
    NotOurs {
        /// The address.
        address: SocketAddr,
    },
    /// The port cannot be had for another reason.
    #[error("cannot listen on {address}")]
    Port {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on a Unix socket that has the permissions of `mode` before anybody can connect. A socket that a dead process
/// left is removed first; one that somebody answers on is not. Must be called within a tokio runtime.
///
/// # Errors
/// [`ListenError`].
pub fn bind_unix(path: &Path, mode: u32) -> Result<UnixListener, ListenError> {
    let failed = |source: io::Error| ListenError::Socket { path: path.to_owned(), source };
    remove_stale(path)?;
    let make = || -> io::Result<StdUnixListener> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        // Nobody can connect between these: the socket does not listen yet.
        rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket.into())
    };
    match make() {
        Ok(listener) => UnixListener::from_std(listener).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(ListenError::SocketInUse { path: path.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match answers(path) {
        Ok(true) => Err(ListenError::SocketInUse { path: path.to_owned() }),
        Ok(false) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        },
        Err(error) => Err(failed(error)),
    }
}

/// Whether a process listens on a Unix socket. Does not wait for one that stands still.
fn answers(path: &Path) -> io::Result<bool> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        // Would block: its queue is full, so somebody lives there.
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Listens on a TCP port.
///
/// # Errors
/// [`ListenError`].
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::PortInUse { address },
        io::ErrorKind::AddrNotAvailable => ListenError::NotOurs { address },
        _ => ListenError::Port { address, source },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_socket_has_its_mode_and_answers() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("api.sock");
        let listener = bind_unix(&path, 0o660).expect("bound");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        let (client, accepted) = tokio::join!(tokio::net::UnixStream::connect(&path), listener.accept());
        client.expect("connected");
        accepted.expect("accepted");
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("api.sock");
        drop(bind_unix(&path, 0o600).expect("first"));
        assert!(path.exists(), "a closed listener leaves its file");
        let living = bind_unix(&path, 0o600).expect("the dead one was replaced");
        let error = bind_unix(&path, 0o600).expect_err("the living one was not");
        assert!(matches!(error, ListenError::SocketInUse { .. }));
        assert!(error.to_string().contains("address in use by a running process"), "{error}");
        drop(living);
    }

    #[tokio::test]
    async fn a_file_in_the_sockets_place_is_left_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("notes.txt");
        fs::write(&path, "precious").expect("write");
        assert!(matches!(bind_unix(&path, 0o600), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    }

    #[tokio::test]
    async fn a_missing_directory_and_a_path_too_long_are_errors_that_name_the_path() {
        let dir = tempfile::tempdir().expect("dir");
        for path in [dir.path().join("none/api.sock"), dir.path().join("x".repeat(120))] {
            let error = bind_unix(&path, 0o600).expect_err("no place");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_way_out() {
        let first = bind_tcp(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let address = first.local_addr().expect("bound");
        let error = bind_tcp(address).await.expect_err("in use");
        assert!(matches!(error, ListenError::PortInUse { .. }));
        assert!(error.to_string().contains(&address.to_string()) && error.to_string().contains("ss -ltnp"), "{error}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named_so() {
        let error = bind_tcp(([192, 0, 2, 1], 0).into()).await.expect_err("not ours");
        assert!(matches!(error, ListenError::NotOurs { .. }));
    }
}
