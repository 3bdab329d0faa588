//! What makes an old command recognisable: epochs of leaders, generations of objects, boots of hosts.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            ///
            /// # Panics
            /// After 2^64 - 1 of them, which no fleet lives to see.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a 64-bit counter has run out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

counters! {
    /// The epoch of a leader: each controller that takes the lead takes a higher one, and everybody refuses the
    /// commands of a lower one. The first is 1.
    Epoch;
    /// The generation of an object (a VM, a volume): raised with each new intent for it, so that a delayed command for
    /// an older intent is refused.
    Generation;
}

/// One boot of a host: a text that differs after each power cycle (`/proc/sys/kernel/random/boot_id` on Linux).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
