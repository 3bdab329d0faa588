//! Builds the guest's program: statically linked, with nothing but `std`, whatever this build's own target is linked to.

use std::{env, path::PathBuf, process::Command};

fn main() {
    for source in ["guest/main.rs", "src/guest/program.rs", "src/guest/record.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("guest");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let status = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"))
        .args(["--edition", "2024", "--crate-name", "lifeboat_guest", "--target", &target])
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"])
        .arg("-o")
        .arg(&output)
        .arg("guest/main.rs")
        .status()
        .expect("the compiler that cargo named can be run");
    assert!(status.success(), "the guest's program does not compile");
}
