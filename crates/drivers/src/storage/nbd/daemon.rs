//! The storage daemon of one host: its connection, and what is asked of it.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lifeboat_model::spec::NbdTarget;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    NbdLimits,
    export::{self, Export, Image},
    flight::Flight,
};
use crate::qmp::{Qmp, QmpError};

/// Between two attempts to connect to a daemon that is busy with other clients.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Why a daemon did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum DaemonError {
    #[error(transparent)]
    Qmp(Arc<QmpError>),
    #[error("its answer to query-block-exports is not a list of exports")]
    Answer(#[source] Arc<serde_json::Error>),
    #[error("writes are still in flight after {limit:?}")]
    Draining { limit: Duration },
    #[error("the volume is exported from another image file")]
    OtherImage,
}

impl From<QmpError> for DaemonError {
    fn from(error: QmpError) -> Self {
        Self::Qmp(Arc::new(error))
    }
}

impl DaemonError {
    pub(super) fn qmp(&self) -> Option<&QmpError> {
        if let Self::Qmp(error) = self { Some(error) } else { None }
    }

    fn is_lost_connection(&self) -> bool {
        matches!(self.qmp(), Some(QmpError::Closed { .. } | QmpError::Protocol { .. }))
    }

    /// Whether nobody listens at the QMP socket.
    fn is_nobody(&self) -> bool {
        matches!(self.qmp(), Some(QmpError::Connect { source, .. })
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
    }

    fn is_without_direct(&self) -> bool {
        matches!(self.qmp(), Some(QmpError::Refused { description, .. }) if description.contains("O_DIRECT"))
    }
}

/// A storage daemon.
pub(super) struct Daemon {
    pub(super) target: NbdTarget,
    limits: NbdLimits,
    connection: Mutex<Connection>,
    connecting: Flight<Result<(), DaemonError>>,
    learnt: AtomicBool,
    /// Whether its images are on a file system that can pass by the page cache.
    direct: AtomicBool,
}

#[derive(Default)]
struct Connection {
    /// Counts connections, so that a lost one is dropped once.
    number: u64,
    qmp: Option<Qmp>,
}

impl Daemon {
    pub(super) fn new(target: NbdTarget, limits: NbdLimits) -> Self {
        Self {
            target,
            limits,
            connection: Mutex::default(),
            connecting: Flight::default(),
            learnt: AtomicBool::new(false),
            direct: AtomicBool::new(true),
        }
    }

    /// Whether it has said once what it exports.
    pub(super) fn is_learnt(&self) -> bool {
        self.learnt.load(Ordering::Acquire)
    }

    pub(super) fn learnt(&self) {
        self.learnt.store(true, Ordering::Release);
    }

    /// What it exports. Nothing, where it is proven not to run.
    pub(super) async fn exports(&self) -> Result<Vec<Export>, DaemonError> {
        let listed = self.with(|qmp| async move { export::list(&qmp).await }).await;
        self.unless_down(listed, Vec::new()).await
    }

    /// Exports a volume. `unsure`: something of it may be there already.
    pub(super) async fn export(&self, image: Image, unsure: bool) -> Result<Export, DaemonError> {
        let drain = self.limits.drain;
        let add = |direct, unsure| {
            let image = Image { direct, ..image.clone() };
            self.with(move |qmp| {
                let image = image.clone();
                async move { export::add(&qmp, &image, unsure, drain).await }
            })
        };
        let direct = self.direct.load(Ordering::Relaxed);
        match add(direct, unsure).await {
            Err(error) if direct && error.is_without_direct() => {
                self.direct.store(false, Ordering::Relaxed);
                add(false, true).await
            }
            outcome => outcome,
        }
    }

    /// Takes a volume back, and returns when none of its writes is in flight. Done already where the daemon is proven
    /// not to run.
    pub(super) async fn withdraw(&self, image: Image, seen: Option<Export>) -> Result<(), DaemonError> {
        let drain = self.limits.drain;
        let withdrawn = self.with(|qmp| {
            let (image, seen) = (image.clone(), seen.clone());
            async move { export::withdraw(&qmp, &image, seen, drain).await }
        });
        self.unless_down(withdrawn.await, ()).await
    }

    /// Acts over the connection that is kept, or over a new one where that was lost: all that is done here may be
    /// repeated.
    async fn with<T, F>(&self, act: impl Fn(Qmp) -> F) -> Result<T, DaemonError>
    where
        F: Future<Output = Result<T, DaemonError>>,
    {
        if let Some((number, qmp)) = self.kept() {
            match act(qmp).await {
                Err(error) if error.is_lost_connection() => self.drop_connection(number),
                outcome => return outcome,
            }
        }
        self.connecting.join(self.connect()).await?;
        let Some((number, qmp)) = self.kept() else {
            // Lost again by another operation before this one began: as good as if it had happened during this one.
            return Err(self.closed().into());
        };
        let outcome = act(qmp).await;
        if outcome.as_ref().is_err_and(DaemonError::is_lost_connection) {
            self.drop_connection(number);
        }
        outcome
    }

    async fn connect(&self) -> Result<(), DaemonError> {
        if self.kept().is_some() {
            return Ok(());
        }
        let limits = self.limits;
        let connecting = async {
            loop {
                match Qmp::connect(Path::new(&self.target.qmp), limits.command).await {
                    // Its short queue of clients is full. The system gives no sign when there is room again.
                    Err(QmpError::Connect { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
                        sleep(CONNECT_AGAIN_AFTER).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        let qmp = match timeout(limits.connect, connecting).await {
            Ok(connected) => connected?,
            Err(_) => {
                let (socket, operation) = (self.target.qmp.clone().into(), "greeting".to_owned());
                return Err(QmpError::Timeout { socket, operation, limit: limits.connect }.into());
            }
        };
        let mut connection = self.connection();
        *connection = Connection { number: connection.number + 1, qmp: Some(qmp) };
        Ok(())
    }

    fn closed(&self) -> QmpError {
        QmpError::Closed { socket: self.target.qmp.clone().into(), operation: "any command".to_owned(), source: None }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> Option<(u64, Qmp)> {
        let connection = self.connection();
        connection.qmp.clone().map(|qmp| (connection.number, qmp))
    }

    fn drop_connection(&self, number: u64) {
        let mut connection = self.connection();
        if connection.number == number {
            connection.qmp = None;
        }
    }

    /// Takes it for done where the daemon is proven not to run: nobody listens at its QMP socket, and its NBD port
    /// refuses connections. (A missing socket alone may be a mistake in the declaration.)
    async fn unless_down<T>(&self, outcome: Result<T, DaemonError>, done: T) -> Result<T, DaemonError> {
        match outcome {
            Err(error) if error.is_nobody() => {
                let knock = TcpStream::connect((self.target.host.as_str(), self.target.port));
                match timeout(self.limits.connect, knock).await {
                    Ok(Err(refused)) if refused.kind() == io::ErrorKind::ConnectionRefused => Ok(done),
                    _ => Err(error),
                }
            }
            outcome => outcome,
        }
    }
}
