//! The lab without a controller: hosts, power, BMCs, storage, guests, watcher, and what `down` leaves.

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::{Broom, Farm, is_root};
use lifeboat_lab::{Lab, LabError, LabOptions, guest::GuestImage};
use lifeboat_model::{HostName, VmName, trace::What};

fn h1() -> HostName {
    HostName::new("h1").expect("name")
}

fn vm1() -> VmName {
    VmName::new("vm-1").expect("name")
}

/// Looks until it is so. A lab's processes tell nobody of what happens to them.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What of a lab there is on this machine.
fn traces_of(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let here = |folder: &str, is: &dyn Fn(&str) -> bool| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|file| is(file)).map(|file| format!("{folder}/{file}")).collect()
    };
    found.extend(here("/run/netns", &|file| file.starts_with(&format!("lifeboat.{name}."))));
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        found.extend(here(root, &|file| file == format!("lifeboat-lab.{name}")));
    }
    found.extend(here("/run/lifeboat-lab", &|file| file.split('.').next() == Some(name)));
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("/{name}-dir")) {
            found.push(line);
        }
    }
    let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
    found.extend(mounts.lines().filter(|line| line.contains(&format!("lifeboat.{name}."))).map(str::to_owned));
    found
}

#[test]
fn down_leaves_nothing_and_may_be_repeated() {
    if !is_root() {
        return;
    }
    let farm = Farm::up(2, 2);
    let (name, dir) = (farm.lab.name().to_owned(), farm.lab.dir().to_owned());
    assert!(!traces_of(&name).is_empty(), "the test sees a lab that is up");
    assert!(matches!(Lab::up(&farm.options, |_| ()), Err(LabError::Exists { .. })));
    assert!(Lab::down(&name).expect("down"));
    assert_eq!(traces_of(&name), Vec::<String>::new());
    assert!(!dir.exists());
    assert!(!Lab::down(&name).expect("down again"), "there was nothing left");
    assert!(matches!(Lab::open(&name), Err(LabError::Unknown { .. })));
}

#[test]
fn an_up_that_fails_half_way_leaves_nothing() {
    if !is_root() {
        return;
    }
    let mut options = Farm::options(2, 1);
    let _broom = Broom(options.name.clone());
    // It brings up everything that is below the controller, and then has no binary that is one.
    options.control_plane = true;
    let error = Lab::up(&options, |_| ()).expect_err("the test's binary is no controller");
    assert!(error.to_string().contains("controller"), "{error}");
    assert_eq!(traces_of(&options.name), Vec::<String>::new());
    assert!(!options.dir.expect("dir").exists());
}

#[test]
fn down_leaves_nothing_of_an_up_that_was_killed_half_way() {
    if !is_root() {
        return;
    }
    let options = Farm::options(2, 2);
    let _broom = Broom(options.name.clone());
    let dir = options.dir.clone().expect("dir");
    // Told once, so that the steps are the same each time.
    GuestImage::in_cache(&options.cache, &|_| ())
        .and_then(|image| image.accelerator(&options.cache, &|_| ()))
        .expect("image");
    for steps in 1..=3 {
        let mut command = Command::new(&options.binary);
        command.args(["up", &options.name]).arg(&dir).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start");
        let lines = BufReader::new(child.stdout.take().expect("output")).lines();
        let last = lines.take(steps).last().expect("a step").expect("a line");
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(Lab::down(&options.name).expect("down"), "killed after `{last}`, there was something");
        assert_eq!(traces_of(&options.name), Vec::<String>::new(), "killed after `{last}`");
        assert!(!dir.exists(), "killed after `{last}`");
    }
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    if !is_root() {
        return;
    }
    let options = Farm::options(1, 0);
    let _broom = Broom(options.name.clone());
    let dir = options.dir.clone().expect("dir");
    fs::create_dir_all(&dir).expect("make");
    fs::write(dir.join("thesis.tex"), "years of work").expect("write");
    assert!(matches!(Lab::up(&options, |_| ()), Err(LabError::ForeignDirectory(_))));
    Lab::down(&options.name).expect("down");
    assert!(dir.join("thesis.tex").exists());
    fs::remove_dir_all(&dir).expect("remove");
}

