use std::{convert::Infallible, error::Error as _, path::Path};

use http_body_util::{BodyExt as _, combinators::BoxBody};
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use super::*;
use crate::{
    ca::Authority,
    listen,
    tls::{self, BmcTrust, Protocol},
};

/// A Unix socket and who serves it; both end with the test.
struct Server {
    dir: tempfile::TempDir,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    fn path(dir: &Path) -> PathBuf {
        dir.join("api.sock")
    }

    /// Hands every connection to a function.
    fn each<F, Fut>(serve: F) -> Self
    where
        F: Fn(UnixStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let dir = tempfile::tempdir().expect("dir");
        let listener: UnixListener = listen::bind_unix(&Self::path(dir.path()), 0o600).expect("bound");
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepted");
                serve(stream).await;
            }
        });
        Self { dir, _task: AbortOnDropHandle::new(task) }
    }

    /// Reads a request's head, says these bytes and closes.
    fn saying(bytes: &'static [u8]) -> Self {
        Self::each(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(bytes).await.expect("said");
        })
    }

    /// Reads a request's head, says these bytes and then nothing for ever.
    fn saying_and_hanging(bytes: &'static [u8]) -> Self {
        Self::each(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(bytes).await.expect("said");
            std::future::pending().await
        })
    }

    /// A real server that answers with what it was asked.
    fn echo() -> Self {
        Self::each(|stream| async {
            let serving =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo));
            serving.await.expect("served");
        })
    }

    fn client(&self) -> Client {
        Client::new(Target::Unix(Self::path(self.dir.path())))
    }
}

async fn read_head(stream: &mut UnixStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.expect("a request"));
    }
}

async fn echo(request: Request<Incoming>) -> Result<hyper::Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let answer = json!({
        "method": head.method.as_str(), "uri": head.uri.to_string(), "host": header("host"), "color": header("x-color"),
        "body": String::from_utf8_lossy(&body),
    });
    let answer = Full::new(Bytes::from(answer.to_string())).boxed();
    let status = if head.uri.path() == "/none" { 404 } else { 200 };
    Ok(hyper::Response::builder().status(status).header("x-served", "yes").body(answer).expect("an answer"))
}

async fn get(client: &Client, path: &str) -> Result<Response, HttpError> {
    client.request(Method::GET, path, HeaderMap::new(), Bytes::new()).await
}

