//! The task that owns the brain: takes messages, lets the brain handle them, stores what it writes, and only then lets its
//! effects go.
//!
//! Messages that wait are handled together and stored in one commit: while the disk is busy with one commit the next one
//! gathers. A commit that fails is tried again until it succeeds, with everything else waiting: the brain has already
//! decided, and nothing may be seen of its decision before it is durable.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lifeboat_brain::fleet::{Answer, Brain, Effect, Input, Output, Refusal, RequestId};
use lifeboat_model::Epoch;
use lifeboat_ports::{Condition, Expect, Store, StoreError, Transaction, Write};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{clock::Clock, effects::Effects, handle::Message};

/// The key of the newest leader's epoch.
pub(crate) const EPOCH_KEY: &str = "meta/epoch";
/// Messages that are handled before one commit, at most.
const BATCH: usize = 512;
/// The pause before a failed commit is tried again.
const COMMIT_PAUSE: Duration = Duration::from_secs(1);

/// Why an engine ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another controller has taken the lead.
    #[error("another controller has taken the lead (epoch above {epoch}); this one ends")]
    Deposed {
        /// The epoch of this one.
        epoch: Epoch,
    },
}

pub(crate) struct Engine {
    pub(crate) brain: Brain,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) inbox: mpsc::Receiver<Message>,
    pub(crate) stalled: watch::Sender<Option<String>>,
    pub(crate) effects: Effects,
    pub(crate) answers: BTreeMap<RequestId, oneshot::Sender<Result<Answer, Refusal>>>,
    pub(crate) next_request: u64,
}

impl Engine {
    /// Runs until every sender of messages is gone.
    ///
    /// # Errors
    /// [`EngineError::Deposed`] when the store says that another controller leads.
    pub(crate) async fn run(mut self) -> Result<(), EngineError> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let deadline = self.brain.next_deadline().map(|at| tokio::time::Instant::from_std(self.clock.instant(at)));
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                taken = self.inbox.recv_many(&mut batch, BATCH) => if taken == 0 { return Ok(()) },
                () = timer => batch.push(Message::Input(Input::Tick)),
            }
            let (output, questions) = self.handle(&mut batch);
            self.commit(output.writes).await?;
            for effect in output.effects {
                match effect {
                    Effect::Answer { request, result } => {
                        if let Some(answer) = self.answers.remove(&request) {
                            // Who asked may have gone.
                            let _ = answer.send(result);
                        }
                    }
                    effect => self.effects.carry_out(effect),
                }
            }
            for question in questions {
                question(&self.brain);
            }
        }
    }

    /// Lets the brain handle a batch. Questions are answered after the commit: nothing is seen before it is durable.
    fn handle(&mut self, batch: &mut Vec<Message>) -> (Output, Vec<crate::handle::Question>) {
        let (mut output, mut questions) = (Output::default(), Vec::new());
        for message in batch.drain(..) {
            let input = match message {
                Message::Input(input) => input,
                Message::Inputs(inputs) => {
                    for input in inputs {
                        self.brain.handle(self.clock.now(), input, &mut output);
                    }
                    continue;
                }
                Message::Question(question) => {
                    questions.push(question);
                    continue;
                }
                Message::Order(order, answer) => {
                    self.next_request += 1;
                    let request = RequestId(self.next_request);
                    self.answers.insert(request, answer);
                    Input::Operator { request, order }
                }
            };
            self.brain.handle(self.clock.now(), input, &mut output);
        }
        (output, questions)
    }

    async fn commit(&mut self, writes: Vec<(String, Option<Vec<u8>>)>) -> Result<(), EngineError> {
        if writes.is_empty() {
            return Ok(());
        }
        let epoch = self.brain.epoch();
        let leads = Condition { key: EPOCH_KEY.to_owned(), expect: Expect::Is(epoch.0.to_string().into_bytes()) };
        let writes = writes.into_iter().map(|(key, value)| Write { key, value }).collect();
        let transaction = Transaction { conditions: vec![leads], writes };
        loop {
            let begun = self.clock.now();
            match self.store.commit(&transaction).await {
                Ok(()) => {
                    if self.stalled.send_replace(None).is_some() {
                        tracing::info!("the store takes writes again");
                    }
                    self.brain.committed(begun);
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => return Err(EngineError::Deposed { epoch }),
                Err(error) => {
                    let why = crate::run::chain(&error);
                    tracing::error!("nothing can be done until the store takes writes: {why}");
                    self.stalled.send_replace(Some(why));
                    tokio::time::sleep(COMMIT_PAUSE).await;
                }
            }
        }
    }
}
