//! `plan FLEET.json --fail PREFIX[,PREFIX…] [--effort N] [--seed N] [--scheme S] [--out PLAN.json]`: plans the loss of all
//! hosts whose names begin so, and prints the processor time without that of reading the file, and the classes.

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::Request;
use lifeboat_planner::{Options, Scheme};

#[path = "timing/mod.rs"]
mod timing;
use timing::cpu_ms;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
    let text = std::fs::read_to_string(&args[1]).expect("a fleet that can be read");
    let fleet = Fleet::from_json(&text).expect("a sound fleet");
    drop(text);
    let prefixes: Vec<String> = value("--fail").expect("--fail").split(',').map(str::to_owned).collect();
    let names = fleet.hosts.iter().map(|host| host.name.clone());
    let failed = names.filter(|host| prefixes.iter().any(|prefix| host.as_str().starts_with(prefix))).collect();
    let request = Request { failed, ..Request::default() };
    let mut options = Options::default();
    if let Some(effort) = value("--effort") {
        options.effort = effort.parse().expect("a number");
    }
    if let Some(seed) = value("--seed") {
        options.seed = seed.parse().expect("a number");
    }
    options.scheme = match value("--scheme").as_deref() {
        None | Some("lifeboat") => Scheme::Lifeboat,
        Some("serial") => Scheme::Serial,
        Some("parallel") => Scheme::Parallel,
        Some("paper") => Scheme::Paper,
        Some(other) => panic!("no scheme {other}"),
    };
    let begin = cpu_ms();
    let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
    let planned = cpu_ms() - begin;
    let begin = cpu_ms();
    let violations = lifeboat_plancheck::check(&fleet, &request, &plan);
    let checked = cpu_ms() - begin;
    for violation in violations.iter().take(5) {
        eprintln!("VIOLATION {violation}");
    }
    eprintln!(
        "plan {:.1} ms, check {:.1} ms, {} steps, {} unplaced, {} violations",
        planned,
        checked,
        plan.steps.len(),
        plan.unplaced.len(),
        violations.len()
    );
    let bounds = lifeboat_planner::explain::class_bounds(&fleet, &request, &plan).expect("bounds");
    for (class, bound) in plan.summary.classes.iter().zip(bounds) {
        let (ready, least) = (class.ready_s.as_f64(), class.lower_bound_s.as_f64());
        eprintln!("  {} {} VMs {ready} s, bound {least} s by {:?}", class.name, class.vms, bound.because);
    }
    if let Some(path) = value("--out") {
        std::fs::write(path, serde_json::to_vec(&plan).expect("JSON")).expect("a file that can be written");
    }
}
