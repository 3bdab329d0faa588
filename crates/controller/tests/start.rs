//! A controller as a whole: what keeps it from starting, and who is let in.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use lifeboat_client::Client;
use lifeboat_controller::{ControllerConfig, RunError, run};
use lifeboat_drivers::store::RedbStore;
use lifeboat_model::{HostName, spec::Declaration};
use lifeboat_ports::{Store, Transaction, Write};
use lifeboat_transport::{
    ca::Authority,
    credentials::KeyAndRequest,
    frame::{FrameReader, FrameWriter},
    join::{JoinError, Newcomer},
    tls::{self, Protocol},
    token::JoinToken,
    {Identity, connect},
};
use tokio::sync::oneshot;

const LIMIT: Duration = Duration::from_secs(5);

/// A free port of loopback. Another process may take it before it is used; tests use it at once.
fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
    listener.local_addr().expect("an address")
}

fn config(dir: &Path) -> ControllerConfig {
    ControllerConfig {
        state_dir: dir.join("state"),
        socket: dir.join("c.sock"),
        listen: free_port(),
        ..ControllerConfig::default()
    }
}

struct Running {
    client: Client,
    port: u16,
    end: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<Result<(), RunError>>,
}

impl Running {
    async fn start(config: ControllerConfig) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let client = Client::unix(config.socket.clone());
        let port = config.listen.port();
        let shutdown = async move { drop(ended.await) };
        let done = tokio::spawn(run(config, shutdown, move || ready.send(()).expect("the test waits")));
        is_ready.await.expect("the controller serves");
        Self { client, port, end, done }
    }

    async fn stop(self) {
        self.end.send(()).expect("the controller runs");
        self.done.await.expect("no panic").expect("a clean end");
    }
}

/// The error of a controller that does not start, with its causes.
async fn refusal(config: ControllerConfig) -> String {
    let error = run(config, std::future::pending(), || panic!("it serves")).await.expect_err("it does not start");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn fleet() -> Declaration {
    toml::from_str("[[host]]\nname = \"h1\"\ncapacity = { memory_mib = 1024 }\n").expect("a declaration")
}

#[tokio::test]
async fn a_port_or_socket_in_use_is_named_and_nothing_is_changed() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = config(dir.path());
    let running = Running::start(first.clone()).await;
    let other = dir.path().join("other");
    std::fs::create_dir(&other).expect("a directory");
    let said = refusal(ControllerConfig { listen: first.listen, ..config(&other) }).await;
    assert!(said.contains(&first.listen.to_string()) && said.contains("in use"), "{said}");
    assert!(!other.join("state/store.redb").exists(), "nothing was made");
    let said = refusal(ControllerConfig { socket: first.socket.clone(), ..config(&other) }).await;
    assert!(said.contains("c.sock"), "{said}");
    let said = refusal(ControllerConfig { state_dir: first.state_dir.clone(), ..config(&other) }).await;
    assert!(said.contains("store.redb"), "a second controller on one store: {said}");
    running.client.status().await.expect("the first is not disturbed");
    running.stop().await;
}

#[tokio::test]
async fn what_was_applied_is_there_after_a_restart_and_the_epoch_is_higher() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(config(dir.path())).await;
    let outcome = running.client.apply(&fleet()).await.expect("it is taken");
    assert_eq!(outcome.created.len(), 1);
    let epoch = running.client.status().await.expect("a status").controller.epoch;
    running.stop().await;
    let running = Running::start(config(dir.path())).await;
    assert_eq!(running.client.apply(&fleet()).await.expect("it is taken").unchanged, 1);
    assert!(running.client.status().await.expect("a status").controller.epoch > epoch);
    running.stop().await;
}

async fn stored(dir: &Path) -> PathBuf {
    let running = Running::start(config(dir)).await;
    running.client.apply(&fleet()).await.expect("it is taken");
    running.stop().await;
    dir.join("state/store.redb")
}

