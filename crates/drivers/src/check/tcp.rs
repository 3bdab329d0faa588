//! A VM is up when it takes a TCP connection.
//!
//! The name is resolved at each look, so that a VM that comes back with another address is found; all its addresses are
//! tried, one after the other, within one time limit. The connection is closed at once and nothing is sent.

use std::{io, time::Duration};

use async_trait::async_trait;
use lifeboat_model::health::{CheckReport, CheckStatus};
use lifeboat_ports::Check;
use tokio::{net::TcpStream, time::timeout};

/// Looks whether a TCP port takes a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpCheck {
    /// `address:port` or `name:port`.
    pub address: String,
    /// How long a look may take in all.
    pub limit: Duration,
}

#[async_trait]
impl Check for TcpCheck {
    async fn look(&self) -> CheckReport {
        let what = format!("TCP {}", self.address.escape_default());
        let (status, seen) = match timeout(self.limit, TcpStream::connect(&self.address)).await {
            Ok(Ok(_)) => (CheckStatus::Ok, "takes connections".to_owned()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => (CheckStatus::Unknown, seen(&error)),
            Ok(Err(error)) => (CheckStatus::Critical, seen(&error)),
            Err(_) => (CheckStatus::Critical, format!("no answer within {:?}", self.limit)),
        };
        CheckReport::new(status, &format!("{what}: {seen}"))
    }
}

/// What an error of connecting means for a person.
fn seen(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection is refused: nothing listens on that port yet".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "it cannot be reached over the network".to_owned()
        }
        io::ErrorKind::InvalidInput => "the address is not of the form `name:port`".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use lifeboat_ports::conformance;

    use super::*;

    fn check(address: impl Into<String>) -> TcpCheck {
        TcpCheck { address: address.into(), limit: Duration::from_secs(20) }
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn it_keeps_the_contract_of_a_check() {
        let (_up, up_port) = listener();
        let (down, down_port) = listener();
        drop(down);
        let (up, down) = (check(format!("127.0.0.1:{up_port}")), check(format!("127.0.0.1:{down_port}")));
        conformance::check::run(&up, &down).await;
        assert_eq!(
            down.look().await.output,
            format!("TCP 127.0.0.1:{down_port}: the connection is refused: nothing listens on that port yet")
        );
    }

    #[tokio::test]
    async fn a_name_is_resolved() {
        let (_up, port) = listener();
        assert!(check(format!("localhost:{port}")).look().await.answers());
    }

    #[tokio::test]
    async fn a_look_ends_at_its_limit() {
        // A listener whose queue is full takes no further connection, and says nothing either.
        let address = "127.0.0.1:0".parse().unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let quick = TcpCheck { address, limit: Duration::from_millis(100) };
        let mut kept = Vec::new();
        while let Ok(Ok(connection)) = timeout(quick.limit, TcpStream::connect(&quick.address)).await {
            kept.push(connection);
        }
        let report = quick.look().await;
        assert!(report.output.ends_with(": no answer within 100ms"), "{report:?}");
    }

    #[tokio::test]
    async fn what_is_no_address_is_told_as_that() {
        for address in ["", "127.0.0.1", "127.0.0.1:notaport", "a\nb"] {
            let report = check(address).look().await;
            assert_eq!(report.status, CheckStatus::Unknown);
            assert!(report.output.contains("not of the form"), "{address:?}: {report:?}");
        }
    }
}
