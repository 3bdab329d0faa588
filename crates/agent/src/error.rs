//! Why an agent cannot work. What passes by itself, such as a controller that is away, is no such reason.

use std::{io, path::PathBuf};

use lifeboat_model::HostName;
use lifeboat_ports::HypervisorError;
use lifeboat_transport::{
    Identity, credentials::CredentialsError, join::JoinError, secret::SecretError, tls::TlsSetupError, token::NotAToken,
};

use crate::{config::ConfigError, lock::LockError, records::RecordsError};

/// Why an agent ended or never began.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No controller is configured.
    #[error("no controller is configured for this agent: name at least one `address:port`")]
    NoController,
    /// A directory cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What was obeyed cannot be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The files that are shared with the guard cannot be used.
    #[error("cannot use the guard's files in {}; see that the directory is on a file system that works", .dir.display())]
    Guard {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The boot cannot be told from others.
    #[error("cannot read which boot this is from {}; set `boot_id_file` to a file that differs after each power cycle", .path.display())]
    BootId {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The credentials cannot be read or stored.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The credentials are another's.
    #[error(
        "the credentials in {} are those of {found}, but this agent is of host {host}: set `host` right, or move \
         `credentials.pem` away and join with a new token", .dir.display()
    )]
    OtherIdentity {
        /// The state directory.
        dir: PathBuf,
        /// Whose they are.
        found: Identity,
        /// The configured host.
        host: HostName,
    },
    /// There are no credentials and no token.
    #[error(
        "host {host} has not joined yet: ask the controller for a join token of this host, write it into a file with \
         mode 0600 and set `token_file`"
    )]
    NoToken {
        /// The host.
        host: HostName,
    },
    /// The file with the token cannot be read.
    #[error("host {host} has not joined yet, and its token file cannot be used")]
    TokenFile {
        /// The host.
        host: HostName,
        /// Why.
        source: SecretError,
    },
    /// What is in the file is no token.
    #[error("{} holds no join token", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NotAToken,
    },
    /// The controller did not let this host in.
    #[error("host {host} cannot join")]
    Join {
        /// The host.
        host: HostName,
        /// Why.
        source: JoinError,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The hypervisor does not work.
    #[error("this host cannot run VMs")]
    Hypervisor(#[source] HypervisorError),
    /// The hypervisor does not say what runs.
    #[error("cannot find out which VMs run on this host")]
    List(#[source] HypervisorError),
    /// The runtime cannot be set up.
    #[error("cannot start the agent's runtime")]
    Runtime(#[source] io::Error),
}

/// An error with all its sources on one line, bounded and without control characters, for a log or a peer.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    clean(&text)
}

/// A text bounded and without control characters.
pub(crate) fn clean(text: &str) -> String {
    const MAX_CHARS: usize = 1000;
    text.chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
