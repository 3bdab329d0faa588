//! How soon a failure is noticed and mended, and what noticing costs. `make bench-liveness` runs it, with the simulator's part.
//!
//! `lab`: in a lab of 2 hosts, 5 VMs of one host lose it: its power is cut, it hangs, and its power goes with its BMC. `beats`:
//! a controller with 10,000 hosts whose agents do nothing but live.

#[path = "../support/mod.rs"]
mod support;

mod beats;
mod lab;

use support::Failure;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["lab"] => print!("{}", lab::run()?),
        ["beats"] => print!("{}", beats::run()?),
        [] => print!("{}\n{}", lab::run()?, beats::run()?),
        _ => return Err("usage: liveness [lab | beats]".into()),
    }
    Ok(())
}