#[tokio::test]
async fn a_store_cut_short_or_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = stored(dir.path()).await;
    let store = RedbStore::open(&path).expect("the store");
    let newer = Write { key: "meta/version".to_owned(), value: Some(b"99".to_vec()) };
    store.commit(&Transaction { conditions: Vec::new(), writes: vec![newer] }).await.expect("it is written");
    drop(store);
    let said = refusal(config(dir.path())).await;
    assert!(said.contains("99") && said.contains("store.redb"), "{said}");

    let whole = std::fs::read(&path).expect("the store's file");
    std::fs::write(&path, &whole[..whole.len() / 3]).expect("cut short");
    let said = refusal(config(dir.path())).await;
    assert!(said.contains("store.redb"), "{said}");
    assert_eq!(std::fs::read(&path).expect("the file").len(), whole.len() / 3, "it was left alone");
}

#[tokio::test]
async fn a_token_lets_its_host_in_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(config(dir.path())).await;
    running.client.apply(&fleet()).await.expect("it is taken");
    let h1 = HostName::new("h1").expect("a name");
    let issued = running.client.create_token(&h1).await.expect("a token");
    assert!(!format!("{issued:?}").contains(&issued.token), "a token is not shown by accident");
    let newcomer = |host: &str| {
        let token = JoinToken::parse(&issued.token).expect("a token");
        Newcomer::new(HostName::new(host).expect("a name"), token).expect("TLS")
    };
    let wrong = newcomer("h2").ask("127.0.0.1", running.port, LIMIT).await.expect_err("it is for h1");
    assert!(wrong.to_string().contains("made for host h1"), "{wrong}");
    let credentials = newcomer("h1").ask("127.0.0.1", running.port, LIMIT).await.expect("h1 is let in");
    assert_eq!(credentials.identity(), &Identity::Host(h1));
    let again = newcomer("h1").ask("127.0.0.1", running.port, LIMIT).await.expect_err("once");
    assert!(matches!(&again, JoinError::Refused { why, .. } if why.contains("used already")), "{again}");
    running.stop().await;
}

#[tokio::test]
async fn an_agent_with_a_foreign_certificate_is_turned_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(config(dir.path())).await;
    running.client.apply(&fleet()).await.expect("it is taken");
    let foreign = Authority::open_or_create(&dir.path().join("foreign")).expect("an authority");
    let key = KeyAndRequest::generate().expect("a key");
    let host = Identity::Host(HostName::new("h1").expect("a name"));
    let certificate = foreign.sign_csr(key.request_pem(), &host).expect("a certificate");
    let ours = std::fs::read_to_string(dir.path().join("state/ca/authority.pem")).expect("the authority");
    let at = ours.find("-----BEGIN CERTIFICATE-----").expect("its certificate");
    // Even one that trusts the right authority, and so does not turn away itself.
    let credentials = key.into_credentials(&certificate, foreign.certificate_pem(), &foreign.fingerprint());
    let config = tls::client_config(&credentials.expect("they fit"), Protocol::Agent).expect("TLS");
    let refused = connect::tls("127.0.0.1", running.port, &config, &tls::controller_name(), LIMIT).await;
    assert!(refused.is_err(), "it does not know our controller; ours is {} bytes", ours[at..].len());
    running.client.status().await.expect("the controller is not disturbed");
    running.stop().await;
}

#[tokio::test]
async fn a_host_may_not_use_the_api_and_nobody_may_without_a_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(config(dir.path())).await;
    running.client.apply(&fleet()).await.expect("it is taken");
    let h1 = HostName::new("h1").expect("a name");
    let issued = running.client.create_token(&h1).await.expect("a token");
    let token = JoinToken::parse(&issued.token).expect("a token");
    let credentials = Newcomer::new(h1, token).expect("TLS").ask("127.0.0.1", running.port, LIMIT).await.expect("in");
    let config = tls::client_config(&credentials, Protocol::Http).expect("TLS");
    let stream = connect::tls("127.0.0.1", running.port, &config, &tls::controller_name(), LIMIT).await.expect("TLS");
    let (reader, writer) = tokio::io::split(stream);
    let mut writer = FrameWriter::new(writer);
    let mut reader = FrameReader::new(reader).idle_limit(LIMIT);
    // Whatever is said, the connection is closed without an answer.
    let _ = writer.send(&"GET /v1/status").await;
    assert!(!matches!(reader.next::<String>().await, Ok(Some(_))), "a host got an answer from the API");
    running.stop().await;
}
