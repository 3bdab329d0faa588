//! The connection: see the module above for its theory of operation.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead};

use super::message::{Event, Message, MessageError, parse};

/// The longest line that is taken from a server.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// How far a reader of [`Events`] may fall behind before it loses some.
pub const EVENTS_KEPT: usize = 1024;

/// Connections to a server that is just starting until one counts: see [`Ended::GreetedAgain`].
const TRIES: u32 = 3;

/// Lines waiting to be written.
const LINES_QUEUED: usize = 64;

/// A connection to a QMP server. Cloning is cheap and shares it; it is closed when the last clone is dropped.
#[derive(Clone)]
pub struct Qmp {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    lines: mpsc::Sender<Vec<u8>>,
    tasks: [JoinHandle<()>; 2],
    limit: Duration,
    version: [u64; 3],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What the calls and the two tasks have in common.
struct Shared {
    socket: PathBuf,
    state: Mutex<State>,
}

struct State {
    next_id: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Value, Refusal>>>,
    /// None once the connection has ended: dropping the sender ends every [`Events`].
    events: Option<broadcast::Sender<Event>>,
    ended: Option<Ended>,
}

struct Refusal {
    class: String,
    description: String,
}

/// Why a connection ended.
#[derive(Clone)]
enum Ended {
    Closed(Option<Arc<io::Error>>),
    Protocol(Arc<MessageError>),
    LineTooLong,
    Unasked,
    /// QEMU's thread that takes connections and the one that runs the monitor may both greet a client who comes while
    /// the monitor is being set up (1 of 50 that came at once to a storage daemon on a busy machine; fewer were greeted
    /// and then not heard). The second greeting begins the session anew, whatever was negotiated; the next connection is
    /// in order.
    GreetedAgain,
}

/// Why a QMP call failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nobody listens at the socket, or it may not be opened.
    #[error("cannot connect to QMP socket {}", .socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The server took longer than the limit. Whether it still carries the command out is not known.
    #[error("QMP server at {} did not answer {operation} within {limit:?}; it may be hung, or busy with another client", .socket.display())]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// `greeting` or the command.
        operation: String,
        /// The limit.
        limit: Duration,
    },
    /// The server refused the command.
    #[error("QMP command {command} refused: {description}")]
    Refused {
        /// The command.
        command: String,
        /// `GenericError`, `CommandNotFound`, `DeviceNotFound`, …
        class: String,
        /// The server's words.
        description: String,
    },
    /// The connection has ended: the server is gone, or dropped it. Whether it carried the command out is not known.
    #[error("QMP server at {} closed the connection before it answered {operation}", .socket.display())]
    Closed {
        /// The socket.
        socket: PathBuf,
        /// `greeting` or the command.
        operation: String,
        /// The cause, when it was not a plain end of the connection.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// What listens at the socket does not speak QMP.
    #[error("what listens at {} does not speak QMP as expected: {problem}", .socket.display())]
    Protocol {
        /// The socket.
        socket: PathBuf,
        /// What it did.
        problem: &'static str,
        /// The cause.
        #[source]
        source: Option<Arc<MessageError>>,
    },
}

