//! Hosts whose BMC is dead with them: their lease is the proof.

mod farm;

use farm::{Farm, may_make_hosts, now};
use lifeboat_model::{HostName, spec::Isolation};

/// A lab whose hosts stop their VMs with their lease, each with its guard armed.
fn armed(name: &str, hosts: usize, vms: usize) -> Farm {
    let farm = Farm::up_with(name, hosts, vms, Isolation::Stop);
    farm.until(60, "every host has pledged to stop its VMs", |farm| {
        farm.lab.hosts().iter().all(|host| {
            let test: serde_json::Value =
                serde_json::from_str(&farm.printed(&["fence", "test", host.as_str(), "-o", "json"]))
                    .unwrap_or_default();
            let rungs = test["rungs"].as_array().cloned().unwrap_or_default();
            rungs.iter().any(|rung| rung["rung"] == "lease" && rung["works"] == true)
        })
    });
    farm
}

/// The rung that was the proof in the newest recovery of a host.
fn method(farm: &Farm, host: &HostName) -> String {
    let recoveries = farm.json(&["get", "recoveries"]);
    let rows = recoveries.as_array().cloned().unwrap_or_default();
    let row = rows.into_iter().find(|row| row["host"] == host.as_str()).expect("a recovery of it");
    row["fence"]["method"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn vms_of_a_host_that_lost_all_power_with_its_bmc_come_back_by_themselves() {
    if !may_make_hosts() {
        return;
    }
    let farm = armed("t-lease", 3, 3);
    let h1 = farm.lab.hosts()[0].clone();
    farm.lab.bmc(&h1, false).expect("the BMC goes deaf");
    let start = now();
    farm.lab.power_off(&h1).expect("the power is cut");
    farm.until(60, "it is declared failed", |farm| {
        farm.lab.cli(&["events"]).is_ok_and(|events| events.contains("h1 has failed"))
    });
    farm.until(90, "its VMs are back without a person", Farm::all_is_well);
    assert_eq!(method(&farm, &h1), "lease");
    for outage in farm.nothing_was_lost(start) {
        eprintln!("{outage:?}");
    }
    farm.keep_trace();
}

#[test]
fn a_hung_agent_keeps_no_vm_alive_past_its_lease() {
    if !may_make_hosts() {
        return;
    }
    let farm = armed("t-guard", 3, 3);
    let h1 = farm.lab.hosts()[0].clone();
    let start = now();
    farm.lab.bmc(&h1, false).expect("the BMC goes deaf");
    let agent = agent_of(&h1, &farm);
    rustix::process::kill_process(agent, rustix::process::Signal::STOP).expect("the agent is stopped");
    // Each look of `until` sees that no VM runs twice: the guard ends them before the controller starts them elsewhere.
    farm.until(60, "its VMs are gone from it", |farm| farm.vms_on(&h1) == 0);
    farm.until(90, "its VMs are elsewhere", |farm| {
        let status = farm.lab.status().expect("the lab can be looked at");
        status.vms.iter().all(|vm| vm.answer.is_some() && vm.hosts.len() == 1)
    });
    assert_eq!(method(&farm, &h1), "lease");
    rustix::process::kill_process(agent, rustix::process::Signal::CONT).expect("the agent goes on");
    farm.until(60, "the host is taken back", |farm| {
        let hosts = farm.json(&["get", "hosts"]);
        hosts.as_array().is_some_and(|rows| rows.iter().all(|row| row["condition"] == "up"))
    });
    farm.lab.bmc(&h1, true).expect("the BMC answers");
    farm.until(120, "all is well", Farm::all_is_well);
    farm.nothing_was_lost(start);
    farm.keep_trace();
}

/// The process of a host's agent.
fn agent_of(host: &HostName, farm: &Farm) -> rustix::process::Pid {
    let words = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mark = format!("/{host}/");
    let dir = farm.lab.dir().to_string_lossy().into_owned();
    let pids = std::fs::read_dir("/proc").expect("processes");
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let is_agent = |pid: &i32| {
        let words = words(pid);
        let words: Vec<String> =
            words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let config = words
            .iter()
            .any(|word| word.contains(&dir) && (word.contains(&mark) || word.contains(&format!("{host}."))));
        words.iter().any(|word| word == "agent") && config
    };
    let pid = pids.into_iter().find(is_agent).expect("its agent runs");
    rustix::process::Pid::from_raw(pid).expect("a process number")
}
