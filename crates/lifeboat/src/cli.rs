//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all is well
  1  the operation failed, or what was asked about is not well (status: somebody must act;
     plan, drill, recoveries watch: a VM has no place; rolling: a host cannot be emptied;
     fence test: only an operator's word is left; sim: a promise or an expectation does not hold)
  2  the command line, a file or a value is wrong; nothing was changed
  3  the controller cannot be reached, or is not ready
  4  refused as things stand (still in use, not failed, not allowed)
  5  it names what does not exist

`lifeboat COMMAND --help` shows examples.";

/// Keeps virtual machines running: when a host fails, its VMs come back elsewhere.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, after_help = EXIT_CODES, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How output looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The controller's Unix socket [default: /run/lifeboat/controller.sock]
    #[arg(long, global = true, env = "LIFEBOAT_SOCKET", value_name = "PATH", help_heading = "Controller")]
    pub socket: Option<PathBuf>,
    /// The controller over TLS, instead of its socket
    #[arg(long, global = true, env = "LIFEBOAT_SERVER", value_name = "HOST:PORT", help_heading = "Controller")]
    pub server: Option<String>,
    /// Directory with your certificate for --server, from `lifeboat operator create`
    #[arg(long, global = true, env = "LIFEBOAT_CREDENTIALS", value_name = "DIR", help_heading = "Controller")]
    pub credentials: Option<PathBuf>,
    /// Output for people (table) or for programs (json)
    #[arg(short = 'o', long = "format", global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show on one screen how the fleet is
    Status(commands::status::Arguments),
    /// Declare classes, hosts, arrays, volumes, VMs, groups and rules from files
    Apply(commands::apply::Arguments),
    /// List hosts, VMs, volumes or recoveries
    Get(commands::get::Arguments),
    /// Look at one host closely: evidence, hardware; or announce on it that it leaves
    Host(commands::host::Arguments),
    /// Plan for the failure of hosts, and change nothing
    Plan(commands::plan::Arguments),
    /// Plan for the failure of each host, rack or site, and say what would not come back
    Drill(commands::drill::Arguments),
    /// Say which hosts can be down together for a reboot
    Rolling(commands::rolling::Arguments),
    /// Derive class, importance and start order from what VMs are: begin a rules file, and test it
    Rules(commands::rules::Arguments),
    /// Try in peace whether hosts could be fenced
    Fence(commands::fence::Arguments),
    /// Say, as the last resort of fencing, that a failed host has no power
    Recover(commands::recover::Arguments),
    /// Keep a host from getting VMs, or let it have them again
    Maintenance(commands::maintenance::Arguments),
    /// Bring the VMs that a host lost back to it
    Failback(commands::failback::Arguments),
    /// Empty a host: its VMs move elsewhere, and it gets no new ones
    Drain(commands::drain::Arguments),
    /// Watch a recovery as it runs
    Recoveries(commands::recoveries::Arguments),
    /// Start, stop, restart, disable or enable VMs
    Vm(commands::vm::Arguments),
    /// List who is told what happens, and test them
    Notify(commands::notify::Arguments),
    /// Show what happened
    Events(commands::events::Arguments),
    /// Write what really happened as trace/v1
    Trace(commands::trace::Arguments),
    /// Delete a declared thing
    Delete(commands::delete::Arguments),
    /// Write the fleet as it is now as fleet/v1
    Export(commands::export::Arguments),
    /// Make a one-time token with which a host's agent joins
    Token(commands::token::Arguments),
    /// Make a certificate with which an operator uses --server
    Operator(commands::operator::Arguments),
    /// Run the controller of a fleet
    Controller(commands::controller::Arguments),
    /// Run the agent of a host
    Agent(commands::agent::Arguments),
    /// Not for people: started by the agent
    #[command(hide = true)]
    Guard(commands::guard::Arguments),
    /// Try it all out on a farm of hosts on this machine
    Lab(commands::lab::Arguments),
    /// Try it all out in a virtual world: scenarios of failures
    Sim(commands::sim::Arguments),
    /// Write a completion script for a shell
    Completions(commands::completions::Arguments),
}
