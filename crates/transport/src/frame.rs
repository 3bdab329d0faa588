//! Length-delimited JSON messages over any stream.
//!
//! A frame is four bytes, big-endian, that say how many bytes of JSON follow. The length is looked at before anything
//! is made ready for it, and memory grows only with what has really come, so that a peer cannot take 16 MiB by claiming
//! them. A message that is not the expected JSON leaves the stream usable: the next frame begins where this one ends.
//! After any other error the stream is of no more use, and every further call says the same.

use std::{
    io,
    pin::{Pin, pin},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{error::Elapsed, timeout},
};

use crate::tls::TlsFault;

/// The longest message unless told otherwise, in bytes.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
const HEAD_BYTES: usize = 4;
/// Memory is asked for in pieces of at least so many bytes, which each reader keeps while it waits,
const LEAST_BYTES: usize = 512;
/// and of at most so many; the memory of a larger message is given back with it.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a message could not be received or sent.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The message is longer than this side allows.
    #[error(
        "a message of {length} bytes is over the limit of {limit}; the peer is of another release or no part of Lifeboat"
    )]
    TooLong {
        /// How long the message is, in bytes.
        length: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The frame's content is not the JSON that was expected. The stream stays usable.
    #[error("a message cannot be understood; check that both sides are of the same release")]
    NotJson(#[source] serde_json::Error),
    /// The message cannot be written as JSON. Nothing was sent; the stream stays usable.
    #[error("a message cannot be written as JSON")]
    NotSerializable(#[source] serde_json::Error),
    /// The peer went away in the middle of a message.
    #[error("the peer closed the connection in the middle of a message")]
    ClosedMidFrame,
    /// No whole message came, or could be sent, within the limit. A reader stays usable, a writer does not.
    #[error("the peer was silent for {limit:?}")]
    Idle {
        /// The limit.
        limit: Duration,
    },
    /// The stream was broken by an error before, or a send was given up half-way.
    #[error("the connection is broken by an earlier error; connect again")]
    Unusable,
    /// The stream failed.
    #[error("the connection failed: {fault}")]
    Stream {
        /// What was wrong, if it has to do with TLS; else [`TlsFault::Broken`].
        fault: TlsFault,
        /// What the system said.
        source: io::Error,
    },
}

impl From<io::Error> for FrameError {
    fn from(source: io::Error) -> Self {
        Self::Stream { fault: TlsFault::of(&source), source }
    }
}

/// What `work` comes to, within `limit`. Pinned where it was made, so that a reader or writer, of which there are 10,000,
/// has room for it only once.
async fn within<F: Future>(limit: Option<Duration>, work: Pin<&mut F>) -> Result<F::Output, FrameError> {
    match limit {
        None => Ok(work.await),
        Some(limit) => timeout(limit, work).await.map_err(|Elapsed { .. }| FrameError::Idle { limit }),
    }
}

/// Receives messages.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    max_bytes: usize,
    idle_limit: Option<Duration>,
    broken: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Receives from a stream, messages of at most [`MAX_FRAME_BYTES`], without a time limit.
    #[must_use]
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), max_bytes: MAX_FRAME_BYTES, idle_limit: None, broken: false }
    }

    /// With another limit for a message's length, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// With a limit for the wait for a whole message.
    #[must_use]
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = Some(limit);
        self
    }

    /// The next message; `Ok(None)` when the peer has closed the connection between two messages. May be dropped and
    /// called again without losing anything, so it can stand in a `select!`.
    ///
    /// # Errors
    /// [`FrameError`]; after [`FrameError::NotJson`] and [`FrameError::Idle`] the next message can still be had.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        if self.broken {
            return Err(FrameError::Unusable);
        }
        let limit = self.idle_limit;
        let frame = within(limit, pin!(self.frame())).await?;
        let Some(frame) = frame.inspect_err(|_| self.broken = true)? else { return Ok(None) };
        serde_json::from_slice(&frame).map(Some).map_err(FrameError::NotJson)
    }

    /// Reads until a whole frame is there. Takes nothing out of the buffer before that.
    async fn frame(&mut self) -> Result<Option<BytesMut>, FrameError> {
        loop {
            let missing = match self.buffer.first_chunk::<HEAD_BYTES>() {
                None => HEAD_BYTES - self.buffer.len(),
                Some(head) => {
                    let length = u32::from_be_bytes(*head);
                    let whole = usize::try_from(length).ok().filter(|whole| *whole <= self.max_bytes);
                    let Some(whole) = whole else {
                        return Err(FrameError::TooLong { length: length.into(), limit: self.max_bytes });
                    };
                    if let Some(missing) = (HEAD_BYTES + whole).checked_sub(self.buffer.len()).filter(|n| *n > 0) {
                        missing
                    } else {
                        return Ok(Some(self.take(whole)));
                    }
                }
            };
            self.buffer.reserve(missing.clamp(LEAST_BYTES, CHUNK_BYTES));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::ClosedMidFrame) };
            }
        }
    }

    fn take(&mut self, length: usize) -> BytesMut {
        self.buffer.advance(HEAD_BYTES);
        if length > CHUNK_BYTES && self.buffer.len() == length {
            // With the memory of a large message goes the message.
            return std::mem::take(&mut self.buffer);
        }
        self.buffer.split_to(length)
    }
}

/// Sends messages.
#[derive(Debug)]
pub struct FrameWriter<W> {
    stream: W,
    max_bytes: usize,
    time_limit: Option<Duration>,
    broken: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Sends to a stream, messages of at most [`MAX_FRAME_BYTES`], without a time limit.
    #[must_use]
    pub fn new(stream: W) -> Self {
        Self { stream, max_bytes: MAX_FRAME_BYTES, time_limit: None, broken: false }
    }

    /// With another limit for a message's length, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// With a limit for the time that one message may take: a peer that stands still stops reading.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Sends a message and flushes it. If this is dropped before it is done, the stream counts as broken.
    ///
    /// # Errors
    /// [`FrameError`]; after [`FrameError::TooLong`] and [`FrameError::NotSerializable`] nothing was sent and the next
    /// message can be.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), FrameError> {
        if self.broken {
            return Err(FrameError::Unusable);
        }
        let mut frame = vec![0; HEAD_BYTES];
        serde_json::to_writer(&mut frame, message).map_err(FrameError::NotSerializable)?;
        let length = frame.len() - HEAD_BYTES;
        let head = u32::try_from(length).ok().filter(|_| length <= self.max_bytes);
        let Some(head) = head else {
            return Err(FrameError::TooLong { length: length as u64, limit: self.max_bytes });
        };
        frame[..HEAD_BYTES].copy_from_slice(&head.to_be_bytes());
        // Until all of it is out, half a frame may be on its way.
        self.broken = true;
        let limit = self.time_limit;
        within(limit, pin!(self.write(&frame))).await??;
        self.broken = false;
        Ok(())
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await
    }

    /// Tells the peer that nothing more comes.
    ///
    /// # Errors
    /// [`FrameError::Stream`] when the stream fails.
    pub async fn close(&mut self) -> Result<(), FrameError> {
        self.broken = true;
        Ok(self.stream.shutdown().await?)
    }
}

#[cfg(test)]
mod tests;
