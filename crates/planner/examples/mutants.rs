//! `mutants DIR SEEDS`: writes random fleets, their plans and spoiled ones into a directory, with what the checker says of
//! each (`ok` or `bad`), one line a plan on standard output: so that another checker can be held against it.

use std::path::Path;

#[path = "../tests/fleets/mod.rs"]
mod fleets;
#[path = "../tests/mutants/mod.rs"]
mod mutants;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dir = Path::new(&args[1]);
    let seeds: u64 = args[2].parse().expect("a number of seeds");
    for seed in 0..seeds {
        let (fleet, mut request) = fleets::random(seed);
        // What a request says beside the failed hosts is not in the documents, and another checker cannot know it.
        request.place.clear();
        request.avoid.clear();
        let options = lifeboat_planner::Options { effort: 3000, ..lifeboat_planner::Options::default() };
        let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
        let mut dice = fleets::Dice(seed ^ 77);
        let mut all = vec![("as planned", plan.clone())];
        all.extend(mutants::broken(&fleet, &plan));
        all.extend(mutants::doubtful(&fleet, &plan, &mut |end| dice.below(end as u64) as usize));
        let fleet_file = dir.join(format!("fleet-{seed}.json"));
        std::fs::write(&fleet_file, serde_json::to_vec(&fleet).expect("JSON")).expect("a file");
        for (at, (how, plan)) in all.iter().enumerate() {
            let violations = lifeboat_plancheck::check(&fleet, &request, plan);
            let file = dir.join(format!("plan-{seed}-{at}.json"));
            std::fs::write(&file, serde_json::to_vec(plan).expect("JSON")).expect("a file");
            let said = if violations.is_empty() { "ok" } else { "bad" };
            let first = violations.first().map(ToString::to_string).unwrap_or_default();
            println!("{said}\t{}\t{}\t{how}\t{first}", fleet_file.display(), file.display());
        }
    }
}