async fn lines(client: &Client) -> Lines {
    match client.stream(Method::GET, "/events", HeaderMap::new(), Bytes::new()).await {
        Ok(Streamed::Lines(lines)) => lines,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_the_answer_comes_back() {
    let server = Server::echo();
    let mut headers = HeaderMap::new();
    headers.insert("x-color", HeaderValue::from_static("red"));
    let answer = server.client().request(Method::POST, "/v1/x?y=1", headers, "hello").await.expect("an answer");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["x-served"], "yes");
    let seen: Value = serde_json::from_slice(&answer.body).expect("json");
    let expected = json!({"method": "POST", "uri": "/v1/x?y=1", "host": "localhost", "color": "red", "body": "hello"});
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_status_of_failure_is_an_answer_too() {
    let server = Server::echo();
    let answer = get(&server.client(), "/none").await.expect("an answer");
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let streamed = server.client().stream(Method::GET, "/none", HeaderMap::new(), "").await.expect("an answer");
    assert!(matches!(streamed, Streamed::Refused(answer) if answer.body.starts_with(b"{")));
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_not_followed() {
    let server = Server::saying(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(get(&server.client(), "/").await.expect("an answer").status, StatusCode::FOUND);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let sized = Server::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n12345678901");
    let chunked =
        Server::saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n78901\r\n0\r\n\r\n");
    let until_close = Server::saying(b"HTTP/1.1 200 OK\r\n\r\n12345678901");
    for server in [sized, chunked, until_close] {
        let error = get(&server.client().max_body_bytes(10), "/").await.expect_err("too long");
        assert!(matches!(error, HttpError::TooLong { limit: 10, .. }), "{error}");
        assert_eq!(get(&server.client().max_body_bytes(11), "/").await.expect("just fits").body, "12345678901");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_wherever_it_stops() {
    for said in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let server = Server::saying_and_hanging(said.as_bytes());
        let error = get(&server.client().time_limit(Duration::from_millis(100)), "/slow").await.expect_err("given up");
        assert!(matches!(error, HttpError::TimedOut { .. }), "{error}");
        assert!(error.to_string().contains("GET /slow at ") && !error.was_never_sent(), "{error}");
    }
}

#[tokio::test]
async fn half_an_answer_and_garbage_are_no_answers() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\u{16}\u{3}\u{1}\u{0}",
    ] {
        let server = Server::saying(said.as_bytes());
        let error = get(&server.client(), "/").await.expect_err("no answer");
        assert!(matches!(error, HttpError::Broken { fault: TlsFault::Broken, .. }), "{said:?}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_the_socket_and_marked_as_never_sent() {
    let dir = tempfile::tempdir().expect("dir");
    let path = Server::path(dir.path());
    let client = Client::new(Target::Unix(path.clone()));
    let dead = || drop(listen::bind_unix(&path, 0o600).expect("bound"));
    for prepare in [&(|| {}) as &dyn Fn(), &dead] {
        prepare();
        let error = get(&client, "/").await.expect_err("nobody");
        assert!(error.was_never_sent());
        let cause = error.source().expect("a cause").to_string();
        assert!(cause.contains(&format!("nothing listens on {}", path.display())), "{cause}");
    }
}

#[tokio::test]
async fn an_error_repeats_no_query_header_or_body() {
    let server = Server::saying(b"");
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, basic_auth("root", &Secret::new("hunter2")));
    assert!(!format!("{headers:?}").contains(&BASE64.encode(b"root:hunter2")));
    let error = server.client().request(Method::POST, "/login?key=hunter2", headers, "hunter2").await;
    let error = error.expect_err("no answer");
    for shown in [format!("{error}"), format!("{error:?}")] {
        assert!(shown.contains("/login") && !shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_path_that_is_none_is_refused_before_anything_is_sent() {
    let client = Client::new(Target::Unix("/nonexistent".into()));
    for path in ["", "x", "http://elsewhere/", "/a b", "/a\r\nx: y", "*"] {
        let error = get(&client, path).await.expect_err("refused");
        assert!(matches!(error, HttpError::Invalid { .. }), "{path:?}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[tokio::test]
async fn lines_come_one_by_one_and_empty_ones_are_left_out() {
    let server = Server::saying(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n8\r\n1}\n\n\n{\"a\r\n7\r\n\":2}\r\n3\r\n3\r\n{} \r\n0\r\n\r\n",
    );
    let mut lines = lines(&server.client()).await;
    assert_eq!(lines.next::<Value>().await.expect("a line"), Some(json!({"a": 1})));
    assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some(&b"{\"a\":2}"[..]));
    assert!(matches!(lines.next::<Value>().await, Err(HttpError::NotJson { .. })));
    assert_eq!(lines.next_line().await.expect("the end"), None);
    assert_eq!(lines.next_line().await.expect("still the end"), None);
}

#[tokio::test]
async fn a_line_is_seen_before_the_next_one_is_sent() {
    let server = Server::saying_and_hanging(b"HTTP/1.1 200 OK\r\n\r\n{\"seq\":1}\n{\"se");
    let mut lines = lines(&server.client()).await.idle_limit(Duration::from_millis(100));
    assert_eq!(lines.next::<Value>().await.expect("a line"), Some(json!({"seq": 1})));
    assert!(matches!(lines.next_line().await, Err(HttpError::TimedOut { .. })));
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_though_it_has_no_end() {
    let server = Server::saying_and_hanging(b"HTTP/1.1 200 OK\r\n\r\n1234567890\n12345678901");
    let mut lines = lines(&server.client()).await.max_bytes(10);
    assert_eq!(lines.next_line().await.expect("a line").expect("there").len(), 10);
    assert!(matches!(lines.next_line().await, Err(HttpError::TooLong { limit: 10, .. })));
}

#[tokio::test]
async fn lines_that_break_off_are_an_error_and_no_end() {
    let server = Server::saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n9\r\n{");
    let mut lines = lines(&server.client()).await;
    assert!(lines.next_line().await.expect("a line").is_some());
    assert!(matches!(lines.next_line().await, Err(HttpError::Broken { .. })));
}

/// Serves one TLS connection with the echo; gives what the handshake said.
async fn serve_tls(
    listener: &tokio::net::TcpListener,
    config: &Arc<rustls::ServerConfig>,
) -> Result<Option<crate::Identity>, tls::AcceptError> {
    let (stream, _) = listener.accept().await.expect("accepted");
    connect::tune_tcp(&stream).expect("tuned");
    let accepted = tls::accept(stream, config, Duration::from_secs(20)).await?;
    let serving = hyper::server::conn::http1::Builder::new();
    // A client that has its answer may go without a farewell.
    let _ = serving.serve_connection(TokioIo::new(accepted.stream), service_fn(echo)).await;
    Ok(accepted.peer)
}

#[tokio::test]
async fn a_tls_target_is_asked_by_name_and_trusted_by_its_certificate_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let authority = Authority::open_or_create(dir.path()).expect("an authority");
    let config = tls::https_config(authority.issue_server(&["127.0.0.1".try_into().expect("ip")]).expect("issued"));
    let config = config.expect("config");
    let listener = listen::bind_tcp(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let target = |trust| Target::Tls {
        host: "127.0.0.1".to_owned(),
        port,
        config: tls::bmc_config(&trust).expect("config"),
        server_name: "127.0.0.1".try_into().expect("ip"),
    };
    let trusted = Client::new(target(BmcTrust::Authorities(vec![authority.certificate().clone()])));
    let (served, answer) = tokio::join!(serve_tls(&listener, &config), get(&trusted, "/redfish/v1"));
    assert!(matches!(served, Ok(None)));
    let seen: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("json");
    assert_eq!(seen["host"], format!("127.0.0.1:{port}"));

    let strange = Client::new(target(BmcTrust::Pin(crate::Fingerprint::of(b"another"))));
    let (_, refused) = tokio::join!(serve_tls(&listener, &config), get(&strange, "/redfish/v1"));
    let refused = refused.expect_err("refused");
    assert!(matches!(refused.tls_fault(), Some(TlsFault::NotPinned { .. })) && refused.was_never_sent());
}

#[tokio::test]
async fn a_controller_that_refuses_our_certificate_is_understood() {
    let (ours, theirs) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let ours = Authority::open_or_create(ours.path()).expect("an authority");
    let theirs = Authority::open_or_create(theirs.path()).expect("an authority");
    let config = tls::controller_config(&theirs, &[]).expect("config");
    let mut client = rustls::ClientConfig::clone(&tls::join_config(theirs.fingerprint()).expect("config"));
    let certificate = ours.issue_controller(&[]).expect("issued");
    let key =
        rustls::sign::CertifiedKey::from_der(certificate.chain, certificate.key, &tls::provider()).expect("a key");
    client.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
    client.alpn_protocols = vec![Protocol::Http.alpn().to_vec()];
    let listener = listen::bind_tcp(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let client = Client::new(Target::Tls {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().expect("bound").port(),
        config: Arc::new(client),
        server_name: tls::controller_name(),
    });
    let (served, refused) = tokio::join!(serve_tls(&listener, &config), get(&client, "/v1/status"));
    assert!(matches!(served, Err(tls::AcceptError::Handshake { fault: TlsFault::Foreign, .. })));
    assert_eq!(refused.expect_err("refused").tls_fault(), Some(&TlsFault::RefusedAsForeign));
}
