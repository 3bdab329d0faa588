//! Tells people: the body of [`lifeboat_brain::notify`].
//!
//! A task of its own follows what was told, as any follower of the events does, and hands it to the state machine; each
//! delivery is a task with a time limit. Nothing waits for any of it: a receiver that hangs holds up its own messages.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};

use futures::FutureExt as _;
use lifeboat_brain::{
    fleet::{Input, records::EventRecord},
    notify::{Memory, Notifications, NotifyEffect, NotifyInput, ReceiverView},
};
use lifeboat_model::notice::{Alert, Notice, NoticeEvent, Severity};
use lifeboat_ports::{Delivery, Notifier, NotifyError, Retry, Store, Transaction, Write};
use tokio::{sync::broadcast, task::JoinSet};

use crate::{clock::Clock, config::NotifyConfig, handle::Handle, run::chain};

/// The family of keys of what receivers were told.
const FAMILY: &str = "notify/";

/// A receiver, for those who ask.
pub(crate) struct Receiver {
    pub(crate) config: NotifyConfig,
    pub(crate) notifier: Arc<dyn Notifier>,
}

/// All receivers, as the rest of the controller holds them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Receivers {
    all: Arc<BTreeMap<String, Receiver>>,
    views: Arc<Mutex<Vec<ReceiverView>>>,
}

