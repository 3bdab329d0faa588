//! `lifeboat recover HOST --confirm-off`: an operator's word as the last rung of fencing.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use lifeboat_model::HostName;

use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render::wrap::hanging,
};

const HELP: &str = "\
A failed host's VMs are started elsewhere only when it is sure that the host can no longer run them. Where its BMC does not \
answer, that may be your word alone. With it you say: I have looked, this host has no power, and it stays off until it is \
mended. If it is not so, its VMs run twice and destroy their volumes.

It is taken for a host that was declared failed and is being fenced; otherwise it is refused.

Examples:
  lifeboat recover h2 --confirm-off          asks you to type the host's name
  lifeboat recover h2 --confirm-off --yes    for scripts that have cut the power themselves, and read it back";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The failed host
    host: HostName,
    /// You know that the host has no power
    #[arg(long, required = true)]
    confirm_off: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let host = &arguments.host;
    let client = context.client()?;
    if !arguments.yes {
        ask(context, host)?;
    }
    let confirmed = client.confirm_off(host).await?;
    context.show(&confirmed, |confirmed, _| {
        format!(
            " {} counts as off by your word; recovery {} goes on.\n   → lifeboat recoveries watch {}\n",
            confirmed.host, confirmed.recovery, confirmed.recovery
        )
    })
}

fn ask(context: &Context, host: &HostName) -> Outcome {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(Exit::BadInput, "There is no terminal to ask for confirmation.")
            .advice(format!("if you know that {host} has no power, add --yes")));
    }
    let text = format!(
        "You are about to say that {host} has no power, and stays off until it is mended. Its VMs will be started elsewhere. \
         If {host} still runs, they run twice and destroy their volumes. Look at the machine, or at its power supply, first."
    );
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot ask: {error}"));
    let mut terminal = std::io::stderr();
    let question = hanging(" ", &text, &context.look) + &format!("\n Type {host} to confirm: ");
    terminal.write_all(question.as_bytes()).and_then(|()| terminal.flush()).map_err(failed)?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(failed)?;
    if answer.trim() == host.as_str() {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "That is not its name. Nothing was done."))
}
