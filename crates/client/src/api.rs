//! The API's types. HTTP/1.1 with JSON bodies, over the controller's Unix socket or over TLS with an operator's
//! certificate.
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `GET /v1/status` | | [`StatusView`] |
//! | `GET /v1/hosts` | | list of [`HostRow`] |
//! | `GET /v1/hosts/{name}/evidence` | | [`EvidenceView`] |
//! | `GET /v1/vms` | | list of [`VmRow`] |
//! | `GET /v1/checks` | | list of [`CheckRow`], one for each VM of each check |
//! | `GET /v1/volumes` | | list of [`VolumeRow`] |
//! | `GET /v1/recoveries` | | list of [`RecoveryRow`], newest first |
//! | `GET /v1/recoveries/{id}` | | [`RecoveryView`] |
//! | `GET /v1/declaration` | | [`Declaration`](lifeboat_model::spec::Declaration), as the controller keeps it |
//! | `GET /v1/fleet` | | [`Fleet`](lifeboat_model::fleet::Fleet), as it is now |
//! | `POST /v1/apply` | `Declaration` | [`ApplyOutcome`] |
//! | `DELETE /v1/{kind}/{name}` | | [`Deleted`] |
//! | `POST /v1/vms/{name}/{action}` | | [`VmRow`], after the order was taken |
//! | `POST /v1/hosts/{name}/confirm-off` | [`ConfirmOff`] | [`ConfirmedOff`] |
//! | `POST /v1/hosts/{name}/maintenance` | [`MaintenanceRequest`] | [`HostOrdered`] |
//! | `POST /v1/hosts/{name}/drain` | | [`HostOrdered`] |
//! | `POST /v1/hosts/{name}/fence-test` | | [`FenceTest`]; nothing is cut |
//! | `GET /v1/hosts/{name}/hardware` | | [`HardwareView`] |
//! | `POST /v1/hosts/{name}/failback` | | [`HostOrdered`] |
//! | `POST /v1/plan` | [`PlanRequest`] | [`Plan`](lifeboat_model::plan::Plan) |
//! | `GET /v1/events?after=N&follow=true` | | [`EventRow`] a line, oldest first |
//! | `GET /v1/trace?follow=true` | | [`TraceEvent`](lifeboat_model::trace::TraceEvent) a line |
//! | `GET /v1/receivers` | | list of [`ReceiverRow`] |
//! | `POST /v1/receivers/{name}/test` | | [`NotifyTested`] |
//! | `POST /v1/tokens` | [`TokenRequest`] | [`TokenIssued`] |
//! | `POST /v1/operators` | [`OperatorRequest`] | [`OperatorIssued`] |
//!
//! Kinds are the plural words of [`Kind`](lifeboat_model::declaration::Kind), actions those of [`VmAction`]. Bodies are refused when they have an
//! unknown field; answers may grow fields, and a client ignores those that it does not know. Anything but a 2xx answer
//! carries an [`ErrorBody`]. Points in time are microseconds since 1970-01-01 UTC by the controller's clock, in fields
//! that end in `_us`; spans are seconds, in fields that end in `_s`.

mod change;
mod check;
mod drill;
mod error;
mod event;
mod evidence;
mod fence;
mod host;
mod notify;
pub mod path;
mod recovery;
mod status;
mod vm;
mod volume;

pub use change::{
    ApplyOutcome, ConfirmOff, ConfirmedOff, Deleted, HostOrdered, MaintenanceRequest, OperatorIssued, OperatorRequest,
    PlanRequest, TokenIssued, TokenRequest,
};
pub use check::{CheckRow, CheckState};
pub use drill::DrillView;
pub use error::{ErrorBody, ErrorCode};
pub use event::{EventRow, Severity};
pub use evidence::{EvidenceView, PolicyView};
pub use fence::{DeviceTest, FenceTest, RungDevice, RungRow, RungState, RungTest};
pub use host::{AgentLink, FenceCheck, FenceRow, HardwareView, HostCondition, HostRow, MaintenanceView};
pub use lifeboat_model::action::VmAction;
pub use notify::{NotifyTested, ReceiverRow};
pub use recovery::{
    ClassProgress, FenceProgress, PlanRef, RecoveryRow, RecoveryState, RecoveryView, RecoveryVm, RecoveryVmState, Rto,
};
pub use status::{ControllerView, HostCount, HostNote, Overall, StatusView, VmCount, Warning};
pub use vm::{Desired, VmPhase, VmRow};
pub use volume::{VolumeIntent, VolumeRow, VolumeState};
