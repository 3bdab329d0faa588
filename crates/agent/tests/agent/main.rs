//! The agent against a scripted controller: real TLS on loopback, VMs in memory.

mod controller;
mod host;
mod joining;
mod leaving;
mod obeying;

use std::{future::Future, time::Duration};

/// Waits for something that must come; not how long it takes is promised, only that it comes.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}
