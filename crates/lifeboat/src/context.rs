//! How the controller is reached, and where text goes.

use std::{
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::tz::TimeZone;
use lifeboat_client::Client;
use lifeboat_model::Time;
use serde::Serialize;

use crate::{
    cli::{Format, Global},
    failure::{Exit, Failure, Outcome},
    render::Look,
};

/// Where the controller listens unless told otherwise.
pub const SOCKET: &str = "/run/lifeboat/controller.sock";

/// What every command needs.
#[derive(Debug)]
pub struct Context {
    global: Global,
    /// How text may look.
    pub look: Look,
    /// Whether standard output is a terminal.
    pub terminal: bool,
}

impl Context {
    /// Looks at the terminal and the environment, once.
    pub fn new(global: Global) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten();
        let width = width.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let look = Look { width, colour: terminal && !dumb && !set("NO_COLOR"), zone: TimeZone::system() };
        Self { global, look, terminal }
    }

    /// Whether documents for programs are wanted.
    pub fn json(&self) -> bool {
        self.global.format == Format::Json
    }

    /// A client for the controller that the command line names.
    pub fn client(&self) -> Outcome<Client> {
        let Some(server) = &self.global.server else {
            return Ok(Client::unix(self.global.socket.clone().unwrap_or_else(|| PathBuf::from(SOCKET))));
        };
        let Some(credentials) = &self.global.credentials else {
            return Err(Failure::new(Exit::BadInput, "--server needs --credentials DIR, your certificate for it.")
                .advice("make it on the controller's machine: lifeboat operator create NAME --out DIR"));
        };
        Ok(Client::tls(server, credentials)?)
    }

    /// Writes text for a person to standard output.
    pub fn print(&self, text: &str) -> Outcome {
        write(text.as_bytes())
    }

    /// Writes a document to standard output.
    pub fn print_json(&self, value: &impl Serialize) -> Outcome {
        write(json_text(value)?.as_bytes())
    }

    /// Writes the document where documents are wanted, or else the text.
    pub fn show<T: Serialize>(&self, value: &T, text: impl FnOnce(&T, &Look) -> String) -> Outcome {
        if self.json() { self.print_json(value) } else { self.print(&text(value, &self.look)) }
    }

    /// Writes a document as one line to standard output.
    pub fn print_line(&self, value: &impl Serialize) -> Outcome {
        let line = serde_json::to_string(value).map_err(|error| Failure::caused(Exit::Failed, &error))?;
        write(format!("{line}\n").as_bytes())
    }
}

/// A value as an indented document with a line's end.
pub fn json_text(value: &impl Serialize) -> Outcome<String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::caused(Exit::Failed, &error))?;
    Ok(text + "\n")
}

fn write(bytes: &[u8]) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")),
    })
}

/// What time it is here.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