#[test]
fn a_power_cut_kills_all_of_a_host_also_while_it_hangs() {
    if !is_root() {
        return;
    }
    let farm = Farm::up(2, 0);
    let (lab, host) = (&farm.lab, h1());
    let boot = || fs::read_to_string(format!("/run/lifeboat-lab/{}/h1/boot_id", lab.name())).ok();
    for hangs in [false, true] {
        let first_boot = boot().expect("a host that is on is in a boot");
        let words = ["setsid", "sh", "-c", "trap '' TERM HUP; sleep 1001 & sleep 1002"];
        lab.run_on(&host, words.map(str::to_owned).into()).expect("start");
        if hangs {
            lab.hang(&host).expect("hang");
        }
        lab.power_off(&host).expect("cut");
        assert!(!lab.has_power(&host).expect("look"));
        assert_eq!(boot(), None, "what was in RAM is gone");
        lab.power_off(&host).expect("cutting it twice is nothing");
        lab.power_on(&host).expect("on");
        assert!(lab.has_power(&host).expect("look"));
        assert!(!lab.status().expect("status").hosts[0].hung, "a host that comes back does not hang");
        assert_ne!(boot(), Some(first_boot), "it is another boot");
    }
    assert!(lab.has_power(&HostName::new("h2").expect("name")).expect("look"), "the other host has felt nothing");
    assert!(matches!(lab.power_off(&HostName::new("h9").expect("name")), Err(LabError::NoSuch { .. })));
}

/// Exports a volume of a host's daemon, as a storage driver does.
fn export(lab: &Lab, host: &HostName, volume: &str) {
    let socket = format!("/run/lifeboat-lab/{}/storage.{host}.qmp", lab.name());
    let mut stream = UnixStream::connect(socket).expect("the daemon listens");
    let mut lines = BufReader::new(stream.try_clone().expect("clone")).lines();
    let mut say = |what: String| {
        stream.write_all(what.as_bytes()).expect("say");
        loop {
            let line = lines.next().expect("an answer").expect("a line");
            assert!(!line.contains("\"error\""), "{line}");
            if line.contains("\"return\"") {
                return;
            }
        }
    };
    let image = lab.dir().join("volumes").join(format!("{volume}.raw"));
    say("{\"execute\":\"qmp_capabilities\"}".to_owned());
    say(format!(
        r#"{{"execute":"blockdev-add","arguments":{{"driver":"raw","node-name":"{volume}","file":{{"driver":"file","filename":"{}"}}}}}}"#,
        image.display()
    ));
    say(format!(
        r#"{{"execute":"block-export-add","arguments":{{"type":"nbd","id":"{volume}","node-name":"{volume}","name":"{volume}","writable":true}}}}"#
    ));
}

/// A QEMU command line for the first VM, as a hypervisor driver makes one.
fn qemu(lab: &Lab, host: &HostName, image: &GuestImage) -> Vec<String> {
    let index: u16 = host.as_str()[1..].parse().expect("a number");
    let psk = lab.dir().join("hosts").join(host.as_str()).join("psk");
    let words = format!(
        "qemu-system-x86_64 -name guest=vm-1 -machine q35,accel=tcg -m 128 -nodefaults -no-user-config -display none \
         -object tls-creds-psk,id=tls0,endpoint=client,dir={},username={host} -netdev tap,id=n0,ifname=tap0,br=br0,script=no,downscript=no \
         -device virtio-net-pci,netdev=n0,mac=52:54:00:77:01:01 -device virtio-blk-pci,drive=d0 -kernel {} -initrd {}",
        psk.display(),
        image.kernel.display(),
        image.initrd.display()
    );
    let mut words: Vec<String> = words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let drive = format!(
        "driver=raw,node-name=d0,cache.direct=on,file.driver=nbd,file.server.type=inet,file.server.host=10.77.0.1,file.server.port={},file.export=vm-1-d0,file.tls-creds=tls0",
        10_808 + index
    );
    words.extend(["-blockdev".to_owned(), drive, "-append".to_owned(), GuestImage::cmdline("10.77.1.1")]);
    words
}

/// Makes the guest's tap before QEMU needs it.
fn make_tap(lab: &Lab, host: &HostName) {
    let netns = format!("lifeboat.{}.host.{host}", lab.name());
    for words in ["tuntap add tap0 mode tap", "link set tap0 master br0 up"] {
        let status = Command::new("ip").args(["-n", &netns]).args(words.split(' ')).status().expect("ip");
        assert!(status.success(), "{words}");
    }
}

