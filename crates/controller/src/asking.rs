//! Asks those who may know whether a host lives: its power, its VMs, and what the controller itself can reach.
//!
//! Every question is answered, within its time limit, whatever the other side does.

use std::time::Duration;

use lifeboat_brain::fleet::Input;
use lifeboat_model::{
    BootId, HostName, VmName,
    liveness::{EvidenceSource, Saying},
    spec::FenceSpec,
};
use lifeboat_ports::{Check, PowerState};
use lifeboat_transport::agent_look::look;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::{handle::Handle, run::chain};

/// The longest that reading the power takes: what comes later than that helps no verdict.
const POWER: Duration = Duration::from_secs(10);
/// The longest that a look at a VM takes.
pub(crate) const VM: Duration = Duration::from_millis(900);
/// The longest that a reference may take to accept a connection.
const REFERENCE: Duration = Duration::from_millis(500);

/// Reads a host's power.
pub(crate) fn power(handle: Handle, host: HostName, spec: FenceSpec) {
    tokio::spawn(async move {
        let device = lifeboat_drivers::fence::device(&spec);
        let limit = POWER.min(spec.timeout().into());
        let (says, detail) = match timeout(limit, device.power_state()).await {
            Ok(Ok(PowerState::Off)) => (Saying::PowerOff, None),
            Ok(Ok(PowerState::On)) => (Saying::PowerOn, None),
            Ok(Err(error)) => (Saying::Unknown, Some(chain(&error))),
            Err(_) => (Saying::Unknown, Some(format!("no answer within {} s", limit.as_secs()))),
        };
        let source = EvidenceSource::Power { device: spec.name().clone() };
        handle.input(Input::Evidence { host, source, says, detail }).await;
    });
}

/// Looks at a VM through what looks at it otherwise too.
pub(crate) fn vm(handle: Handle, host: HostName, vm: VmName, check: Box<dyn Check>) {
    tokio::spawn(async move {
        let (says, detail) = match timeout(VM, check.look()).await {
            Ok(report) if report.answers() => (Saying::Lives, None),
            Ok(report) => (Saying::Silent, Some(report.output)),
            Err(_) => (Saying::Silent, Some("no answer in time".to_owned())),
        };
        handle.input(Input::Evidence { host, source: EvidenceSource::Service { vm }, says, detail }).await;
    });
}

/// Looks at a host's agent beside its link, over one of the host's networks.
pub(crate) fn agent(handle: Handle, host: HostName, address: String, boot: BootId) {
    tokio::spawn(async move {
        let (says, detail) = match lifeboat_transport::random() {
            Ok(nonce) => look(&address, &host, &boot, nonce).await,
            Err(error) => (Saying::Unknown, Some(error.to_string())),
        };
        handle.input(Input::Evidence { host, source: EvidenceSource::Network { address }, says, detail }).await;
    });
}

/// Sees which addresses take a connection.
pub(crate) fn references(handle: Handle, addresses: Vec<String>) {
    tokio::spawn(async move {
        let mut tries = JoinSet::new();
        for address in addresses {
            tries.spawn(async move { matches!(timeout(REFERENCE, TcpStream::connect(&address)).await, Ok(Ok(_))) });
        }
        let mut reached = 0;
        while let Some(ended) = tries.join_next().await {
            reached += u64::from(ended.unwrap_or(false));
        }
        handle.input(Input::References { reached }).await;
    });
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::handle::{EventLog, Message};

    fn handle() -> (Handle, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(8);
        (Handle::new(inbox, watch::channel(None).1, EventLog::new([])), messages)
    }

    async fn said(messages: &mut mpsc::Receiver<Message>) -> Input {
        match messages.recv().await {
            Some(Message::Input(input)) => input,
            _ => panic!("an input comes"),
        }
    }

    #[tokio::test]
    async fn references_that_take_a_connection_are_counted_and_others_are_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("an address").to_string();
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let nowhere = gone.local_addr().expect("an address").to_string();
        drop(gone);
        let (handle, mut messages) = handle();
        references(handle, vec![here, nowhere, "no such name.invalid:1".to_owned()]);
        assert_eq!(said(&mut messages).await, Input::References { reached: 1 });
    }

    #[tokio::test]
    async fn a_fence_device_that_cannot_be_asked_says_nothing_of_the_host() {
        let text = "name = 'bmc'\nkind = 'agent'\nagent = 'fence_there_is_none'";
        let spec: FenceSpec = toml::from_str(text).expect("a device");
        let (handle, mut messages) = handle();
        power(handle, "h1".parse().expect("a name"), spec);
        let Input::Evidence { says, detail, .. } = said(&mut messages).await else { panic!("evidence") };
        assert_eq!(says, Saying::Unknown);
        assert!(detail.is_some_and(|text| text.contains("fence_there_is_none")));
    }
}
