//! What an operator is told when QEMU does not start: what it said last, and what to do about it.

use std::{error::Error, fmt, io};

use lifeboat_model::VmName;
use lifeboat_ports::{Cause, HypervisorError, Retry};

/// Words that QEMU (or the libraries in it) says, what they mean here, and whether trying again can help. The first that
/// is found counts, so the narrower ones stand first.
const SAYINGS: &[(&str, &str, Retry)] = &[
    (
        "Failed to get \"write\" lock",
        "another process has this volume's file open; see with `fuser` which, on every host that shares it",
        Retry::MayHelp,
    ),
    (
        "export with name",
        "the storage array does not offer this volume to this host; map it here and try again",
        Retry::MayHelp,
    ),
    (
        "Requested export not available",
        "the storage array does not offer this volume to this host; map it here and try again",
        Retry::MayHelp,
    ),
    (
        "TLS handshake failed",
        "the storage array refused this host's pre-shared key; compare keys.psk in the agent's `psk_dir` with the array's",
        Retry::IsFutile,
    ),
    (
        "TLS negotiation required",
        "the storage array wants TLS; set `tls_psk = true` for this host in the array's declaration",
        Retry::IsFutile,
    ),
    (
        "Denied by server for option 5",
        "the storage array does not speak TLS; take `tls_psk` from this host's entry in its declaration",
        Retry::IsFutile,
    ),
    (
        "Failed to connect to",
        "the storage array does not answer; see that it runs and that this host reaches it",
        Retry::MayHelp,
    ),
    (
        "Connection refused",
        "the storage array does not answer; see that it runs and that this host reaches it",
        Retry::MayHelp,
    ),
    (
        "Cannot allocate memory",
        "this host has too little free memory for the VM; lower its reserve or move a VM away",
        Retry::MayHelp,
    ),
    (
        "cannot set up guest memory",
        "this host has too little free memory for the VM; lower its reserve or move a VM away",
        Retry::MayHelp,
    ),
    ("No space left on device", "a filesystem of this host is full; make room on it", Retry::MayHelp),
    (
        "failed to initialize kvm",
        "KVM does not work here; load the kvm module, or set `accelerator = \"auto\"`",
        Retry::IsFutile,
    ),
    (
        "Could not access KVM",
        "KVM does not work here; load the kvm module, or set `accelerator = \"auto\"`",
        Retry::IsFutile,
    ),
    ("sandbox", "this QEMU was built without seccomp; install the distribution's own", Retry::IsFutile),
    ("Permission denied", "QEMU may not open a file; see the owner and mode of the one that it names", Retry::IsFutile),
    (
        "No such file or directory",
        "a file is missing on this host; put the one that it names where it belongs",
        Retry::IsFutile,
    ),
];

/// What QEMU's last words mean.
pub(super) fn advice(said: &[String]) -> Option<(&'static str, Retry)> {
    let found = SAYINGS.iter().find(|(words, ..)| said.iter().any(|line| line.contains(words)));
    found.map(|&(_, meaning, retry)| (meaning, retry))
}

/// The error of a start whose QEMU ended or did not come up. `what` is how it failed, `said` the end of its log.
pub(super) fn of_start(vm: &VmName, what: &str, said: &[String], log: &str, source: Option<Cause>) -> HypervisorError {
    let advice = advice(said);
    let meaning = advice.map_or_else(|| format!("see {log}"), |(meaning, _)| meaning.to_owned());
    let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {}", said.join(" | ")) };
    let problem = format!("QEMU {what}; {said}; {meaning}");
    failed("start", vm, problem, advice.map_or(Retry::MayHelp, |(_, retry)| retry), source)
}

/// An operation on a VM failed.
pub(super) fn failed(
    operation: &'static str,
    vm: &VmName,
    problem: impl Into<String>,
    retry: Retry,
    source: Option<Cause>,
) -> HypervisorError {
    HypervisorError::Failed { operation, vm: vm.clone(), problem: problem.into(), retry, source }
}

/// An operation on a VM failed for a reason that has its own words: they are the problem, what is below them the cause.
pub(super) fn because<E: Error + Send + Sync + 'static>(
    operation: &'static str,
    vm: &VmName,
    retry: Retry,
) -> impl FnOnce(E) -> HypervisorError {
    move |error| {
        let problem = error.to_string();
        let below = error.source().is_some().then(|| Box::new(Below(error)) as Cause);
        failed(operation, vm, problem, retry, below)
    }
}

/// What is below an error, as an error of its own.
#[derive(Debug)]
struct Below<E>(E);

impl<E: Error> fmt::Display for Below<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

impl<E: Error> Error for Below<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()?.source()
    }
}

/// A file of the driver's own could not be read or written.
pub(super) fn files(operation: &'static str, vm: &VmName) -> impl FnOnce(io::Error) -> HypervisorError {
    move |source| {
        let problem =
            "its files in the agent's run_dir or state_dir cannot be used; see that both are writable and not full";
        failed(operation, vm, problem, Retry::MayHelp, Some(Box::new(source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_of_qemu_become_advice() {
        let vm = VmName::new("web").unwrap();
        for (words, advice) in [
            ("qemu: Failed to get \"write\" lock", "another process has this volume's file open"),
            ("qemu: -blockdev {}: Failed to connect to '10.0.0.9:1': Connection refused", "does not answer"),
            ("cannot set up guest memory 'ram0': Cannot allocate memory", "too little free memory"),
            ("what nobody knows", "see /log"),
        ] {
            let told = of_start(&vm, "ended with exit code 1", &[words.to_owned()], "/log", None).to_string();
            assert!(told.contains(words) && told.contains(advice), "{told}");
        }
    }
}