impl QmpError {
    /// Whether the server refused the command with this error class.
    #[must_use]
    pub fn is_class(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { class, .. } if class == wanted)
    }

    /// Whether the server itself is gone or unusable, as against one command that it refused.
    #[must_use]
    pub const fn is_of_connection(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

impl Ended {
    fn error(&self, socket: &Path, operation: &str) -> QmpError {
        let socket = socket.to_owned();
        match self {
            Self::Closed(source) => {
                QmpError::Closed { socket, operation: operation.to_owned(), source: source.clone() }
            }
            Self::Protocol(source) => {
                QmpError::Protocol { socket, problem: "it sent a bad line", source: Some(Arc::clone(source)) }
            }
            Self::LineTooLong => {
                QmpError::Protocol { socket, problem: "it sent a line longer than 4 MiB", source: None }
            }
            Self::Unasked => QmpError::Protocol { socket, problem: "it sent a line out of turn", source: None },
            Self::GreetedAgain => QmpError::Protocol { socket, problem: GREETED_AGAIN, source: None },
        }
    }
}

const GREETED_AGAIN: &str = "it greeted twice, which begins its session anew";

type Lines = FramedRead<OwnedReadHalf, AnyDelimiterCodec>;

impl Qmp {
    /// Connects to the server that listens at `socket`. `limit` holds for the connecting and, unless told otherwise, for
    /// each command.
    ///
    /// # Errors
    /// Every [`QmpError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(socket: &Path, limit: Duration) -> Result<Self, QmpError> {
        let timed_out =
            |_| QmpError::Timeout { socket: socket.to_owned(), operation: "with its greeting".to_owned(), limit };
        let negotiate = async {
            for attempt in 1..TRIES {
                // One that was taken and is never greeted must not use up the time of the others; the last has the most,
                // for a server that is only slow.
                let share = limit / (1 << (TRIES + 1 - attempt));
                match timeout(share, Self::negotiate(socket, limit)).await {
                    Err(_)
                    | Ok(Err(
                        QmpError::Protocol { problem: GREETED_AGAIN, .. }
                        | QmpError::Timeout { .. }
                        | QmpError::Closed { .. },
                    )) => {}
                    Ok(result) => return result,
                }
            }
            Self::negotiate(socket, limit).await
        };
        timeout(limit, negotiate).await.map_err(timed_out)?
    }

    async fn negotiate(socket: &Path, limit: Duration) -> Result<Self, QmpError> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|source| QmpError::Connect { socket: socket.to_owned(), source })?;
        let (read, write) = stream.into_split();
        let codec = AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), Vec::new(), MAX_LINE_BYTES);
        let mut lines = FramedRead::new(read, codec);
        // A server that is just starting may tell of an event before it greets.
        let version = loop {
            match next_message(&mut lines).await {
                Ok(Message::Greeting { version }) => break version,
                Ok(Message::Event(_)) => {}
                Ok(_) => return Err(Ended::Unasked.error(socket, "greeting")),
                Err(ended) => return Err(ended.error(socket, "greeting")),
            }
        };
        let state = State {
            next_id: 1,
            waiting: BTreeMap::new(),
            events: Some(broadcast::channel(EVENTS_KEPT).0),
            ended: None,
        };
        let shared = Arc::new(Shared { socket: socket.to_owned(), state: Mutex::new(state) });
        let (sender, receiver) = mpsc::channel(LINES_QUEUED);
        let tasks = [
            tokio::spawn(write_lines(write, receiver, Arc::clone(&shared))),
            tokio::spawn(read_lines(lines, Arc::clone(&shared))),
        ];
        let qmp = Self { inner: Arc::new(Inner { shared, lines: sender, tasks, limit, version }) };
        qmp.execute_within("qmp_capabilities", json!({}), limit / TRIES).await?;
        Ok(qmp)
    }

    /// The server's version: major, minor, micro.
    #[must_use]
    pub fn version(&self) -> [u64; 3] {
        self.inner.version
    }

    /// Whether the connection has ended, so that every call fails.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.inner.shared.state().ended.is_some()
    }

    /// The events from now on. Subscribe before you ask for what they will tell.
    #[must_use]
    pub fn events(&self) -> Events {
        let state = self.inner.shared.state();
        Events { receiver: state.events.as_ref().map(broadcast::Sender::subscribe) }
    }

    /// Runs a command and gives what it returned. `arguments` is an object (empty where the command takes none).
    ///
    /// # Errors
    /// Every [`QmpError`] but [`QmpError::Connect`].
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.execute_within(command, arguments, self.inner.limit).await
    }

    /// As [`execute`](Self::execute), with its own time limit.
    ///
    /// # Errors
    /// Every [`QmpError`] but [`QmpError::Connect`].
    pub async fn execute_within(&self, command: &str, arguments: Value, limit: Duration) -> Result<Value, QmpError> {
        let shared = &self.inner.shared;
        let call = async {
            let (id, answer) = shared.register(command)?;
            let _forgotten_when_given_up = Registered { shared, id };
            let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string().into_bytes();
            line.push(b'\n');
            // A failed send means that the writer has ended and told why; the answer below then fails with it.
            let _ = self.inner.lines.send(line).await;
            match answer.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(Refusal { class, description })) => {
                    Err(QmpError::Refused { command: command.to_owned(), class, description })
                }
                Err(_) => Err(shared.why_ended(command)),
            }
        };
        let timed_out = |_| QmpError::Timeout { socket: shared.socket.clone(), operation: command.to_owned(), limit };
        timeout(limit, call).await.map_err(timed_out)?
    }
}

