use async_trait::async_trait;
use lifeboat_model::notice::Notice;

use crate::{Cause, Retry};

/// Tells people something, by one way to them.
///
/// Every call ends within the time limit that the receiver was declared with. Success means that the other side has taken
/// the message; a call that fails or is dropped may have delivered it all the same, so that a message may come twice.
/// Calls may be made at once. Nothing is decided here: whom to tell what, and how often, the caller knows.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers a message, once.
    async fn deliver(&self, notice: &Notice) -> Result<Delivery, NotifyError>;
}

/// A message was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// What was not quite as it should be, for a person: a recipient that was refused beside others that were not.
    pub remark: Option<String>,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[error("receiver {receiver}: {problem}")]
pub struct NotifyError {
    /// The receiver.
    pub receiver: String,
    /// What went wrong and what to do, for a person.
    pub problem: String,
    /// Whether the same call may succeed later.
    pub retry: Retry,
    /// The cause.
    #[source]
    pub source: Option<Cause>,
}
