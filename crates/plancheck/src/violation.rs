//! What can be wrong with a plan, as types and in plain words.

use lifeboat_model::plan::StepId;
use lifeboat_model::{ArrayName, GroupName, HostName, Seconds, VmName, VolumeName};

/// A limit of a host that holds at every instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// VMs starting at once.
    Starts,
    /// Volumes being remapped at once.
    Maps,
    /// Volumes mapped.
    Volumes,
    /// A resource of its capacity.
    Capacity(String),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starts => f.write_str("VMs starting"),
            Self::Maps => f.write_str("volumes being mapped"),
            Self::Volumes => f.write_str("volumes"),
            Self::Capacity(resource) => f.write_str(resource),
        }
    }
}

/// One thing that a plan does wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Something is named that is not there.
    #[error("{by} names {kind} `{name}`, which the fleet does not have")]
    Unknown {
        /// What names it: a step, a placement, the list of the unplaced.
        by: String,
        /// The kind of what is named.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Two steps have one number.
    #[error("two steps are numbered {step}")]
    StepTwice {
        /// The number.
        step: StepId,
    },
    /// A step ends before it begins.
    #[error("step {step} would end before it begins")]
    Backwards {
        /// The step.
        step: StepId,
    },
    /// A step waits for one that is not in the plan.
    #[error("step {step} waits for step {after}, which is not in the plan")]
    WaitsForUnknown {
        /// The step.
        step: StepId,
        /// What it waits for.
        after: StepId,
    },
    /// A step begins before one that it waits for has ended.
    #[error("step {step} begins at {start} s, before step {after} ends, at {end} s", start = .start.as_f64(), end = .end.as_f64())]
    TooEarly {
        /// The step.
        step: StepId,
        /// What it must not begin before.
        after: StepId,
        /// When it begins.
        start: Seconds,
        /// When the other ends.
        end: Seconds,
    },
    /// A step does not name one that it must wait for: an execution that is faster or slower than planned would go wrong.
    #[error("step {step} does not wait for step {after}, as it must")]
    NotAwaited {
        /// The step.
        step: StepId,
        /// What it must wait for.
        after: StepId,
    },
    /// A step is given less time than it takes.
    #[error("step {step} is given {given} s, it takes {needed} s", given = .given.as_f64(), needed = .needed.as_f64())]
    TooShort {
        /// The step.
        step: StepId,
        /// What it is given.
        given: Seconds,
        /// What it takes.
        needed: Seconds,
    },
    /// The plan recovers from other failures than those that it was asked about.
    #[error("the plan is for the failure of {planned:?}, asked was {asked:?}")]
    OtherFailure {
        /// What the plan says.
        planned: Vec<HostName>,
        /// What was asked.
        asked: Vec<HostName>,
    },
    /// A host is fenced that has not failed.
    #[error("{host} is fenced, it has not failed")]
    FenceUnasked {
        /// The host.
        host: HostName,
    },
    /// A VM of a failed host is touched without a fence of that host.
    #[error("{vm} of {host} is recovered without a fence of {host}")]
    NotFenced {
        /// The VM.
        vm: VmName,
        /// Its failed host.
        host: HostName,
    },
    /// A VM is unplaced without a reason.
    #[error("{vm} is left out without a reason")]
    NoReason {
        /// The VM.
        vm: VmName,
    },
    /// A VM is stopped or moved although it does not run there, or may not be.
    #[error("step {step} would stop or move {vm}, which {why}")]
    NotMovable {
        /// The step.
        step: StepId,
        /// The VM.
        vm: VmName,
        /// Why it may not.
        why: &'static str,
    },
    /// A VM goes to a host that takes none.
    #[error("{vm} goes to {host}, which is not up")]
    HostNotUp {
        /// The VM.
        vm: VmName,
        /// The host.
        host: HostName,
    },
    /// A VM is prepared but never started.
    #[error("{vm} is prepared, but never started")]
    NeverStarted {
        /// The VM.
        vm: VmName,
    },
    /// A VM would run twice.
    #[error("{vm} would run twice: {how}")]
    Twice {
        /// The VM.
        vm: VmName,
        /// How.
        how: String,
    },
    /// A VM is started that nobody asked for.
    #[error("{vm} is started, nobody asked for it")]
    Unasked {
        /// The VM.
        vm: VmName,
    },
    /// The volumes that are remapped for a VM are not its own, each once, to its host, from where they are.
    #[error("volume {volume} of {vm} is {how}")]
    Volume {
        /// The VM.
        vm: VmName,
        /// The volume.
        volume: VolumeName,
        /// What is wrong.
        how: &'static str,
    },
    /// A VM is not configured once on its host.
    #[error("{vm} has {times} configure steps on {host}, it needs one")]
    Configure {
        /// The VM.
        vm: VmName,
        /// Its host.
        host: HostName,
        /// How many it has.
        times: usize,
    },
    /// A host lacks what a VM requires.
    #[error("{vm} requires a certain {label}, {host} does not have it")]
    Requires {
        /// The VM.
        vm: VmName,
        /// The label.
        label: String,
        /// The host.
        host: HostName,
    },
    /// A VM that must go to one host goes to another.
    #[error("{vm} must go to {asked}, it goes to {host}")]
    Pinned {
        /// The VM.
        vm: VmName,
        /// Where it must go.
        asked: HostName,
        /// Where it goes.
        host: HostName,
    },
    /// A VM goes where it must not.
    #[error("{vm} must not go to {host}")]
    Avoided {
        /// The VM.
        vm: VmName,
        /// The host.
        host: HostName,
    },
    /// A VM is neither started nor left out with a reason, or both.
    #[error("{vm} is {}", if *.both { "started and listed as left out" } else { "neither started nor listed as left out" })]
    Coverage {
        /// The VM.
        vm: VmName,
        /// Whether it is both.
        both: bool,
    },
    /// The placements tell another story than the steps.
    #[error("the placements send {vm} to {said:?}, its steps to {done:?}")]
    Placement {
        /// The VM.
        vm: VmName,
        /// What the placements say.
        said: Option<HostName>,
        /// What the steps do.
        done: Option<HostName>,
    },
    /// A host is over a limit.
    #[error("{host} would have {amount} {limit} at {at} s, its limit is {most}", at = .at.as_f64())]
    Over {
        /// The host.
        host: HostName,
        /// Which limit.
        limit: Limit,
        /// When first.
        at: Seconds,
        /// How much it would have.
        amount: u64,
        /// The limit.
        most: u64,
    },
    /// An array is over its operations.
    #[error("array {array} would run {amount} operations at {at} s, its limit is {most}", at = .at.as_f64())]
    ArrayOver {
        /// The array.
        array: ArrayName,
        /// When first.
        at: Seconds,
        /// How many it would run.
        amount: u64,
        /// The limit.
        most: u64,
    },
    /// A VM's NUMA nodes are not as many as it spans, or not there.
    #[error("{vm} spans {width} NUMA nodes of {host}; the plan does not name so many that are there")]
    NumaNodes {
        /// The VM.
        vm: VmName,
        /// The host.
        host: HostName,
        /// How many nodes it spans.
        width: u32,
    },
    /// A NUMA node is over its share.
    #[error("NUMA node {node} of {host} would be over its {resource}")]
    NumaOver {
        /// The host.
        host: HostName,
        /// The node.
        node: u32,
        /// The resource.
        resource: String,
    },
    /// A part of an all-or-nothing group is started.
    #[error("group {group} is all or nothing, {started} of its {lost} lost VMs are started")]
    GroupInPart {
        /// The group.
        group: GroupName,
        /// How many of its VMs are started.
        started: usize,
        /// How many of its VMs are to be recovered.
        lost: usize,
    },
    /// A VM starts before the stage before it is ready.
    #[error("{vm} of group {group} starts at {start} s, before its turn at {turn} s", start = .start.as_f64(), turn = .turn.as_f64())]
    StageOrder {
        /// The group.
        group: GroupName,
        /// The VM.
        vm: VmName,
        /// When it starts.
        start: Seconds,
        /// When it may.
        turn: Seconds,
    },
    /// A stage starts although one before it is incomplete.
    #[error("{vm} of group {group} starts although {missing} of a stage before it does not")]
    StageIncomplete {
        /// The group.
        group: GroupName,
        /// The VM.
        vm: VmName,
        /// Who is missing.
        missing: VmName,
    },
    /// A required rule is broken.
    #[error("rule {rule} is broken by {first} and {second}")]
    Rule {
        /// Its position in the fleet's `rules`.
        rule: usize,
        /// One VM.
        first: VmName,
        /// Another.
        second: VmName,
    },
}
