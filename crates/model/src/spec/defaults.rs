//! What holds where a declaration is silent. `docs/settings.md` lists the same values.

use crate::Seconds;

pub(super) const fn fence_timeout() -> Seconds {
    Seconds::new(30)
}

pub(super) fn redfish_system() -> String {
    "1".to_owned()
}

pub(super) const fn max_ops() -> u64 {
    32
}

pub(super) const fn remap() -> Seconds {
    Seconds::new(1)
}

pub(super) const fn start() -> Seconds {
    Seconds::new(60)
}

pub(super) fn scope() -> String {
    "host".to_owned()
}

pub(super) const fn required() -> bool {
    true
}