#[test]
fn a_guests_numbers_survive_its_hosts_power_cut_and_go_on() {
    if !is_root() {
        return;
    }
    let farm = Farm::up(2, 1);
    let lab = &farm.lab;
    let image = GuestImage::in_cache(&farm.options.cache, &|_| ()).expect("image");
    let monitor = lab.monitor("test").expect("monitor");
    let asks = Duration::from_millis(500);
    let mut last = 0;
    for host in ["h1", "h2"].map(|name| HostName::new(name).expect("name")) {
        export(lab, &host, "vm-1-d0");
        make_tap(lab, &host);
        lab.run_on(&host, qemu(lab, &host, &image)).expect("start QEMU");
        eventually("the guest goes on after its last number", || {
            lab.sequences(&vm1(), asks).is_ok_and(|told| told.durable[0] > last + 10)
        });
        assert_eq!(lab.status().expect("status").vms[0].hosts, std::slice::from_ref(&host));
        last = lab.sequences(&vm1(), asks).expect("it answers").durable[0];
        if host == h1() {
            lab.power_off(&host).expect("cut");
            assert!(lab.sequences(&vm1(), asks).is_err(), "a VM of a dead host does not answer");
            assert_eq!(lab.status().expect("status").vms[0].hosts, []);
        }
    }
    eventually("the monitor has seen it back", || {
        let found = monitor.outages(lifeboat_model::Time::default()).expect("outages");
        found.first().is_some_and(|vm| vm.is_back && vm.down.is_some() && vm.lost == 0 && !vm.foreign_writer)
    });
    monitor.stop().expect("stop");
    assert_eq!(lab.kill_vm(&vm1()).expect("kill").len(), 1);
    eventually("the watcher has seen it all", || {
        let told = |what: &What| lab.world().expect("world").iter().filter(|event| event.what == *what).count();
        told(&What::VmStarted) == 2 && told(&What::VmKilled) == 2 && told(&What::HostDown) == 1
    });
    let trace = lab.trace("").expect("trace");
    assert!(trace.is_sorted_by(|one, other| one.t <= other.t), "in order of time");
}

#[test]
fn a_guest_without_its_hosts_key_gets_no_volume() {
    if !is_root() {
        return;
    }
    let farm = Farm::up(2, 1);
    let (lab, host) = (&farm.lab, h1());
    export(lab, &host, "vm-1-d0");
    let netns = format!("/run/netns/lifeboat.{}.host.h2", lab.name());
    let info = |psk_of: &str| {
        let psk = lab.dir().join("hosts").join(psk_of).join("psk");
        let creds = format!("tls-creds-psk,id=tls0,endpoint=client,dir={},username={psk_of}", psk.display());
        let image = "driver=nbd,server.type=inet,server.host=10.77.0.1,server.port=10809,export=vm-1-d0,tls-creds=tls0";
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={netns}")).args(["qemu-img", "info", "--object", &creds, "--image-opts", image]);
        command.output().expect("qemu-img").status.success()
    };
    assert!(info("h1"), "its own key opens it");
    assert!(!info("h2"), "another host's key does not");
}

#[test]
fn a_cut_cable_stays_cut_over_a_power_cycle_until_it_is_mended() {
    if !is_root() {
        return;
    }
    let farm = Farm::up(1, 0);
    let (lab, host) = (&farm.lab, h1());
    let fabric = format!("/run/netns/lifeboat.{}.fabric", lab.name());
    let reaches = || {
        let mut ping = Command::new("nsenter");
        let ping = ping.arg(format!("--net={fabric}")).args(["busybox", "ping", "-c", "1", "-W", "1", "10.77.0.10"]);
        ping.output().expect("ping").status.success()
    };
    eventually("a host is reached", reaches);
    lab.cut(&host).expect("cut");
    assert!(!reaches());
    lab.power_off(&host).expect("off");
    lab.power_on(&host).expect("on");
    assert!(!reaches(), "a cable does not mend itself");
    lab.heal(&host).expect("heal");
    eventually("a mended cable carries", reaches);
    lab.hang(&host).expect("hang");
    assert!(reaches(), "a host that hangs still answers ping");
    lab.thaw(&host).expect("thaw");
    assert!(lab.status().expect("status").hosts[0].power);
}

#[test]
fn options_that_cannot_be_are_refused_before_anything_is_made() {
    let good = LabOptions { binary: Path::new("/bin/true").into(), ..LabOptions::default() };
    for (name, hosts, volumes_per_vm) in
        [("", 3, 1), ("A", 3, 1), ("a/b", 3, 1), ("a", 0, 1), ("a", 999, 1), ("a", 3, 99)]
    {
        let bad = LabOptions { name: name.to_owned(), hosts, volumes_per_vm, ..good.clone() };
        assert!(matches!(Lab::up(&bad, |_| ()), Err(LabError::BadOption { .. })), "{name} {hosts} {volumes_per_vm}");
    }
}
