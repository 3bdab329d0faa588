//! `speed FLEET.json`: processor time of planning the loss of one host, of a drill of every host, and of rolling groups,
//! without that of reading the file.

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::Request;
use lifeboat_planner::drill::By;
use lifeboat_planner::{Options, drill, rolling};

#[path = "timing/mod.rs"]
mod timing;
use timing::cpu_ms;

fn main() {
    let path = std::env::args().nth(1).expect("a fleet");
    let fleet = Fleet::from_json(&std::fs::read_to_string(path).expect("a file")).expect("a sound fleet");
    let options = Options::default();
    let request = Request { failed: vec![fleet.hosts[fleet.hosts.len() / 2].name.clone()], ..Request::default() };
    let (ms, plan) = timed(|| lifeboat_planner::plan(&fleet, &request, &options).expect("a plan"));
    println!("one host: {ms:.1} ms, {} VMs placed", plan.placements.len());
    let (ms, found) = timed(|| rolling(&fleet).expect("groups"));
    println!("rolling groups: {ms:.1} ms, {} groups, {} stuck", found.groups.len(), found.stuck.len());
    let (ms, answer) = timed(|| drill(&fleet, &By::Host, 1, &options).expect("a drill"));
    let out: usize = answer.what_ifs.iter().map(|what_if| what_if.unplaced.len()).sum();
    println!("drill: {ms:.1} ms, {} what-ifs, {out} VMs out, survives {}", answer.what_ifs.len(), answer.survives);
}

/// Processor time of this thread, in milliseconds.
fn timed<T>(what: impl FnOnce() -> T) -> (f64, T) {
    let begin = cpu_ms();
    let value = what();
    (cpu_ms() - begin, value)
}
