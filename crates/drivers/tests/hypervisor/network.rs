//! Network cards, in a network namespace that goes away with the test's thread.

use std::process::Command;

use lifeboat_model::spec::NicSpec;
use lifeboat_ports::{Hypervisor as _, StopHow};

use crate::bench::Bench;

fn ip(words: &str) -> String {
    let told = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(told.status.success(), "ip {words}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

/// Puts this thread, and all that it makes, into a network namespace of its own; false where that is not allowed.
fn alone() -> bool {
    let allowed = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
    if let Err(error) = allowed {
        eprintln!("not run: a network namespace needs root ({error})");
    }
    allowed.is_ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn each_card_has_a_tap_on_its_bridge_for_as_long_as_the_vm_runs() {
    if !alone() {
        return;
    }
    ip("link add br0 type bridge");
    ip("link add br1 type bridge");
    runtime().block_on(async {
        let bench = Bench::new();
        let mut config = bench.idle("web");
        for (bridge, mac) in [("br0", "52:54:00:00:00:01"), ("br1", "52:54:00:00:00:02")] {
            config.machine.nics.push(NicSpec { bridge: bridge.into(), mac: mac.into() });
        }
        let qemu = bench.qemu().await;
        qemu.configure(&config).await.unwrap();
        for _ in 0..2 {
            qemu.start(&config.vm, config.generation).await.unwrap();
            for bridge in ["br0", "br1"] {
                let links = ip(&format!("-o link show master {bridge}"));
                assert_eq!((links.lines().count(), links.contains("UP")), (1, true), "{links}");
            }
            qemu.stop(&config.vm, StopHow::Kill).await.unwrap();
            assert!(!ip("-o link").contains("lb"), "its taps are gone with it");
        }
    });
}

#[test]
fn a_missing_bridge_is_told_and_leaves_no_tap() {
    if !alone() {
        return;
    }
    ip("link add br0 type bridge");
    runtime().block_on(async {
        let bench = Bench::new();
        let mut config = bench.idle("web");
        config.machine.nics = vec![NicSpec { bridge: "br0".into(), mac: "52:54:00:00:00:01".into() }];
        let qemu = bench.qemu().await;
        qemu.configure(&config).await.unwrap();
        ip("link del br0");
        let error = qemu.start(&config.vm, config.generation).await.unwrap_err().to_string();
        assert!(error.contains("br0"), "{error}");
        assert!(!ip("-o link").contains("lb"));
        let error = qemu.configure(&config).await.unwrap_err().to_string();
        assert!(error.contains("no bridge `br0`"), "{error}");
    });
}
