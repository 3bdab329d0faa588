//! Real hosts, real QEMU, real storage, real fences: what must hold when they fail.

mod farm;

use farm::{Farm, may_make_hosts, now};

#[test]
fn a_dead_bmc_holds_everything_up_until_it_is_back() {
    if !may_make_hosts() {
        return;
    }
    let farm = Farm::up("t-bmc", 2, 2);
    let h1 = farm.lab.hosts()[0].clone();
    let start = now();
    farm.lab.bmc(&h1, false).expect("the BMC goes deaf");
    farm.lab.power_off(&h1).expect("the power is cut");
    farm.until(120, "the recovery says what it waits for", |farm| {
        let recoveries = farm.json(&["get", "recoveries"]);
        recoveries[0]["fence"]["waits_for"].as_str().is_some()
    });
    let status = farm.printed(&["status"]);
    assert!(status.contains("--confirm-off"), "the screen says what an operator can do:\n{status}");
    assert_eq!(farm.vms_on(&farm.lab.hosts()[1]), 1, "nothing of {h1} was started");
    farm.lab.bmc(&h1, true).expect("the BMC is back");
    farm.until(120, "it goes on by itself", Farm::all_is_well);
    farm.nothing_was_lost(start);
    farm.keep_trace();
}

#[test]
fn an_operators_word_lets_a_recovery_go_on() {
    if !may_make_hosts() {
        return;
    }
    let farm = Farm::up("t-word", 2, 2);
    let h1 = farm.lab.hosts()[0].clone();
    let refused = farm.lab.cli(&["recover", h1.as_str(), "--confirm-off", "--yes"]).expect_err("h1 is up");
    assert!(refused.to_string().contains("is up"), "{refused}");
    let start = now();
    farm.lab.bmc(&h1, false).expect("the BMC goes deaf");
    farm.lab.power_off(&h1).expect("the power is cut");
    farm.until(60, "the host is declared failed", |farm| {
        farm.json(&["get", "hosts"]).as_array().is_some_and(|rows| rows.iter().any(|row| row["condition"] == "failed"))
    });
    farm.lab.cli(&["recover", h1.as_str(), "--confirm-off", "--yes"]).expect("the word is taken");
    farm.until(120, "the VMs are back", Farm::all_is_well);
    farm.nothing_was_lost(start);
    farm.keep_trace();
}

#[test]
fn a_vm_that_dies_alone_is_restarted_in_place_and_a_killed_agent_keeps_its_vms() {
    if !may_make_hosts() {
        return;
    }
    let farm = Farm::up("t-alone", 2, 2);
    let start = now();
    let vm = farm.lab.vms()[0].clone();
    let was = farm.where_is(&vm);
    assert_eq!(farm.lab.kill_vm(&vm).expect("its process is killed"), was);
    farm.until(10, "its death is seen", |farm| {
        farm.lab.cli(&["events"]).is_ok_and(|events| events.contains("has failed: it died"))
    });
    farm.until(120, "it is back", Farm::all_is_well);
    assert_eq!(farm.where_is(&vm), was, "it was restarted in place");

    farm.lab.cli(&["vm", "stop", vm.as_str()]).expect("it is stopped");
    farm.until(60, "its process is gone", |farm| farm.where_is(&vm).is_empty());
    farm.lab.cli(&["vm", "start", vm.as_str()]).expect("it is started");
    farm.until(120, "it is back again", Farm::all_is_well);
    farm.nothing_was_lost(start);
    farm.keep_trace();
}

#[test]
fn a_host_without_its_cable_is_fenced_and_starts_nothing_when_it_is_back() {
    if !may_make_hosts() {
        return;
    }
    let farm = Farm::up("t-cable", 3, 3);
    let h1 = farm.lab.hosts()[0].clone();
    let start = now();
    farm.lab.cut(&h1).expect("the cable is cut");
    farm.until(60, "it is declared failed", |farm| {
        farm.lab.cli(&["events"]).is_ok_and(|events| events.contains("h1 has failed"))
    });
    farm.until(180, "its VMs are elsewhere", Farm::all_is_well);
    assert!(!farm.lab.has_power(&h1).expect("the BMC says"), "it was cut off by its BMC");
    farm.power_on_all();
    assert_eq!(farm.vms_on(&h1), 0, "it started nothing by itself");
    farm.until(60, "all is well", Farm::all_is_well);
    farm.nothing_was_lost(start);
    farm.keep_trace();
}
