//! The API's paths, in one place for both sides.

use lifeboat_model::{HostName, VmName, declaration::Object};

use super::VmAction;

/// `GET`: [`super::StatusView`].
pub const STATUS: &str = "/v1/status";
/// `GET`: a list of [`super::HostRow`].
pub const HOSTS: &str = "/v1/hosts";
/// `GET`: a list of [`super::VmRow`].
pub const VMS: &str = "/v1/vms";
/// `GET`: a list of [`super::CheckRow`].
pub const CHECKS: &str = "/v1/checks";
/// `GET`: a list of [`super::VolumeRow`].
pub const VOLUMES: &str = "/v1/volumes";
/// `GET`: a list of [`super::RecoveryRow`].
pub const RECOVERIES: &str = "/v1/recoveries";
/// `GET`: the declaration as the controller keeps it.
pub const DECLARATION: &str = "/v1/declaration";
/// `GET`: fleet/v1.
pub const FLEET: &str = "/v1/fleet";
/// `POST`: a declaration.
pub const APPLY: &str = "/v1/apply";
/// `POST`: [`super::PlanRequest`].
pub const PLAN: &str = "/v1/plan";
/// `GET`: [`super::DrillView`]; `POST`: the same, after a drill.
pub const DRILL: &str = "/v1/drill";
/// `GET`: lines of [`super::EventRow`].
pub const EVENTS: &str = "/v1/events";
/// `GET`: trace/v1.
pub const TRACE: &str = "/v1/trace";
/// `GET`: a list of [`super::ReceiverRow`].
pub const RECEIVERS: &str = "/v1/receivers";
/// `POST`: [`super::TokenRequest`].
pub const TOKENS: &str = "/v1/tokens";
/// `POST`: [`super::OperatorRequest`].
pub const OPERATORS: &str = "/v1/operators";

/// `GET`: one [`super::RecoveryView`].
#[must_use]
pub fn recovery(id: u64) -> String {
    format!("{RECOVERIES}/{id}")
}

/// `POST`: an order for a VM.
#[must_use]
pub fn vm_action(vm: &VmName, action: VmAction) -> String {
    format!("{VMS}/{vm}/{action}")
}

/// `POST`: an operator's word that a host is off.
#[must_use]
pub fn confirm_off(host: &HostName) -> String {
    format!("{HOSTS}/{host}/confirm-off")
}

/// `POST`: [`super::MaintenanceRequest`].
#[must_use]
pub fn maintenance(host: &HostName) -> String {
    format!("{HOSTS}/{host}/maintenance")
}

/// `GET`: [`super::HardwareView`].
#[must_use]
pub fn hardware(host: &HostName) -> String {
    format!("{HOSTS}/{host}/hardware")
}

/// `POST`: VMs that belong to a host are to go back to it.
#[must_use]
pub fn failback(host: &HostName) -> String {
    format!("{HOSTS}/{host}/failback")
}

/// `POST`: a host is to be emptied.
#[must_use]
pub fn drain(host: &HostName) -> String {
    format!("{HOSTS}/{host}/drain")
}

/// `POST`: a test message to a receiver. Characters that no name has are left out.
#[must_use]
pub fn test_receiver(name: &str) -> String {
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    format!("{RECEIVERS}/{name}/test")
}

/// `POST`: the fence devices of a host are read, nothing is cut.
#[must_use]
pub fn fence_test(host: &HostName) -> String {
    format!("{HOSTS}/{host}/fence-test")
}

/// `GET`: [`super::EvidenceView`].
#[must_use]
pub fn evidence(host: &HostName) -> String {
    format!("{HOSTS}/{host}/evidence")
}

/// `DELETE`: a declared thing.
#[must_use]
pub fn object(object: &Object) -> String {
    format!("/v1/{}/{}", object.kind.plural(), object.name)
}

/// `GET`: events after a number, and whether to stay for those to come.
#[must_use]
pub fn events(after: u64, follow: bool) -> String {
    format!("{EVENTS}?after={after}&follow={follow}")
}

/// `GET`: the trace, and whether to stay for what is to come.
#[must_use]
pub fn trace(follow: bool) -> String {
    format!("{TRACE}?follow={follow}")
}
