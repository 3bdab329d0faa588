//! An answer read line by line: one JSON document a line, without an end.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Connection, HttpError, RequestName, broke};

/// The longest line unless told otherwise, in bytes.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The lines of an answer. Ends the connection when dropped.
#[derive(Debug)]
pub struct Lines {
    request: Box<RequestName>,
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer is known to have no line's end.
    searched: usize,
    ended: bool,
    max_bytes: usize,
    idle_limit: Option<Duration>,
    _connection: Connection,
}

impl Lines {
    pub(super) fn new(request: Box<RequestName>, body: Incoming, connection: Connection) -> Self {
        Self {
            request,
            body,
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
            max_bytes: MAX_LINE_BYTES,
            idle_limit: None,
            _connection: connection,
        }
    }

    /// With another limit for a line's length, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// With a limit for the wait for a line.
    #[must_use]
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = Some(limit);
        self
    }

    /// The next line without its end; empty lines, which keep a connection alive, are left out. `Ok(None)` when the
    /// answer has ended. May be dropped and called again without losing anything, so it can stand in a `select!`.
    ///
    /// # Errors
    /// [`HttpError`] when the connection breaks, a line is too long, or none comes within the idle limit.
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, HttpError> {
        let Some(limit) = self.idle_limit else { return self.line().await };
        match timeout(limit, self.line()).await {
            Ok(line) => line,
            Err(_) => Err(HttpError::TimedOut { request: self.request.clone(), limit }),
        }
    }

    /// The next line's JSON; `Ok(None)` when the answer has ended.
    ///
    /// # Errors
    /// As [`Lines::next_line`], and [`HttpError::NotJson`].
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, HttpError> {
        let Some(line) = self.next_line().await? else { return Ok(None) };
        let parsed = serde_json::from_slice(&line);
        parsed.map(Some).map_err(|source| HttpError::NotJson { request: self.request.clone(), source })
    }

    async fn line(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            while let Some(line) = self.buffered_line()? {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.ended {
                let rest = std::mem::take(&mut self.buffer).freeze();
                self.searched = 0;
                return Ok(Some(without_return(rest)).filter(|rest| !rest.is_empty()));
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(source)) => return Err(broke(&self.request, source)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn buffered_line(&mut self) -> Result<Option<Bytes>, HttpError> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let length = end.map_or(self.buffer.len(), |end| self.searched + end);
        if length > self.max_bytes {
            return Err(HttpError::TooLong { request: self.request.clone(), limit: self.max_bytes });
        }
        if end.is_none() {
            self.searched = length;
            return Ok(None);
        }
        self.searched = 0;
        let line = self.buffer.split_to(length).freeze();
        self.buffer.advance(1);
        Ok(Some(without_return(line)))
    }
}

fn without_return(mut line: Bytes) -> Bytes {
    if line.ends_with(b"\r") {
        line.truncate(line.len() - 1);
    }
    line
}
