use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lifeboat_drivers::notify::NotifierSpec;
use lifeboat_ports::{
    Notifier, NotifyError, Retry,
    conformance::notify::{Mood, NotifyBench, conforms, notice},
};
use lifeboat_transport::{ca::Authority, tls::https_config};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::spec;

/// A request as it came.
#[derive(Clone, Debug)]
struct Request {
    head: String,
    body: Vec<u8>,
}

struct State {
    answer: Mutex<Option<String>>,
    taken: Mutex<Vec<Request>>,
}

/// An HTTP server that gives one answer to all, or none.
struct Server {
    state: Arc<State>,
    dir: tempfile::TempDir,
    port: u16,
    kind: &'static str,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(kind: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::open_or_create(&dir.path().join("ca")).expect("an authority");
        std::fs::write(dir.path().join("ca.pem"), authority.certificate_pem()).expect("written");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let config = https_config(authority.issue_server(&[name]).expect("a certificate")).expect("a configuration");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State { answer: Mutex::new(Some(ok())), taken: Mutex::default() });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepted");
                let (acceptor, state) = (TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&serving));
                tokio::spawn(async move {
                    // A TLS handshake begins with 22; a request in the clear does not.
                    let mut first = [0];
                    let _ = stream.peek(&mut first).await;
                    if first[0] == 22 {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        serve(stream, &state).await;
                    } else {
                        serve(stream, &state).await;
                    }
                });
            }
        });
        Self { state, dir, port, kind, task }
    }

    fn answers(&self, answer: Option<String>) {
        *self.state.answer.lock().expect("not poisoned") = answer;
    }

    fn requests(&self) -> Vec<Request> {
        self.state.taken.lock().expect("not poisoned").clone()
    }

    fn spec(&self, scheme: &str, path: &str, more: Value) -> NotifierSpec {
        let mut settings = json!({"url": format!("{scheme}://127.0.0.1:{}{path}", self.port), "timeout_s": 2});
        let ca = json!({"ca_file": self.dir.path().join("ca.pem")});
        for more in [if scheme == "https" { ca } else { json!({}) }, more] {
            settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        }
        spec(self.kind, settings)
    }
}

fn ok() -> String {
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &State) {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let answer = state.answer.lock().expect("not poisoned").clone();
    let Some(answer) = answer else { std::future::pending().await };
    if answer.starts_with("HTTP/1.1 200") {
        let request = Request { head, body: bytes[head_end..].to_vec() };
        state.taken.lock().expect("not poisoned").push(request);
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[async_trait]
impl NotifyBench for Server {
    fn notifier(&self) -> Arc<dyn Notifier> {
        self.spec("https", "/hook", json!({})).notifier("chat", "c1")
    }

    async fn set(&self, mood: Mood) -> bool {
        self.answers(match mood {
            Mood::Takes => Some(ok()),
            Mood::Hangs => None,
            Mood::Refuses => Some("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy".to_owned()),
        });
        true
    }

    async fn taken(&self) -> Vec<String> {
        let text = |request: Request| {
            let document: Value = serde_json::from_slice(&request.body).expect("a document");
            let text = match self.kind {
                "webhook" => &document["events"][0]["text"],
                _ => &document[0]["annotations"]["summary"],
            };
            text.as_str().expect("text").to_owned()
        };
        self.requests().into_iter().map(text).collect()
    }
}

#[tokio::test]
async fn a_webhook_conforms() {
    conforms(&Server::start("webhook").await).await;
}

#[tokio::test]
async fn alertmanager_conforms() {
    conforms(&Server::start("alertmanager").await).await;
}

#[tokio::test]
async fn a_webhook_gets_the_documented_document_with_a_secret_over_tls() {
    let server = Server::start("webhook").await;
    let token = server.dir.path().join("token");
    std::fs::write(&token, "s3cret\n").expect("written");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
    let notifier = server.spec("https", "/a/b?room=1", json!({"token_file": token})).notifier("chat", "c1");
    notifier.deliver(&notice(5, "h2 has failed")).await.expect("taken");
    let request = server.requests().remove(0);
    assert!(request.head.starts_with("POST /a/b?room=1 HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.to_lowercase().contains("authorization: bearer s3cret\r\n"));
    let document: Value = serde_json::from_slice(&request.body).expect("a document");
    assert_eq!(document["format"], "lifeboat/notice/v1");
    assert_eq!((&document["from"], &document["severity"]), (&json!("c1"), &json!("critical")));
    assert_eq!(document["events"][0]["recovery"], 7);
}

#[tokio::test]
async fn alertmanager_is_told_below_its_path_and_in_the_clear_where_that_is_wanted() {
    let server = Server::start("alertmanager").await;
    let notifier = server.spec("http", "/am/", json!({})).notifier("am", "c1");
    notifier.deliver(&notice(5, "h2 has failed")).await.expect("taken");
    let request = server.requests().remove(0);
    assert!(request.head.starts_with("POST /am/api/v2/alerts HTTP/1.1\r\n"), "{}", request.head);
    let alerts: Value = serde_json::from_slice(&request.body).expect("a document");
    assert_eq!(alerts[0]["labels"]["alertname"], "LifeboatRecovery");
    assert!(alerts[0].get("endsAt").is_none(), "{alerts}");
}

async fn refusal(server: &Server, spec: NotifierSpec) -> NotifyError {
    let error = spec.notifier("chat", "c1").deliver(&notice(1, "x")).await.expect_err("it is not taken");
    assert!(server.requests().is_empty());
    error
}

#[tokio::test]
async fn whether_trying_again_can_help_is_told() {
    let server = Server::start("webhook").await;
    for (answer, retry) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Retry::IsFutile),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n", Retry::IsFutile),
        ("HTTP/1.1 429 Slow down\r\ncontent-length: 0\r\n\r\n", Retry::MayHelp),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", Retry::MayHelp),
        ("HTTP/1.1 20", Retry::MayHelp),
        ("\0\u{1}\u{2}\n\n", Retry::MayHelp),
    ] {
        server.answers(Some(answer.to_owned()));
        let error = refusal(&server, server.spec("https", "/", json!({}))).await;
        assert_eq!(error.retry, retry, "{answer:?}: {error}");
    }
    let huge = format!("HTTP/1.1 500 Oh\r\ncontent-length: 9000000\r\n\r\n{}", "x".repeat(9_000_000));
    server.answers(Some(huge));
    let error = refusal(&server, server.spec("https", "/", json!({}))).await;
    assert!(error.problem.len() < 1000, "{error}");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_told_nothing() {
    let server = Server::start("webhook").await;
    let pin = "00".repeat(32);
    let url = format!("https://127.0.0.1:{}/", server.port);
    let error = refusal(&server, spec("webhook", json!({"url": url, "pin_sha256": pin}))).await;
    assert_eq!(error.retry, Retry::MayHelp, "it may be mended on either side: {error}");
    let gone = server.dir.path().join("gone.pem");
    let error = refusal(&server, spec("webhook", json!({"url": url, "ca_file": gone}))).await;
    assert_eq!(error.retry, Retry::IsFutile, "{error}");
}
