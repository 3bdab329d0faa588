//! The lab's own processes, reached through hidden words of the one binary: `lifeboat lab internal WORDS…`. Nobody types them.

use std::path::Path;

use lifeboat_model::HostName;

use crate::{Lab, LabError, bmc, monitor, process::Enter, watch};

/// Runs a hidden entry: `args` is what follows `lifeboat lab internal`. Must be called before any runtime or thread is
/// started: it moves the process between namespaces.
///
/// | words | what they are |
/// | --- | --- |
/// | `enter JSON` | start a program in a cgroup and a network namespace |
/// | `chassis DIR HOST get power`, `chassis DIR HOST set power 0\|1` | what `ipmi_sim` runs |
/// | `redfish DIR` | the Redfish server |
/// | `watch DIR` | the watcher |
/// | `monitor DIR FILE` | the monitor |
///
/// # Errors
/// [`LabError`] when the words are not known, or the entry fails.
pub fn internal(args: &[String]) -> Result<(), LabError> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["enter", order] => {
            let order: Enter = serde_json::from_str(order).map_err(|error| LabError::Program {
                operation: "read an order".to_owned(),
                detail: error.to_string(),
            })?;
            order.run()
        }
        ["redfish", dir] => bmc::redfish::run(Lab::in_directory(Path::new(dir))?),
        ["watch", dir] => watch::run(&Lab::in_directory(Path::new(dir))?),
        ["monitor", dir, file] => monitor::run(&Lab::in_directory(Path::new(dir))?, file),
        ["chassis", dir, host, rest @ ..] => chassis(&Lab::in_directory(Path::new(dir))?, host, rest),
        _ => Err(LabError::Refused {
            operation: "run a process of the lab".to_owned(),
            why: "these words are not known; they are not for people: see `lifeboat lab --help`".to_owned(),
        }),
    }
}

/// Answers `ipmi_sim`. What it asks beside the power (boot device, identification) has no meaning here.
fn chassis(lab: &Lab, host: &str, words: &[&str]) -> Result<(), LabError> {
    let host = HostName::new(host).map_err(|error| LabError::BadOption {
        option: "host",
        value: host.to_owned(),
        why: error.to_string(),
    })?;
    match words {
        ["get", keys @ ..] => {
            for key in keys {
                let value = if *key == "power" { u8::from(lab.has_power(&host)?) } else { 0 };
                println!("{key}:{value}");
            }
            Ok(())
        }
        ["set", "power", "0", ..] => lab.power_off(&host),
        ["set", "power", _, ..] => lab.power_on(&host),
        _ => Ok(()),
    }
}
