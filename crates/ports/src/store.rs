use async_trait::async_trait;

use crate::{Cause, Retry};

/// What a key must hold for a transaction to take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// Exactly this.
    Is(Vec<u8>),
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The key.
    pub key: String,
    /// What it must hold.
    pub expect: Expect,
}

/// A write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: String,
    /// Its new value; none: it is removed.
    pub value: Option<Vec<u8>>,
}

/// Conditions and writes that take effect together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// Then all of these are done, in order.
    pub writes: Vec<Write>,
}

/// The most bytes that a key may have.
pub const MAX_KEY_BYTES: usize = 512;

/// The most bytes that a value may have.
pub const MAX_VALUE_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of a key that an error repeats.
const SHOWN_KEY_BYTES: usize = 64;

impl Transaction {
    /// Whether all keys and values keep to the contract of [`Store`]: what every implementation asks first.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] names the first key that does not, or whose value does not.
    pub fn check(&self) -> Result<(), StoreError> {
        self.conditions.iter().try_for_each(|condition| check_key(&condition.key))?;
        self.writes.iter().try_for_each(|write| {
            check_key(&write.key)?;
            let length = write.value.as_ref().map_or(0, Vec::len);
            if length > MAX_VALUE_BYTES {
                let problem = format!("its value has {length} bytes; {MAX_VALUE_BYTES} at most are kept");
                return Err(StoreError::TooLarge { key: write.key.clone(), problem });
            }
            Ok(())
        })
    }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    let problem = if key.len() > MAX_KEY_BYTES {
        format!("the key has {} bytes; {MAX_KEY_BYTES} at most are taken", key.len())
    } else if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        "a key is a text of printable ASCII, and not empty".to_owned()
    } else {
        return Ok(());
    };
    let key = key.chars().flat_map(char::escape_default).take(SHOWN_KEY_BYTES).collect();
    Err(StoreError::TooLarge { key, problem })
}

/// Remembers: linearizable get, list and compare-and-swap over keys.
///
/// Keys are texts of printable ASCII, at least one and at most [`MAX_KEY_BYTES`] bytes; values at most
/// [`MAX_VALUE_BYTES`] ([`Transaction::check`]). What [`commit`](Self::commit) has
/// acknowledged survives a power cut.
#[async_trait]
pub trait Store: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// All keys that begin with a prefix, with their values, in order of key, as they were at one moment.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Does all writes if all conditions hold, durably.
    async fn commit(&self, transaction: &Transaction) -> Result<(), StoreError>;
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A condition did not hold; nothing was written.
    #[error("store key {key} does not hold what was expected; somebody else has written it")]
    Conflict {
        /// The key of the first condition that did not hold.
        key: String,
    },
    /// A key or value is not one that is allowed; nothing was written.
    #[error("store key {key}: {problem}")]
    TooLarge {
        /// The key.
        key: String,
        /// What is too large.
        problem: String,
    },
    /// The store's file is not one, is damaged, or is of a newer version.
    #[error("cannot open store {place}: {problem}")]
    Unreadable {
        /// The file or address.
        place: String,
        /// What is wrong and what to do, for a person.
        problem: String,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// The operation failed. After a failed commit nobody knows whether it took effect: the caller must read again.
    #[error("cannot {operation} store {place}: {problem}")]
    Failed {
        /// `read`, `write`.
        operation: &'static str,
        /// The file or address.
        place: String,
        /// What went wrong and what to do, for a person.
        problem: String,
        /// Whether the same call may succeed later.
        retry: Retry,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
}
