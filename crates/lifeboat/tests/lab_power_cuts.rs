//! Power cuts in a row: some during a recovery, some hitting the destination, some with the controller killed in between.
//!
//! `LIFEBOAT_POWER_CUTS` says how many (5 by default).

mod farm;

use farm::{Farm, may_make_hosts, now};

/// What is done beside cutting one host's power.
#[derive(Clone, Copy, Debug)]
enum Also {
    Nothing,
    /// A destination loses its power while VMs start there.
    Destination,
    /// The controller is killed when the host is declared failed, and started again.
    Controller,
    /// The host hangs instead of losing its power.
    Hang,
    /// The controller is killed while VMs start.
    ControllerLate,
}

const KINDS: [Also; 5] = [Also::Nothing, Also::Destination, Also::Controller, Also::Hang, Also::ControllerLate];

#[test]
fn power_cuts_in_a_row_run_no_vm_twice_and_lose_nothing() {
    if !may_make_hosts() {
        return;
    }
    let cuts = std::env::var("LIFEBOAT_POWER_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(KINDS.len());
    let farm = Farm::up("t-cuts", 4, 6);
    let start = now();
    for round in 0..cuts {
        let also = KINDS[round % KINDS.len()];
        let host = farm.lab.hosts()[round % 4].clone();
        let events = format!("{host} has failed");
        let before = count(&farm, &events);
        eprintln!("round {round}: {host}, {also:?}, {} VMs there", farm.vms_on(&host));
        if matches!(also, Also::Hang) {
            farm.lab.hang(&host).expect("the host hangs");
        } else {
            farm.lab.power_off(&host).expect("the power is cut");
        }
        farm.until(30, "it is declared failed", |farm| count(farm, &events) > before);
        match also {
            Also::Nothing | Also::Hang => {}
            Also::Controller => restart_controller(&farm),
            Also::Destination => {
                farm.until(60, "a VM starts elsewhere", starting);
                let next = farm.lab.hosts()[(round + 1) % 4].clone();
                farm.lab.power_off(&next).expect("the power is cut");
                let events = format!("{next} has failed");
                farm.until(30, "it is declared failed too", |farm| count(farm, &events) > 0);
            }
            Also::ControllerLate => {
                farm.until(60, "a VM starts elsewhere", starting);
                restart_controller(&farm);
            }
        }
        farm.until(240, "every VM is back", Farm::all_is_well);
        farm.power_on_all();
    }
    farm.nothing_was_lost(start);
    farm.keep_trace();
}

fn count(farm: &Farm, text: &str) -> usize {
    farm.lab.cli(&["events"]).map(|events| events.matches(text).count()).unwrap_or_default()
}

fn starting(farm: &Farm) -> bool {
    farm.json(&["get", "vms"]).as_array().is_some_and(|rows| rows.iter().any(|row| row["phase"] == "starting"))
        || farm.settled()
}

fn restart_controller(farm: &Farm) {
    farm.lab.kill_controller().expect("the controller is killed");
    farm.look();
    farm.lab.start_controller().expect("the controller starts again");
}
