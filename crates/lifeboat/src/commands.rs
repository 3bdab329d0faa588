//! One file a command: its arguments with their help, and what it does.

use crate::{
    cli::{Cli, Command},
    context::Context,
    failure::{Exit, Failure, Outcome},
};

pub mod apply;
pub mod completions;
pub mod delete;
pub mod events;
pub mod export;
pub mod file;
pub mod get;
pub mod operator;
pub mod plan;
pub mod recover;
pub mod recoveries;
pub mod status;
pub mod token;
pub mod trace;
pub mod vm;
pub mod watch;

/// Does what the command line says.
pub fn run(cli: Cli) -> Outcome {
    let context = Context::new(cli.global);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match cli.command {
            Command::Status(it) => status::run(&context, &it).await,
            Command::Apply(it) => apply::run(&context, &it).await,
            Command::Get(it) => get::run(&context, &it).await,
            Command::Plan(it) => plan::run(&context, &it).await,
            Command::Recover(it) => recover::run(&context, &it).await,
            Command::Recoveries(it) => recoveries::run(&context, &it).await,
            Command::Vm(it) => vm::run(&context, &it).await,
            Command::Events(it) => events::run(&context, &it).await,
            Command::Trace(it) => trace::run(&context, &it).await,
            Command::Delete(it) => delete::run(&context, &it).await,
            Command::Export(it) => export::run(&context, &it).await,
            Command::Token(it) => token::run(&context, &it).await,
            Command::Operator(it) => operator::run(&context, &it).await,
            Command::Completions(it) => completions::run(&context, &it),
        }
    })
}