/// Takes a call out of the waiting ones when its future is dropped.
struct Registered<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.id);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can leave the state half-changed, so a poisoned lock is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, command: &str) -> Result<(u64, oneshot::Receiver<Result<Value, Refusal>>), QmpError> {
        let mut state = self.state();
        if let Some(ended) = &state.ended {
            return Err(ended.error(&self.socket, command));
        }
        let id = state.next_id;
        state.next_id += 1;
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(id, sender);
        Ok((id, receiver))
    }

    fn why_ended(&self, command: &str) -> QmpError {
        self.state().ended.as_ref().unwrap_or(&Ended::Closed(None)).error(&self.socket, command)
    }

    /// Takes one message; an error ends the connection.
    fn take(&self, message: Message) -> Result<(), Ended> {
        let mut state = self.state();
        match message {
            Message::Greeting { .. } => return Err(Ended::GreetedAgain),
            Message::Return { id: None, .. } | Message::Error { id: None, .. } => return Err(Ended::Unasked),
            Message::Return { id: Some(id), value } => drop(state.waiting.remove(&id).map(|w| w.send(Ok(value)))),
            Message::Error { id: Some(id), class, description } => {
                drop(state.waiting.remove(&id).map(|waiting| waiting.send(Err(Refusal { class, description }))));
            }
            // It fails when nobody listens, which is no fault.
            Message::Event(event) => drop(state.events.as_ref().map(|events| events.send(event))),
        }
        Ok(())
    }

    /// Ends the connection: the first reason counts. Dropping the senders wakes all who wait.
    fn end(&self, reason: Ended) {
        let mut state = self.state();
        state.ended.get_or_insert(reason);
        state.waiting.clear();
        state.events = None;
    }
}

async fn next_message(lines: &mut Lines) -> Result<Message, Ended> {
    match lines.next().await {
        None => Err(Ended::Closed(None)),
        Some(Err(AnyDelimiterCodecError::MaxChunkLengthExceeded)) => Err(Ended::LineTooLong),
        Some(Err(AnyDelimiterCodecError::Io(error))) => Err(Ended::Closed(Some(Arc::new(error)))),
        Some(Ok(line)) => parse(&line).map_err(|error| Ended::Protocol(Arc::new(error))),
    }
}

async fn read_lines(mut lines: Lines, shared: Arc<Shared>) {
    let reason = loop {
        if let Err(ended) = next_message(&mut lines).await.and_then(|message| shared.take(message)) {
            break ended;
        }
    };
    shared.end(reason);
}

async fn write_lines(mut write: OwnedWriteHalf, mut lines: mpsc::Receiver<Vec<u8>>, shared: Arc<Shared>) {
    while let Some(line) = lines.recv().await {
        if let Err(error) = write.write_all(&line).await {
            return shared.end(Ended::Closed(Some(Arc::new(error))));
        }
    }
}

/// The events of a connection, from when this was made until the connection ends.
pub struct Events {
    receiver: Option<broadcast::Receiver<Event>>,
}

/// What a reader of events gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// An event.
    Event(Event),
    /// The reader was too slow and so many events are lost: reread the state that they told of.
    Lost(u64),
}

impl Events {
    /// Waits for the next; none when the connection has ended. Cancelling the wait loses none.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.receiver.as_mut()?.recv().await {
            Ok(event) => Some(Notice::Event(event)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Notice::Lost(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next that has come already. Events that preceded an answer have come when the call returns.
    pub fn next_now(&mut self) -> Option<Notice> {
        match self.receiver.as_mut()?.try_recv() {
            Ok(event) => Some(Notice::Event(event)),
            Err(broadcast::error::TryRecvError::Lagged(lost)) => Some(Notice::Lost(lost)),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}
