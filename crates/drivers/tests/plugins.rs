//! Real plugins of Debian's monitoring-plugins against real servers on loopback. Without them installed
//! (`tools/install-deps.sh`) the tests say so and end.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{net::Ipv4Addr, path::Path, time::Duration};

use lifeboat_drivers::check::{NagiosCheck, plugin_directories};
use lifeboat_model::health::{CheckReport, CheckStatus};
use lifeboat_ports::Check;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

fn check(plugin: &str, arguments: &[&str]) -> Option<NagiosCheck> {
    if !plugin_directories().iter().any(|directory| Path::new(directory).join(plugin).exists()) {
        eprintln!("skipped: {plugin} is not installed (tools/install-deps.sh)");
        return None;
    }
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let limit = Duration::from_secs(60);
    Some(NagiosCheck { plugin: plugin.to_owned(), arguments, directories: plugin_directories(), limit })
}

async fn look(plugin: &str, arguments: &[&str]) -> Option<CheckReport> {
    Some(check(plugin, arguments)?.look().await)
}

/// A web server that says the same to everybody; its port.
async fn serve(status: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 2048]).await;
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell");
                let _ = connection.write_all(answer.as_bytes()).await;
            });
        }
    });
    port.to_string()
}

#[tokio::test]
async fn check_http_tells_well_ill_and_away_apart_and_measures() {
    let well = serve("200 OK").await;
    let Some(report) = look("check_http", &["-I", "127.0.0.1", "-p", &well, "-s", "well"]).await else { return };
    assert_eq!(report.status, CheckStatus::Ok, "{report:?}");
    let labels: Vec<&str> = report.performance.iter().map(|value| value.label.as_str()).collect();
    assert_eq!(labels, ["time", "size"], "{report:?}");
    assert_eq!((report.performance[0].unit.as_str(), report.performance[1].unit.as_str()), ("s", "B"));
    let ill = serve("500 Internal Server Error").await;
    let report = look("check_http", &["-I", "127.0.0.1", "-p", &ill]).await.unwrap();
    assert_eq!(report.status, CheckStatus::Critical, "{report:?}");
    let report = look("check_http", &["-I", "127.0.0.1", "-p", "1"]).await.unwrap();
    assert_eq!(report.status, CheckStatus::Critical, "{report:?}");
    let report = look("check_http", &["--no-such-option"]).await.unwrap();
    assert_eq!(report.status, CheckStatus::Unknown, "a check that is wrong says nothing of the VM: {report:?}");
}

#[tokio::test]
async fn check_tcp_sees_a_port_that_takes_connections() {
    let port = serve("200 OK").await;
    let Some(report) = look("check_tcp", &["-H", "127.0.0.1", "-p", &port]).await else { return };
    assert_eq!(report.status, CheckStatus::Ok, "{report:?}");
    assert_eq!(report.performance.first().map(|value| value.label.as_str()), Some("time"), "{report:?}");
}
