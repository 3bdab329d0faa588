//! A controller that is only as clever as the tests need: it keeps a declaration as the real one does, and says what it
//! was told to say to everything else.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use lifeboat_client::api::{ApplyOutcome, Deleted, ErrorBody, ErrorCode, OperatorIssued, OperatorRequest, path};
use lifeboat_model::{
    declaration::{self, Kind, Object, Places},
    spec::Declaration,
};
use lifeboat_transport::{Identity, ca::Authority, listen};
use serde::Serialize;

/// What it knows and was asked.
#[derive(Default)]
struct Mind {
    declaration: Declaration,
    /// Answers by `METHOD /path`; the last one is given again and again.
    answers: BTreeMap<String, VecDeque<(StatusCode, String)>>,
    asked: Vec<(String, String)>,
    authority: Option<Authority>,
}

type Shared = Arc<Mutex<Mind>>;

/// A fake controller on a Unix socket in a directory of its own; gone when dropped.
pub struct Fake {
    pub dir: tempfile::TempDir,
    mind: Shared,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Fake {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mind = Shared::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            listen::bind_unix(&dir.path().join("controller.sock"), 0o600).expect("a socket")
        };
        let router = Self::router(&mind);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { dir, mind, runtime: Some(runtime) }
    }

    fn router(mind: &Shared) -> Router {
        Router::new().fallback(answer).with_state(mind.clone())
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("controller.sock")
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// To this request, it says this, after what it was told before.
    pub fn says(&self, request: &str, value: &impl Serialize) -> &Self {
        self.says_with(StatusCode::OK, request, serde_json::to_string(value).expect("json"))
    }

    /// To this request, it says these documents, one a line.
    pub fn says_lines(&self, request: &str, values: &[impl Serialize]) -> &Self {
        let line = |value| serde_json::to_string(value).expect("json") + "\n";
        self.says_with(StatusCode::OK, request, values.iter().map(line).collect())
    }

    /// To this request, it says no.
    pub fn refuses(&self, request: &str, error: &ErrorBody) -> &Self {
        let status = StatusCode::from_u16(error.code.status()).expect("a status");
        self.says_with(status, request, serde_json::to_string(error).expect("json"))
    }

    pub fn says_with(&self, status: StatusCode, request: &str, body: String) -> &Self {
        let mut mind = self.mind.lock().expect("not poisoned");
        mind.answers.entry(request.to_owned()).or_default().push_back((status, body));
        drop(mind);
        self
    }

    /// How often it was asked so.
    pub fn asked(&self, request: &str) -> usize {
        let mind = self.mind.lock().expect("not poisoned");
        mind.asked.iter().filter(|(asked, _)| asked == request).count()
    }

    /// The body of the last such request.
    pub fn body(&self, request: &str) -> String {
        let mind = self.mind.lock().expect("not poisoned");
        mind.asked.iter().rev().find(|(asked, _)| asked == request).expect("asked").1.clone()
    }

    pub fn authority(&self) -> PathBuf {
        let dir = self.dir.path().join("ca");
        self.mind.lock().expect("not poisoned").authority =
            Some(Authority::open_or_create(&dir).expect("an authority"));
        dir
    }

    /// Serves the same over TLS as well; the port.
    pub fn tls(&self) -> u16 {
        use hyper_util::{rt::TokioIo, service::TowerToHyperService};
        let config = {
            let mind = self.mind.lock().expect("not poisoned");
            lifeboat_transport::tls::controller_config(mind.authority.as_ref().expect("an authority"), &[])
                .expect("TLS")
        };
        let runtime = self.runtime.as_ref().expect("running");
        let listener = runtime.block_on(listen::bind_tcp(([127, 0, 0, 1], 0).into())).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let router = Self::router(&self.mind);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    assert!(stream.get_ref().1.peer_certificates().is_some(), "the client showed no certificate");
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        port
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(State(mind): State<Shared>, method: Method, uri: Uri, body: Bytes) -> Response {
    let request = format!("{method} {}", uri.path_and_query().map_or("/", |it| it.as_str()));
    let mut mind = mind.lock().expect("not poisoned");
    mind.asked.push((request.clone(), String::from_utf8_lossy(&body).into_owned()));
    if let Some(answers) = mind.answers.get_mut(&request) {
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let (status, body) = answer.expect("at least one answer");
        return (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    }
    match mind.answer(&method, uri.path(), &body) {
        Ok(answer) => answer,
        Err(error) => {
            let status = StatusCode::from_u16(error.code.status()).expect("a status");
            (status, Json(error)).into_response()
        }
    }
}

impl Mind {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> Result<Response, ErrorBody> {
        match (method.as_str(), path) {
            ("GET", path::DECLARATION) => Ok(Json(self.declaration.clone()).into_response()),
            ("POST", path::APPLY) => self.apply(body).map(|it| Json(it).into_response()),
            ("POST", path::OPERATORS) => self.operator(body).map(|it| Json(it).into_response()),
            ("DELETE", path) => self.delete(path).map(|it| Json(it).into_response()),
            (method, path) => Err(ErrorBody::new(ErrorCode::NotFound, format!("There is nothing at {method} {path}."))),
        }
    }

    fn apply(&mut self, body: &[u8]) -> Result<ApplyOutcome, ErrorBody> {
        let new: Declaration = serde_json::from_slice(body)
            .map_err(|error| ErrorBody::new(ErrorCode::BadInput, format!("not a declaration: {error}")))?;
        let problems = declaration::check(&new, &self.declaration, &Places::default());
        assert_eq!(problems, [], "the client must have checked");
        let merged = declaration::merge(&self.declaration, &new);
        self.declaration = merged.declaration;
        Ok(ApplyOutcome {
            warnings: declaration::warnings(&self.declaration),
            created: merged.created,
            changed: merged.changed,
            unchanged: merged.unchanged,
            limits_changed: merged.limits_changed,
        })
    }

    fn delete(&mut self, path: &str) -> Result<Deleted, ErrorBody> {
        let parts: Vec<&str> = path.split('/').collect();
        let object = Object::new(Kind::from_word(parts[2]).expect("a kind"), parts[3]);
        let users = declaration::users(&object, &self.declaration);
        if let Some(user) = users.first() {
            return Err(ErrorBody::new(ErrorCode::Refused, format!("{object} cannot be deleted: {user} needs it."))
                .advice(format!("delete {user} first")));
        }
        if !declaration::remove(&object, &mut self.declaration) {
            return Err(ErrorBody::new(ErrorCode::NotFound, format!("There is no {object}.")));
        }
        Ok(Deleted { object, notes: Vec::new() })
    }

    fn operator(&mut self, body: &[u8]) -> Result<OperatorIssued, ErrorBody> {
        let request: OperatorRequest = serde_json::from_slice(body)
            .map_err(|error| ErrorBody::new(ErrorCode::BadInput, format!("not a request: {error}")))?;
        let authority = self.authority.as_ref().expect("an authority");
        let cert_pem = authority.sign_csr(&request.csr_pem, &Identity::Operator(request.name)).expect("signed");
        Ok(OperatorIssued { cert_pem, ca_pem: authority.certificate_pem().to_owned() })
    }
}
