//! What went wrong, with its exit code and the way out.

use std::{error::Error, io::Write as _, process::ExitCode};

use lifeboat_client::{
    ClientError,
    api::{ErrorBody, ErrorCode},
};
use lifeboat_transport::http::HttpError;

/// How the program ends when it did not do what it was asked. The numbers are documented and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The operation failed, or what was asked about is not as it should be.
    Failed = 1,
    /// The command line, a file or a value is wrong.
    BadInput = 2,
    /// The controller cannot be reached, or is not ready.
    Unreachable = 3,
    /// Refused as things stand.
    Refused = 4,
    /// It names what does not exist.
    Unknown = 5,
}

/// What went wrong.
#[derive(Debug)]
pub enum Failure {
    /// Whoever read our output has gone: nothing to complain about.
    ReaderGone,
    /// The output said it all; only the exit code is left to say.
    Said(Exit),
    /// A message, lines below it, and the way out.
    Told {
        /// The exit code.
        exit: Exit,
        /// What went wrong, one sentence.
        message: String,
        /// Particulars, a line each, said first.
        lines: Vec<String>,
        /// What to do.
        advice: Option<String>,
    },
}

/// What most things give.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Told { exit, message: message.into(), lines: Vec::new(), advice: None }
    }

    /// The same, with the way out.
    pub fn advice(mut self, text: impl Into<String>) -> Self {
        if let Self::Told { advice, .. } = &mut self {
            *advice = Some(text.into());
        }
        self
    }

    /// The same, with particulars.
    pub fn lines(mut self, more: impl IntoIterator<Item = String>) -> Self {
        if let Self::Told { lines, .. } = &mut self {
            lines.extend(more);
        }
        self
    }

    /// An error of ours with all its causes.
    pub fn caused(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, chain(error))
    }

    /// Says what went wrong on standard error and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Self::ReaderGone => ExitCode::SUCCESS,
            Self::Said(exit) => ExitCode::from(exit as u8),
            Self::Told { exit, message, lines, advice } => {
                let mut text = String::new();
                for line in lines.into_iter().chain([message]) {
                    text.push_str(&format!(" {line}\n"));
                }
                if let Some(advice) = advice {
                    text.push_str(&format!("   → {advice}\n"));
                }
                // Where even standard error is gone there is nobody to tell.
                let _ = std::io::stderr().write_all(text.as_bytes());
                ExitCode::from(exit as u8)
            }
        }
    }
}

/// An error and its causes, one after the other.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(body) => Self::from(*body),
            ClientError::Unreachable(HttpError::Connect { source, .. }) => Self::new(
                Exit::Unreachable,
                format!("The controller cannot be reached: {source}."),
            )
            .advice(
                "--socket PATH or --server HOST:PORT says where it is; `journalctl -u lifeboat-controller` how it is",
            ),
            ClientError::Bare { status, .. } => Self::caused(exit_of(ErrorCode::of_status(status)), &error),
            ClientError::Unreachable(_) | ClientError::Lost(_) => Self::caused(Exit::Unreachable, &error),
            ClientError::NotUnderstood { .. } => Self::caused(Exit::Failed, &error),
            ClientError::Address { .. }
            | ClientError::NoCredentials { .. }
            | ClientError::Credentials { .. }
            | ClientError::Tls { .. } => Self::caused(Exit::BadInput, &error),
        }
    }
}

fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::BadInput => Exit::BadInput,
        ErrorCode::Forbidden | ErrorCode::Refused => Exit::Refused,
        ErrorCode::NotFound => Exit::Unknown,
        ErrorCode::Unavailable => Exit::Unreachable,
        ErrorCode::Internal => Exit::Failed,
    }
}

impl From<ErrorBody> for Failure {
    fn from(body: ErrorBody) -> Self {
        Self::Told {
            exit: exit_of(body.code),
            message: body.message,
            lines: body.problems.iter().map(ToString::to_string).collect(),
            advice: body.advice,
        }
    }
}
