//! A real guard over real processes that hold VMs' locks.

use std::process::{Child, Command};

use super::*;

/// A process that holds the lock of a VM as its QEMU would.
fn vm(options: &GuardOptions, name: &str) -> Child {
    let dir = options.qemu_run_dir.join("vms").join(name);
    fs::create_dir_all(&dir).unwrap();
    let script = format!("exec 3>>'{}'; exec sleep 1000", dir.join("lock").display());
    let child = Command::new("sh").arg("-c").arg(script).spawn().unwrap();
    let held = || {
        fs::read_link(format!("/proc/{}/exe", child.id()))
            .is_ok_and(|exe| !exe.ends_with("dash") && exe.to_string_lossy().contains("sleep"))
    };
    while !held() {
        thread::yield_now();
    }
    child
}

fn directories() -> (tempfile::TempDir, GuardOptions) {
    let root = tempfile::tempdir().unwrap();
    let options =
        GuardOptions { run_dir: root.path().join("run"), qemu_run_dir: root.path().join("qemu"), watchdog: None };
    fs::create_dir_all(&options.run_dir).unwrap();
    (root, options)
}

fn in_ms(ms: u64) -> Option<u64> {
    Some(boottime_ns() + ms * 1_000_000)
}

#[test]
fn a_lease_that_is_not_renewed_ends_every_vm_and_a_renewed_one_none() {
    let (_root, options) = directories();
    let (watch, earlier) = GuardWatch::open(options.clone(), None).unwrap();
    assert_eq!(earlier, None);
    watch.tell(in_ms(60_000));
    let (mut one, mut two) = (vm(&options, "one"), vm(&options, "two"));
    let guarding = thread::spawn({
        let options = options.clone();
        move || guard(&options)
    });
    // Its beat says that it has looked at the lease.
    while files::read_beat(&options.run_dir).is_none() {
        thread::yield_now();
    }
    assert!(one.try_wait().unwrap().is_none(), "a lease that runs ends nothing");
    watch.tell(in_ms(0));
    assert!(!one.wait().unwrap().success() && !two.wait().unwrap().success());
    // What comes to run while it is over is killed too.
    assert!(!vm(&options, "three").wait().unwrap().success());
    fs::remove_dir_all(&options.run_dir).unwrap();
    guarding.join().unwrap().unwrap();
}

#[test]
fn the_end_of_a_lease_outlives_the_agent_and_a_second_guard_ends_at_once() {
    let (_root, options) = directories();
    let until = in_ms(60_000);
    GuardWatch::open(options.clone(), None).unwrap().0.tell(until);
    let (_next, earlier) = GuardWatch::open(options.clone(), None).unwrap();
    assert_eq!(earlier, until);
    let lock = File::create(options.run_dir.join("guard.lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    guard(&options).unwrap();
    assert_eq!(files::read_beat(&options.run_dir), None);
}
