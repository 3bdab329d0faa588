//! A small HTTP/1 client with limits: for the CLI at the controller's API, for fence drivers at BMCs and for webhooks.
//!
//! One connection a request, no redirects, no proxies, no cookies. The whole exchange has a time limit and the answer a
//! size limit. A body that never ends (events, one JSON document a line) is read line by line instead, see
//! [`Client::stream`]. Errors name the method, the path without its query, and the peer; never a header or a body.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
pub use hyper::{Method, StatusCode, header};
use hyper::{
    Request,
    body::Incoming,
    client::conn::http1,
    header::{HOST, HeaderMap, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::{
    connect::{self, Peer},
    secret::Secret,
    tls::TlsFault,
};

mod error;
mod lines;

pub use error::{HttpError, RequestName};
pub use lines::{Lines, MAX_LINE_BYTES};

/// The longest answer unless told otherwise, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The most time for an exchange unless told otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Where requests go.
#[derive(Clone, Debug)]
pub enum Target {
    /// A Unix socket.
    Unix(PathBuf),
    /// A server in the clear.
    Tcp {
        /// A DNS name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A TLS server.
    Tls {
        /// A DNS name or an address.
        host: String,
        /// The port.
        port: u16,
        /// Whom to trust.
        config: Arc<ClientConfig>,
        /// The name that the server's certificate must have.
        server_name: ServerName<'static>,
    },
}

impl Target {
    /// The target as errors name it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self {
            Self::Unix(path) => Peer::Unix(path.clone()),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => Peer::Tcp(host.clone(), *port),
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The beginning of an answer that is read line by line.
#[derive(Debug)]
pub enum Streamed {
    /// The status was a success; the lines follow.
    Lines(Lines),
    /// Any other status, with the whole body.
    Refused(Response),
}

/// Sends requests to one target.
#[derive(Clone, Debug)]
pub struct Client {
    target: Target,
    time_limit: Duration,
    max_body_bytes: usize,
}

/// The value of an `Authorization` header for a user and a password. Marked as sensitive, so that it is not shown.
#[must_use]
pub fn basic_auth(user: &str, password: &Secret) -> HeaderValue {
    let pair = Zeroizing::new(format!("{user}:{}", password.reveal()));
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", BASE64.encode(pair.as_bytes()))).expect("base64 is ASCII");
    value.set_sensitive(true);
    value
}

impl Client {
    /// A client for a target, with [`TIME_LIMIT`] and [`MAX_BODY_BYTES`].
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, time_limit: TIME_LIMIT, max_body_bytes: MAX_BODY_BYTES }
    }

    /// With another limit for a whole exchange, from connecting to the answer's last byte.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// With another limit for an answer's length, in bytes.
    #[must_use]
    pub fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }

    /// Where requests go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`HttpError`] when no whole answer came.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Response, HttpError> {
        let name = self.name(&method, path);
        let exchange = async {
            let (answer, _connection) = self.send(&name, path, headers, body.into()).await?;
            self.whole(&name, answer).await
        };
        self.in_time(&name, exchange).await
    }

    /// Sends a request and reads the answer line by line as it comes. The time limit holds for the answer's beginning
    /// (and for the whole of it when the status is no success); [`Lines::idle_limit`] for what follows.
    ///
    /// # Errors
    /// [`HttpError`] when the answer did not begin.
    pub async fn stream(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Streamed, HttpError> {
        let name = self.name(&method, path);
        let exchange = async {
            let (answer, connection) = self.send(&name, path, headers, body.into()).await?;
            if answer.status().is_success() {
                return Ok(Streamed::Lines(Lines::new(name.clone(), answer.into_body(), connection)));
            }
            self.whole(&name, answer).await.map(Streamed::Refused)
        };
        self.in_time(&name, exchange).await
    }

    fn name(&self, method: &Method, path: &str) -> Box<RequestName> {
        let path = path.split(['?', '#']).next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200);
        Box::new(RequestName { method: method.clone(), path: path.collect(), peer: self.target.peer() })
    }

    async fn in_time<T>(
        &self,
        name: &RequestName,
        exchange: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        match tokio::time::timeout(self.time_limit, exchange).await {
            Ok(done) => done,
            Err(_) => Err(HttpError::TimedOut { request: Box::new(name.clone()), limit: self.time_limit }),
        }
    }

    /// Connects and sends; the answer's body comes as long as the connection's handle lives.
    async fn send(
        &self,
        name: &RequestName,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(hyper::Response<Incoming>, Connection), HttpError> {
        let request = self.prepare(name, path, headers, body)?;
        let failed = |source| HttpError::Connect { request: Box::new(name.clone()), source: Box::new(source) };
        match &self.target {
            Target::Unix(socket) => {
                let stream = connect::unix(socket, self.time_limit).await.map_err(failed)?;
                exchange(name, stream, request).await
            }
            Target::Tcp { host, port } => {
                let stream = connect::tcp(host, *port, self.time_limit).await.map_err(failed)?;
                exchange(name, stream, request).await
            }
            Target::Tls { host, port, config, server_name } => {
                let stream = connect::tls(host, *port, config, server_name, self.time_limit).await.map_err(failed)?;
                exchange(name, stream, request).await
            }
        }
    }

    fn prepare(
        &self,
        name: &RequestName,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let invalid = || HttpError::Invalid { request: Box::new(name.clone()) };
        let host = match &self.target {
            Target::Unix(_) => "localhost".to_owned(),
            Target::Tcp { .. } | Target::Tls { .. } => self.target.peer().to_string(),
        };
        let host = HeaderValue::from_str(&host).map_err(|_| invalid())?;
        if !path.starts_with('/') {
            return Err(invalid());
        }
        let request = Request::builder().method(name.method.clone()).uri(path).body(Full::new(body));
        let mut request = request.map_err(|_| invalid())?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }

    async fn whole(&self, name: &RequestName, answer: hyper::Response<Incoming>) -> Result<Response, HttpError> {
        let (head, body) = answer.into_parts();
        let limit = self.max_body_bytes;
        let body =
            Limited::new(body, limit).collect().await.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(source) => broke(name, *source),
                Err(other) => {
                    debug_assert!(other.is::<LengthLimitError>(), "a limited body fails in no other way");
                    HttpError::TooLong { request: Box::new(name.clone()), limit }
                }
            })?;
        Ok(Response { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

/// The task that moves a connection's bytes; ends with its handle.
type Connection = AbortOnDropHandle<()>;

fn broke(name: &RequestName, source: hyper::Error) -> HttpError {
    HttpError::Broken { request: Box::new(name.clone()), fault: TlsFault::of(&source), source }
}

async fn exchange<S>(
    name: &RequestName,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(hyper::Response<Incoming>, Connection), HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |source| broke(name, source);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Whatever ends the connection also ends the request or its body, which report it.
        let _ = connection.await;
    }));
    let answer = sender.send_request(request).await.map_err(failed)?;
    Ok((answer, connection))
}

#[cfg(test)]
mod tests;
