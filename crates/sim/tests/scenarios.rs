//! Every file in `scenarios/` holds, one test a file.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

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

/// Runs a file; whether it holds, and what there is to tell of it.
fn hold(path: &Path) -> (bool, String) {
    let scenario = match read(path) {
        Ok(scenario) => scenario,
        Err(problems) => return (false, problems.iter().map(|problem| format!("{problem}\n")).collect()),
    };
    let report = run(&scenario, None);
    let mut text = String::new();
    for line in &report.timeline {
        let _ = writeln!(
            text,
            "{:9.3} {:8} {}",
            line.t,
            line.severity.map_or(String::new(), |it| format!("{it:?}")),
            line.text
        );
    }
    for (vm, hosts) in &report.hosts {
        let _ = write!(text, "{vm}: {} ", hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "));
    }
    let _ = writeln!(text);
    for line in report.broken.iter().map(ToString::to_string).chain(report.unmet.iter().cloned()) {
        let _ = writeln!(text, "{line}");
    }
    (report.is_good(), text)
}

/// A small runner of its own: one test a file, listed and chosen as `cargo test` and `cargo nextest` ask, on all cores.
/// With `--nocapture` it tells what happened in each.
fn main() -> ExitCode {
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
        return ExitCode::SUCCESS;
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((name, path)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (good, text) = hold(path);
            if !good {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            let text = if good && !has("--nocapture") { String::new() } else { format!("\n{text}") };
            println!("test {name} ... {}{text}", if good { "ok" } else { "FAILED" });
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(files.len()) {
            scope.spawn(work);
        }
    });
    let failed = failed.load(Ordering::Relaxed);
    println!("{}, {failed} failed", lifeboat_model::text::count(files.len(), "scenario"));
    ExitCode::from(u8::from(failed > 0))
}
