//! The lab's hidden entries alone, for the lab's own tests: they run before there is a `lifeboat` to be tested. And a lab
//! that is brought up by a process that tests can kill: `lab-entry up NAME DIR`, and `lab-entry down NAME`.

use std::{env, path::PathBuf, process::ExitCode};

use lifeboat_lab::{Lab, LabError, LabOptions, Progress, internal};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["up", name, dir] => up(name, dir),
        ["down", name] => Lab::down(name).map(drop),
        _ => internal(words.get(2..).unwrap_or_default()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Brings a small lab up, a line for each step.
fn up(name: &str, dir: &str) -> Result<(), LabError> {
    let options = LabOptions {
        name: name.to_owned(),
        dir: Some(PathBuf::from(dir)),
        hosts: 2,
        vms: 2,
        binary: env::current_exe().unwrap_or_default(),
        control_plane: false,
        ..LabOptions::default()
    };
    Lab::up(&options, |progress| {
        if let Progress::Step(step) = progress {
            println!("{step}");
        }
    })?;
    println!("up");
    Ok(())
}
