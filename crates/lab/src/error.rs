use std::{io, path::PathBuf, time::Duration};

/// Why the lab did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The lab makes namespaces and cgroups.
    #[error("the lab needs root: it makes network namespaces and cgroups; run it with sudo")]
    NotRoot,
    /// Programs that the lab runs are not installed.
    #[error("not installed: {}; run tools/install-deps.sh, or install the packages that have them", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// The machine has no cgroup v2 tree.
    #[error(
        "no cgroup v2 tree at /sys/fs/cgroup or /sys/fs/cgroup/unified; mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`)"
    )]
    NoCgroups,
    /// An option has a value that cannot be.
    #[error("{option} = {value} cannot be: {why}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        why: String,
    },
    /// There is a lab of that name.
    #[error("there is a lab `{name}` already; take it down first (`lifeboat lab down`) or choose another name")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is no lab of that name.
    #[error("there is no lab `{name}`; bring one up with `lifeboat lab up`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Somebody else is bringing the lab up, or takes it down.
    #[error("lab `{name}` is just being brought up or taken down by another process; wait for it, or end it")]
    Busy {
        /// Its name.
        name: String,
    },
    /// The lab's directory has something else in it.
    #[error("{} is not empty and not this lab's; name an empty or new directory", .0.display())]
    ForeignDirectory(PathBuf),
    /// The lab has no such host or VM.
    #[error("lab `{lab}` has no {kind} `{name}`; it has {known}")]
    NoSuch {
        /// The lab.
        lab: String,
        /// `host`, `VM`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The object is not in the state that the operation needs.
    #[error("cannot {operation}: {why}")]
    Refused {
        /// The operation and its object.
        operation: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The system refused something.
    #[error("cannot {operation}")]
    System {
        /// The operation and its object.
        operation: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program that the lab ran failed.
    #[error("cannot {operation}: {detail}")]
    Program {
        /// The operation and its object.
        operation: String,
        /// How the program ended and what it said.
        detail: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {} s; {hint}", .limit.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// Where to look.
        hint: String,
    },
}

impl LabError {
    /// For `map_err`: the system refused this operation.
    pub(crate) fn system(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::System { operation, source }
    }
}
