//! Sets a controller up and runs it until it is told to end.

use std::{error::Error, future::Future, path::PathBuf, sync::Arc, time::Duration};

use lifeboat_brain::fleet::{Brain, RestoreError};
use lifeboat_drivers::store::redb::RedbStore;
use lifeboat_model::Epoch;
use lifeboat_ports::{Condition, Expect, Store, StoreError, Transaction, Write};
use lifeboat_transport::{ca::Authority, listen, tls};
use tokio::sync::{mpsc, watch};

use crate::{
    api,
    checks::Checks,
    clock::Clock,
    config::ControllerConfig,
    effects::Effects,
    engine::{EPOCH_KEY, Engine, EngineError},
    handle::{EventLog, Handle, INBOX},
    links::Links,
    listener, memory,
    notify::{self, Notifying, Receivers},
    volumes::Arrays,
};

/// The key of the version of all records.
const VERSION_KEY: &str = "meta/version";
/// The version of all records that this build reads and writes.
const VERSION: &str = "1";
/// Families of keys that the brain is made from.
const FAMILIES: [&str; 6] = ["spec/", "state/", "recovery/", "plan/", "drill/", "meta/counters"];
/// The time that open requests have to end in when the controller ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why a controller did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A directory cannot be made.
    #[error("cannot make directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store was written by a newer version.
    #[error("the store in {} has records of version {found}, this build knows {VERSION}; install the newer lifeboat", .path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// What the store remembers cannot be used.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The certificate authority cannot be used.
    #[error(transparent)]
    Authority(#[from] lifeboat_transport::ca::AuthorityError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::TlsSetupError),
    /// An address or socket cannot be listened on.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// The TLS port cannot be served.
    #[error("cannot start the thread that serves agents")]
    Thread(#[source] std::io::Error),
    /// The thread that serves agents has ended.
    #[error("agents are no longer served: the thread that did it has ended, for a reason that the log tells")]
    AgentsUnserved,
    /// The engine ended by itself.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// An error and all its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Runs a controller until `shutdown` is done. `ready` is called when it serves.
///
/// # Errors
/// [`RunError`] when it cannot start, or another controller has taken the lead. Nothing was changed in the first case.
pub async fn run(
    config: ControllerConfig,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    let clock = Clock::start();
    private_dir(&config.state_dir)?;
    if let Some(parent) = config.socket.parent() {
        std::fs::create_dir_all(parent).map_err(|source| RunError::Directory { path: parent.to_owned(), source })?;
    }
    let authority = Arc::new(Authority::open_or_create(&config.state_dir.join("ca"))?);
    // Listening first: a port or socket in use is told before the store is touched.
    let socket = listen::bind_unix(&config.socket, config.mode().unwrap_or(0o600))?;
    let agents = listen::bind_tcp(config.listen).await?;
    let tls = tls::controller_config(&authority, &[])?;
    let path = config.state_dir.join("store.redb");
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path)?);
    let epoch = take_lead(store.as_ref(), &path).await?;
    let (brain, log) = remember(store.as_ref(), &config, epoch, &clock).await?;
    memory::give_back();
    tracing::info!("controller leads in epoch {epoch}: {} hosts, {} VMs", brain.hosts().len(), brain.vms().len());

    let (inbox, messages) = mpsc::channel(INBOX);
    let (stalled, is_stalled) = watch::channel(None);
    let handle = Handle::new(inbox, is_stalled, Arc::clone(&log));
    let links = Links::default();
    let effects = Effects {
        handle: handle.clone(),
        clock,
        links: links.clone(),
        arrays: Arrays::default(),
        checks: Checks::new(&config.health),
        blocks: crate::heartbeat_block::Blocks::default(),
        fences: crate::fencing::Attempts::default(),
        log: Arc::clone(&log),
    };
    let engine = Engine {
        brain,
        clock,
        store: Arc::clone(&store),
        inbox: messages,
        stalled,
        effects,
        answers: std::collections::BTreeMap::new(),
        next_request: 0,
    };
    let admission = config.admission.clone();
    let receivers = Receivers::new(config.notify.clone(), &notify::hostname());
    let heartbeats = handle.clone();
    let notifying =
        Notifying { receivers: receivers.clone(), handle: handle.clone(), clock, store: Arc::clone(&store) };
    let service = api::Service { handle: handle.clone(), store, authority, clock, receivers, admission };
    let router = api::router(service.clone());
    let port = listener::AgentPort { tls, service, links, router: router.clone() };
    let agents = listener::serve_agents(agents, port).map_err(RunError::Thread)?;
    ready();
    tokio::select! {
        ended = engine.run() => ended?,
        () = notifying.run() => {}
        () = heartbeats.pass_heartbeats_on() => {}
        () = agents => return Err(RunError::AgentsUnserved),
        () = listener::serve_socket(socket, router) => {}
        () = shutdown => tokio::time::sleep(LAST_WORDS).await,
    }
    Ok(())
}

fn private_dir(path: &std::path::Path) -> Result<(), RunError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| RunError::Directory { path: path.to_owned(), source })
}

/// Takes the lead: raises the epoch in the store, so that whoever led before can no longer write.
async fn take_lead(store: &dyn Store, path: &std::path::Path) -> Result<Epoch, RunError> {
    if let Some(found) = store.get(VERSION_KEY).await?
        && found != VERSION.as_bytes()
    {
        let found = String::from_utf8_lossy(&found).into_owned();
        return Err(RunError::Version { path: path.to_owned(), found });
    }
    let old = store.get(EPOCH_KEY).await?;
    let number = old.as_deref().and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok());
    let epoch = Epoch(number.unwrap_or(0)).next();
    let expect = old.map_or(Expect::Absent, Expect::Is);
    let write = |key: &str, value: String| Write { key: key.to_owned(), value: Some(value.into_bytes()) };
    let transaction = Transaction {
        conditions: vec![Condition { key: EPOCH_KEY.to_owned(), expect }],
        writes: vec![write(VERSION_KEY, VERSION.to_owned()), write(EPOCH_KEY, epoch.to_string())],
    };
    store.commit(&transaction).await?;
    Ok(epoch)
}

/// Makes the brain, and the log of events, from what the store remembers.
async fn remember(
    store: &dyn Store,
    config: &ControllerConfig,
    epoch: Epoch,
    clock: &Clock,
) -> Result<(Brain, Arc<EventLog>), RunError> {
    let mut records = Vec::new();
    for family in FAMILIES {
        records.append(&mut store.list(family).await?);
    }
    let events = store.list("event/").await?;
    let log = EventLog::new(events.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()));
    // Of events and trace lines the brain needs the last number only.
    records.extend(events.into_iter().next_back());
    records.extend(store.list("trace/").await?.into_iter().next_back());
    let brain = Brain::restore(config.settings(), epoch, clock.now(), records)?;
    Ok((brain, log))
}
