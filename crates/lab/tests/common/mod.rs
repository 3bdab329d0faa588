//! A farm for one test, taken down when the test ends, however it ends.

use std::{path::PathBuf, process};

use lifeboat_lab::{Lab, LabOptions};

/// Whether the test may go on; says loudly when not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("\n*** SKIPPED: this test makes namespaces and cgroups; run it as root ***\n");
    }
    root
}

/// Takes a lab down when the test ends, however it ends.
pub struct Broom(pub String);

impl Drop for Broom {
    fn drop(&mut self) {
        if let Err(error) = Lab::down(&self.0) {
            eprintln!("{error}");
        }
    }
}

pub struct Farm {
    pub lab: Lab,
    pub options: LabOptions,
    _broom: Broom,
}

impl Farm {
    /// Options for a lab of no other test.
    pub fn options(hosts: usize, vms: usize) -> LabOptions {
        let name = format!("t{}", process::id());
        LabOptions {
            dir: Some(PathBuf::from("/tmp").join(format!("{name}-dir"))),
            name,
            hosts,
            vms,
            binary: env!("CARGO_BIN_EXE_lab-entry").into(),
            control_plane: false,
            ..LabOptions::default()
        }
    }

    pub fn up(hosts: usize, vms: usize) -> Self {
        let options = Self::options(hosts, vms);
        let broom = Broom(options.name.clone());
        let lab = Lab::up(&options, |_| ()).unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            panic!("the lab does not come up: {error}: {cause}")
        });
        Self { lab, options, _broom: broom }
    }
}
