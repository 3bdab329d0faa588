//! The brain's operations, carried out by the hypervisor.

use std::time::Duration;

use lifeboat_brain::{
    host::{Act, HostInput, Operation, OperationResult, ProcessNow},
    message::Order,
};
use lifeboat_model::VmName;
use lifeboat_ports::{Hypervisor, HypervisorError, Retry, StopHow, VmConfig, VmEvent, VmExit};
use tokio::time::timeout;

use crate::error::{chain, clean};

/// How long the hypervisor may take to list its VMs.
pub(crate) const LIST_LIMIT: Duration = Duration::from_secs(10);

/// Carries out one operation and says how it ended.
pub(crate) async fn carry_out(hypervisor: &dyn Hypervisor, operation: Operation) -> HostInput {
    let Operation { id, vm, generation, act, .. } = operation;
    let done = match act {
        Act::Look => {
            let result = OperationResult::Seen(look(hypervisor, &vm).await);
            return HostInput::OperationEnded { vm, operation: id, result };
        }
        Act::Order(Order::Configure { vcpus, memory_mib, machine, attachments }) => {
            let machine = *machine;
            let config = VmConfig { vm: vm.clone(), generation, vcpus, memory_mib, machine, attachments };
            hypervisor.configure(&config).await
        }
        Act::Order(Order::Start) => hypervisor.start(&vm, generation).await,
        Act::Order(Order::Stop { graceful }) => {
            let how = if graceful { StopHow::Graceful } else { StopHow::Kill };
            hypervisor.stop(&vm, how).await
        }
    };
    let result = match done {
        Ok(()) => OperationResult::Done,
        Err(error) => OperationResult::Failed {
            problem: chain(&error),
            retry_may_help: retry_may_help(&error),
            process: look(hypervisor, &vm).await,
        },
    };
    HostInput::OperationEnded { vm, operation: id, result }
}

async fn look(hypervisor: &dyn Hypervisor, vm: &VmName) -> ProcessNow {
    match timeout(LIST_LIMIT, hypervisor.list()).await {
        Ok(Ok(list)) => match list.into_iter().find(|running| running.vm == *vm) {
            Some(running) => ProcessNow::There(running),
            None => ProcessNow::Gone,
        },
        Ok(Err(error)) => {
            tracing::warn!(%vm, "cannot see whether a VM runs: {}", chain(&error));
            ProcessNow::Unknown
        }
        Err(_) => {
            tracing::warn!(%vm, "cannot see whether a VM runs: the hypervisor did not answer within {LIST_LIMIT:?}");
            ProcessNow::Unknown
        }
    }
}

fn retry_may_help(error: &HypervisorError) -> bool {
    match error {
        HypervisorError::Failed { retry, .. } => *retry == Retry::MayHelp,
        HypervisorError::AlreadyRunning { .. }
        | HypervisorError::NotConfigured { .. }
        | HypervisorError::Unusable { .. } => false,
    }
}

/// An event of the hypervisor as the brain takes it in.
pub(crate) fn told(event: VmEvent) -> HostInput {
    match event {
        VmEvent::Exited { vm, generation, exit: VmExit::GuestShutdown } => {
            HostInput::VmExited { vm, generation, by_guest: true, detail: "its guest shut down".to_owned() }
        }
        VmEvent::Exited { vm, generation, exit: VmExit::ProcessDied { detail } } => {
            HostInput::VmExited { vm, generation, by_guest: false, detail: clean(&detail) }
        }
        VmEvent::StateChanged { vm, .. } => HostInput::VmChanged { vm },
    }
}
