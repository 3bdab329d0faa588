use async_trait::async_trait;
use lifeboat_model::health::CheckReport;

/// Sees whether a VM is well, once.
///
/// A look never fails: what could not be looked at is a report of
/// [`CheckStatus::Unknown`](lifeboat_model::health::CheckStatus::Unknown), which says nothing of the VM. It ends within the
/// check's own time limit (and a moment to clean up), whatever it looks at does; dropped half-way it leaves nothing behind.
#[async_trait]
pub trait Check: Send + Sync {
    /// Looks once.
    async fn look(&self) -> CheckReport;
}
