//! What the benchmarks share: the binary that is measured, a controller as a process, sizes, tables.
#![allow(dead_code, reason = "each benchmark uses another part")]

pub mod agent;
pub mod controller;
pub mod farm;
pub mod table;

use std::{env, error::Error, fs, path::PathBuf};

/// Whatever stops a benchmark.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The binary that is measured: `LIFEBOAT_BENCH_BINARY`, or the one that was built beside the benchmark.
pub fn binary() -> PathBuf {
    env::var_os("LIFEBOAT_BENCH_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_lifeboat").into(), PathBuf::from)
}

/// Resident memory of a process in MiB, now and at its highest.
pub fn resident_mib(process: u32) -> Result<(f64, f64), Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("process {process} has no {name}"))
    };
    Ok((field("VmRSS")?, field("VmHWM")?))
}

/// The middle one; of an even number the upper middle one. Nothing of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
