//! Ways to people: webhooks, Alertmanager, mail, a command, a file.
//!
//! Each takes a whole message and delivers it once, within its time limit; whom to tell what, when, and how often to try is
//! decided before. Secrets stand in files and are read afresh for each message, so that one that was changed is used.

use std::sync::Arc;

use lifeboat_model::Seconds;
use lifeboat_ports::{Cause, Notifier, NotifyError, Retry};
use serde::Deserialize;

mod alertmanager;
mod command;
mod http;
mod log;
mod mail;
mod smtp;
mod webhook;

pub use alertmanager::AlertmanagerSpec;
pub use command::CommandSpec;
pub use http::HttpSpec;
pub use log::LogSpec;
pub use mail::{MailSpec, MailTls};
pub use webhook::WebhookSpec;

/// The longest time limit that may be set.
const LONGEST: Seconds = Seconds::new(300);

/// How a receiver is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifierSpec {
    /// A message as JSON by HTTP.
    Webhook(WebhookSpec),
    /// Alerts to Prometheus' Alertmanager.
    Alertmanager(AlertmanagerSpec),
    /// A mail.
    Mail(MailSpec),
    /// A message as JSON to a program.
    Command(CommandSpec),
    /// Events to a file.
    Log(LogSpec),
}

impl NotifierSpec {
    /// The word for its kind in a settings file.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Mail(_) => "mail",
            Self::Command(_) => "command",
            Self::Log(_) => "log",
        }
    }

    /// Where it leads, for a person; without secrets.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Webhook(spec) => spec.http.shown(),
            Self::Alertmanager(spec) => spec.http.shown(),
            Self::Mail(spec) => format!("{} by {}", spec.to.join(", "), spec.server),
            Self::Command(spec) => spec.program.display().to_string(),
            Self::Log(spec) => spec.path.display().to_string(),
        }
    }

    /// Checks the settings, as far as they can be checked without trying.
    ///
    /// # Errors
    /// A sentence that names the setting and what it must be.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Webhook(spec) => spec.http.validate(),
            Self::Alertmanager(spec) => spec.http.validate(),
            Self::Mail(spec) => spec.validate(),
            Self::Command(spec) => spec.validate(),
            Self::Log(spec) => spec.validate(),
        }
    }

    /// The notifier. `from` is what the message says that it comes from.
    #[must_use]
    pub fn notifier(&self, receiver: &str, from: &str) -> Arc<dyn Notifier> {
        let (receiver, from) = (receiver.to_owned(), from.to_owned());
        match self.clone() {
            Self::Webhook(spec) => Arc::new(webhook::Webhook { receiver, from, spec }),
            Self::Alertmanager(spec) => Arc::new(alertmanager::Alertmanager { receiver, from, spec }),
            Self::Mail(spec) => Arc::new(mail::Mail { receiver, from, spec }),
            Self::Command(spec) => Arc::new(command::NotifyCommand { receiver, from, spec }),
            Self::Log(spec) => Arc::new(log::Log { receiver, spec }),
        }
    }
}

/// Ten seconds, unless set.
fn default_timeout() -> Seconds {
    Seconds::new(10)
}

fn check_timeout(limit: Seconds) -> Result<(), String> {
    let good = limit > Seconds::ZERO && limit <= LONGEST;
    good.then_some(()).ok_or_else(|| format!("timeout_s must be above 0 and at most {}", LONGEST.as_f64()))
}

/// What went wrong, before it is known whose it is.
struct Fault {
    problem: String,
    retry: Retry,
    source: Option<Cause>,
}

impl Fault {
    fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), retry: Retry::MayHelp, source: None }
    }

    fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), retry: Retry::IsFutile, source: None }
    }

    fn because(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn of(self, receiver: &str) -> NotifyError {
        let Self { problem, retry, source } = self;
        NotifyError { receiver: receiver.to_owned(), problem, retry, source }
    }
}

/// The beginning of what somebody else said, on one line and without what a terminal would obey.
fn excerpt(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words,
    }
}