impl Receivers {
    pub(crate) fn new(configs: Vec<NotifyConfig>, from: &str) -> Self {
        let made = configs.into_iter().map(|config| {
            let name = config.settings.name.clone();
            let notifier = config.spec.notifier(&name, from);
            (name, Receiver { config, notifier })
        });
        Self { all: Arc::new(made.collect()), views: Arc::default() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Receiver> {
        self.all.get(name)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.all.keys().map(String::as_str).collect()
    }

    /// Each receiver with how it is.
    pub(crate) fn views(&self) -> Vec<(&NotifyConfig, Option<ReceiverView>)> {
        let views = self.views.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let view = |name: &str| views.iter().find(|view| view.name == name).cloned();
        self.all.iter().map(|(name, receiver)| (&receiver.config, view(name))).collect()
    }
}

/// A message that says that it is only a test.
pub(crate) fn test_notice(clock: Clock, name: &str) -> Notice {
    let now = clock.now();
    let text = format!("This is a test of receiver {name}. Nothing is the matter");
    let event = NoticeEvent {
        sequence: 0,
        time_us: now,
        severity: Severity::Info,
        text: text.clone(),
        host: None,
        vm: None,
        recovery: None,
        trouble: None,
    };
    let alert = Alert {
        trouble: "event".to_owned(),
        severity: Severity::Info,
        text: text.clone(),
        host: None,
        vm: None,
        since_us: now,
        ended_us: Some(now + lifeboat_model::Seconds::new(60)),
    };
    Notice { severity: Severity::Info, subject: text, events: vec![event], left_out: 0, alerts: vec![alert] }
}

/// The task.
pub(crate) struct Notifying {
    pub(crate) receivers: Receivers,
    pub(crate) handle: Handle,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
}

type Ended = (String, u64, Result<Delivery, NotifyError>);

impl Notifying {
    /// Follows the events for ever. Ends at once when nobody is to be told.
    pub(crate) async fn run(self) {
        if self.receivers.all.is_empty() {
            return std::future::pending().await;
        }
        let newest = newest(&self.handle.events(0).0);
        let mut state = self.remember(newest).await;
        let after = state.begins_after();
        let (past, mut events) = self.handle.events(after);
        let mut seen = after;
        let mut deliveries: JoinSet<Ended> = JoinSet::new();
        for event in past {
            seen = seen.max(event.sequence);
            self.step(&mut state, NotifyInput::Event(Box::new(event)), &mut deliveries).await;
        }
        loop {
            let deadline = state.next_deadline().map(|at| tokio::time::Instant::from_std(self.clock.instant(at)));
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                event = events.recv() => match event {
                    Ok(event) if event.sequence <= seen => continue,
                    Ok(event) => {
                        seen = event.sequence;
                        NotifyInput::Event(Box::new(event))
                    }
                    Err(broadcast::error::RecvError::Lagged(missed)) => NotifyInput::Missed(missed),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(Ok((receiver, attempt, result))) = deliveries.join_next() => {
                    delivered(receiver, attempt, result)
                }
                () = timer => NotifyInput::Tick,
            };
            self.step(&mut state, input, &mut deliveries).await;
        }
    }

    async fn remember(&self, newest: u64) -> Notifications {
        let stored = self.store.list(FAMILY).await.unwrap_or_else(|error| {
            tracing::warn!("what receivers were told cannot be read, so that they may be told twice: {error}");
            Vec::new()
        });
        let memory = |name: &str| -> Option<Memory> {
            let (_, value) = stored.iter().find(|(key, _)| key.strip_prefix(FAMILY) == Some(name))?;
            serde_json::from_slice(value).ok()
        };
        let mut receivers = Vec::new();
        for receiver in self.receivers.all.values() {
            let settings = receiver.config.settings.clone();
            let mut memory = memory(&settings.name);
            if memory.is_none() {
                // Where it began is stored at once, so that a restart before its first message loses it nothing.
                let begins = Memory { told: newest, ..Memory::default() };
                self.store_memory(&settings.name, &begins).await;
                memory = Some(begins);
            }
            receivers.push((settings, memory));
        }
        Notifications::new(self.clock.now(), newest, receivers)
    }

    async fn step(&self, state: &mut Notifications, input: NotifyInput, deliveries: &mut JoinSet<Ended>) {
        for effect in state.handle(self.clock.now(), input) {
            match effect {
                NotifyEffect::Deliver { receiver, attempt, notice } => {
                    let Some(notifier) = self.receivers.get(&receiver).map(|it| Arc::clone(&it.notifier)) else {
                        continue;
                    };
                    deliveries.spawn(async move {
                        let delivery = AssertUnwindSafe(notifier.deliver(&notice)).catch_unwind();
                        let result = delivery.await.unwrap_or_else(|_| Err(broke_off(&receiver)));
                        (receiver, attempt, result)
                    });
                }
                NotifyEffect::Remember { receiver, memory } => self.store_memory(&receiver, &memory).await,
                NotifyEffect::Note { severity, text, trouble, over } => {
                    self.handle.input(Input::Noted { severity, text, trouble, over }).await;
                }
            }
        }
        *self.receivers.views.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = state.views();
    }

    async fn store_memory(&self, receiver: &str, memory: &Memory) {
        let Ok(value) = serde_json::to_vec(memory) else { return };
        let write = Write { key: format!("{FAMILY}{receiver}"), value: Some(value) };
        let transaction = Transaction { conditions: Vec::new(), writes: vec![write] };
        if let Err(error) = self.store.commit(&transaction).await {
            // The message went out; at worst it goes out again after a restart.
            tracing::warn!("what receiver {receiver} was told cannot be stored: {}", chain(&error));
        }
    }
}

/// A delivery panicked: a bug of ours, which must not hold up the receiver for ever.
fn broke_off(receiver: &str) -> NotifyError {
    let problem = "the delivery broke off; please report this with the controller's log".to_owned();
    NotifyError { receiver: receiver.to_owned(), problem, retry: Retry::MayHelp, source: None }
}

fn delivered(receiver: String, attempt: u64, result: Result<Delivery, NotifyError>) -> NotifyInput {
    let result = match result {
        Ok(Delivery { remark }) => {
            if let Some(remark) = remark {
                tracing::warn!("receiver {receiver}: {remark}");
            }
            Ok(())
        }
        Err(error) => {
            tracing::warn!("{}", chain(&error));
            let problem = chain(&error);
            let bare = problem.strip_prefix(&format!("receiver {receiver}: ")).unwrap_or(&problem).to_owned();
            Err((bare, error.retry == Retry::MayHelp))
        }
    };
    NotifyInput::Delivered { receiver, attempt, result }
}

/// What messages say that they come from: this machine's name.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "lifeboat".to_owned() } else { name.chars().take(64).collect() }
}

/// The newest of some events; 0 when there is none.
fn newest(events: &[EventRecord]) -> u64 {
    events.last().map_or(0, |event| event.sequence)
}
