//! Stores: what remembers.

pub mod memory;
pub mod redb;

pub use memory::MemoryStore;
pub use redb::RedbStore;

use lifeboat_ports::{Condition, Expect};

/// Whether what a key holds is what the condition expects.
fn holds(condition: &Condition, value: Option<&[u8]>) -> bool {
    match &condition.expect {
        Expect::Absent => value.is_none(),
        Expect::Is(expected) => value == Some(expected),
    }
}
