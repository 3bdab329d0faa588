//! `lifeboat`: the one binary. It reads its command line, calls what lives in the other crates, and shows what came of
//! it: nothing is decided here.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`commands`] | one file a command |
//! | [`render`] | views to text, pure |
//! | [`context`] | how the controller is reached, and where text goes |
//! | [`span`] | spans of time on the command line |
//! | [`failure`] | what went wrong, with its exit code and the way out |

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod commands;
mod context;
mod failure;
mod render;
mod span;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
