//! One file a command: its arguments with their help, and what it does.

use crate::{
    cli::{Cli, Command},
    context::Context,
    failure::{Exit, Failure, Outcome},
};

pub mod agent;
pub mod apply;
pub mod completions;
pub mod controller;
pub mod daemon;
pub mod delete;
pub mod drain;
pub mod drill;
pub mod events;
pub mod export;
pub mod failback;
pub mod fence;
pub mod file;
pub mod get;
pub mod guard;
pub mod host;
pub mod lab;
pub mod maintenance;
pub mod notify;
pub mod operator;
pub mod plan;
pub mod recover;
pub mod recoveries;
pub mod rolling;
pub mod rules;
pub mod sim;
pub mod status;
pub mod token;
pub mod trace;
pub mod vm;
pub mod watch;
pub mod what_if;

/// Does what the command line says.
pub fn run(cli: Cli) -> Outcome {
    let context = Context::new(cli.global);
    match cli.command {
        // The daemons and the lab have runtimes of their own, or none.
        Command::Controller(it) => controller::run(&it),
        Command::Agent(it) => agent::run(&it),
        Command::Guard(it) => guard::run(it),
        Command::Lab(it) => lab::run(&context, it),
        Command::Sim(it) => sim::run(&context, &it),
        Command::Completions(it) => completions::run(&context, &it),
        Command::Status(it) => wait_for(status::run(&context, &it)),
        Command::Apply(it) => wait_for(apply::run(&context, &it)),
        Command::Get(it) => wait_for(get::run(&context, &it)),
        Command::Host(it) => wait_for(host::run(&context, &it)),
        Command::Plan(it) => wait_for(plan::run(&context, &it)),
        Command::Drill(it) => wait_for(drill::run(&context, &it)),
        Command::Rolling(it) => wait_for(rolling::run(&context, &it)),
        Command::Rules(it) => wait_for(rules::run(&context, &it)),
        Command::Fence(it) => wait_for(fence::run(&context, &it)),
        Command::Recover(it) => wait_for(recover::run(&context, &it)),
        Command::Maintenance(it) => wait_for(maintenance::run(&context, &it)),
        Command::Failback(it) => wait_for(failback::run(&context, &it)),
        Command::Drain(it) => wait_for(drain::run(&context, &it)),
        Command::Recoveries(it) => wait_for(recoveries::run(&context, &it)),
        Command::Vm(it) => wait_for(vm::run(&context, &it)),
        Command::Notify(it) => wait_for(notify::run(&context, &it)),
        Command::Events(it) => wait_for(events::run(&context, &it)),
        Command::Trace(it) => wait_for(trace::run(&context, &it)),
        Command::Delete(it) => wait_for(delete::run(&context, &it)),
        Command::Export(it) => wait_for(export::run(&context, &it)),
        Command::Token(it) => wait_for(token::run(&context, &it)),
        Command::Operator(it) => wait_for(operator::run(&context, &it)),
    }
}

/// Runs what asks the controller to its end.
pub fn wait_for<T>(command: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(command)
}
