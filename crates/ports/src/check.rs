use async_trait::async_trait;

/// Sees whether a VM is up, once.
#[async_trait]
pub trait Check: Send + Sync {
    /// Looks once, within the check's own time limit.
    async fn look(&self) -> Result<(), CheckFailure>;
}

/// A VM is not seen to be up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct CheckFailure {
    /// What was looked at: `TCP 192.0.2.7:22`.
    pub what: String,
    /// What was seen instead.
    pub problem: String,
}
