//! Every file in `scenarios/` holds, one test a file.

use std::path::{Path, PathBuf};

use lifeboat_sim::scenario::{read, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// Files of scenarios, by theme and name.
fn files() -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for theme in std::fs::read_dir(folder()).expect("scenarios/").flatten() {
        for file in std::fs::read_dir(theme.path()).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|end| end == "toml") {
                let theme = theme.file_name().to_string_lossy().into_owned();
                files.push((format!("{theme}/{}", file.file_name().to_string_lossy()), file.path()));
            }
        }
    }
    files.sort();
    files
}

fn hold(path: &Path) -> Result<(), String> {
    let problems = |problems: Vec<lifeboat_sim::scenario::Problem>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let scenario = read(path).map_err(problems)?;
    let report = run(&scenario, None);
    if report.is_good() {
        return Ok(());
    }
    let mut text: Vec<String> = report.timeline.iter().map(|line| format!("{:9.3} {}", line.t, line.text)).collect();
    text.extend(report.broken.iter().map(ToString::to_string));
    text.extend(report.unmet);
    Err(text.join("\n"))
}

/// A small runner of its own: one test a file, listed and chosen as `cargo test` and `cargo nextest` ask.
fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-') && *arg != "terse").collect();
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| if has("--exact") { name == *filter } else { name.contains(*filter) })
    };
    let files: Vec<_> = files().into_iter().filter(|(name, _)| wanted(name)).collect();
    if has("--list") {
        if !has("--ignored") {
            files.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return std::process::ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, path) in &files {
        match hold(path) {
            Ok(()) => println!("test {name} ... ok"),
            Err(text) => {
                failed += 1;
                println!("test {name} ... FAILED\n{text}");
            }
        }
    }
    println!("{} scenarios, {failed} failed", files.len());
    std::process::ExitCode::from(u8::from(failed > 0))
}
