//! What holds where a declaration is silent. `docs/settings.md` lists the same values.

use super::HealthAction;
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

pub(super) const fn check_interval() -> Seconds {
    Seconds::new(30)
}

pub(super) const fn check_timeout() -> Seconds {
    Seconds::new(10)
}

pub(super) const fn check_failures() -> u32 {
    3
}

pub(super) fn check_actions() -> Vec<HealthAction> {
    vec![HealthAction::Restart, HealthAction::RestartElsewhere, HealthAction::Tell]
}

pub(super) const fn check_restarts() -> u32 {
    3
}

pub(super) fn scope() -> String {
    "host".to_owned()
}

pub(super) const fn required() -> bool {
    true
}
