//! What the rest of the controller holds of the engine: a way to give it messages, and what it has told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use lifeboat_brain::{
    fleet::{Answer, Brain, Input, LinkId, OperatorOrder, Refusal, records::EventRecord},
    message::FromAgent,
};
use lifeboat_model::{HostName, trace::TraceEvent};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::heartbeats::Heartbeats;

/// Messages that wait for the engine at most; senders wait then.
pub(crate) const INBOX: usize = 4096;
/// Events and trace lines that a slow follower may be behind, before it misses some and is told so.
const BEHIND: usize = 4096;
/// Events that are kept in memory for those who ask.
const RECENT: usize = 2000;

/// A question to the brain.
pub(crate) type Question = Box<dyn FnOnce(&Brain) + Send>;

/// What the engine takes.
pub(crate) enum Message {
    Input(Input),
    /// Handled one after the other.
    Inputs(Vec<Input>),
    Question(Question),
    Order(OperatorOrder, oneshot::Sender<Result<Answer, Refusal>>),
}

/// The controller cannot answer now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It is ending.
    #[error("the controller is ending")]
    Ending,
    /// Its store takes no writes, so nothing may change.
    #[error("the controller's store takes no writes: {0}")]
    Store(String),
}

/// The engine, as the rest of the controller holds it. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inbox: mpsc::Sender<Message>,
    pub(crate) stalled: watch::Receiver<Option<String>>,
    log: Arc<EventLog>,
    heartbeats: Arc<Heartbeats>,
}

/// What was told lately, and who listens.
pub(crate) struct EventLog {
    recent: Mutex<VecDeque<EventRecord>>,
    events: broadcast::Sender<EventRecord>,
    trace: broadcast::Sender<TraceEvent>,
}

impl EventLog {
    pub(crate) fn new(earlier: impl IntoIterator<Item = EventRecord>) -> Arc<Self> {
        let mut recent: VecDeque<_> = earlier.into_iter().collect();
        recent.drain(..recent.len().saturating_sub(RECENT));
        Arc::new(Self {
            recent: Mutex::new(recent),
            events: broadcast::channel(BEHIND).0,
            trace: broadcast::channel(BEHIND).0,
        })
    }

    pub(crate) fn tell(&self, event: EventRecord) {
        let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(event.clone());
        // Nobody listening is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn trace(&self, event: TraceEvent) {
        let _ = self.trace.send(event);
    }
}

impl Handle {
    pub(crate) fn new(
        inbox: mpsc::Sender<Message>,
        stalled: watch::Receiver<Option<String>>,
        log: Arc<EventLog>,
    ) -> Self {
        Self { inbox, stalled, log, heartbeats: Arc::default() }
    }

    /// Asks the brain something.
    ///
    /// # Errors
    /// [`Unavailable`] when the engine has ended, or its store has taken no writes for a while.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Brain) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |brain| {
            // Who asked may have gone.
            let _ = answer.send(question(brain));
        });
        self.send(Message::Question(question), answered).await
    }

    /// Gives the brain an operator's order and waits until what follows from it is stored.
    ///
    /// # Errors
    /// [`Unavailable`] as for [`ask`](Self::ask). Whether the order was taken is then not known.
    pub async fn order(&self, order: OperatorOrder) -> Result<Result<Answer, Refusal>, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Order(order, answer), answered).await
    }

    async fn send<T>(&self, message: Message, answered: oneshot::Receiver<T>) -> Result<T, Unavailable> {
        let mut stalled = self.stalled.clone();
        let answer = async {
            self.inbox.send(message).await.map_err(|_| Unavailable::Ending)?;
            answered.await.map_err(|_| Unavailable::Ending)
        };
        tokio::select! {
            answer = answer => answer,
            why = stalled.wait_for(Option::is_some) => match why {
                Ok(why) => Err(Unavailable::Store(why.clone().unwrap_or_default())),
                Err(_) => Err(Unavailable::Ending),
            },
        }
    }

    pub(crate) async fn input(&self, input: Input) {
        // An engine that has ended needs no input.
        let _ = self.inbox.send(Message::Input(input)).await;
    }

    /// Gives the engine a heartbeat, soon.
    pub(crate) fn heartbeat(&self, host: HostName, link: LinkId, heartbeat: FromAgent) {
        self.heartbeats.add(host, link, heartbeat);
    }

    /// Passes heartbeats on to the engine until it ends.
    pub(crate) async fn pass_heartbeats_on(&self) {
        self.heartbeats.pass_on(&self.inbox).await;
    }

    /// The events after a number that are kept in memory, oldest first, and those to come. The two meet without a gap.
    #[must_use]
    pub fn events(&self, after: u64) -> (Vec<EventRecord>, broadcast::Receiver<EventRecord>) {
        let recent = self.log.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let past = recent.iter().filter(|event| event.sequence > after).cloned().collect();
        (past, self.log.events.subscribe())
    }

    /// The trace lines to come.
    #[must_use]
    pub fn trace(&self) -> broadcast::Receiver<TraceEvent> {
        self.log.trace.subscribe()
    }
}
