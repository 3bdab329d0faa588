//! Checks of the repository that no compiler makes. `cargo xtask check-layers` holds the house's order: which crate may
//! use which.

use std::process::ExitCode;

mod layers;

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let checked = match command.as_deref() {
        Some("check-layers") => layers::check(),
        _ => Err(vec!["usage: cargo xtask check-layers".to_owned()]),
    };
    match checked {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            ExitCode::FAILURE
        }
    }
}
