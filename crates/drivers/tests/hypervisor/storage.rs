//! Volumes over NBD with TLS-PSK, served by a real `qemu-storage-daemon`.

use std::{fs, time::Duration};

use command_fds::{CommandFdExt as _, FdMapping};
use lifeboat_drivers::{hypervisor::qemu::Qemu, qmp::Qmp};
use lifeboat_model::{attach::VolumePath, running::VmRunState};
use lifeboat_ports::{Hypervisor as _, StopHow, VmConfig, VmEvent};
use serde_json::json;

use crate::{bench::Bench, guests};

const KEY: &str = "00112233445566778899aabbccddeeff";

struct Array {
    _daemon: tokio::process::Child,
    qmp: Qmp,
    port: u16,
}

impl Array {
    /// A daemon whose NBD server wants TLS with the key of `h1`.
    async fn new(bench: &Bench) -> Self {
        let keys = bench.root.path().join("array-keys");
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("keys.psk"), format!("h1:{KEY}\n")).unwrap();
        let socket = bench.root.path().join("array-qmp");
        let monitor = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        // The kernel chooses a free port, and the daemon gets the socket that has it.
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let mut command = tokio::process::Command::new("qemu-storage-daemon");
        command.args(["--chardev", "socket,id=m,fd=3,server=on,wait=off", "--monitor", "chardev=m"]);
        command.args(["--object", &format!("tls-creds-psk,id=tls,endpoint=server,dir={}", keys.display())]);
        command.args(["--nbd-server", "addr.type=fd,addr.str=4,tls-creds=tls"]).kill_on_drop(true);
        let mappings = vec![
            FdMapping { parent_fd: monitor.into(), child_fd: 3 },
            FdMapping { parent_fd: server.into(), child_fd: 4 },
        ];
        command.fd_mappings(mappings).unwrap();
        let daemon = command.spawn().unwrap();
        drop(command);
        let qmp = Qmp::connect(&socket, Duration::from_secs(30)).await.unwrap();
        Self { _daemon: daemon, qmp, port }
    }

    async fn export(&self, bench: &Bench, name: &str) {
        let node = json!({ "driver": "file", "node-name": name, "filename": bench.disk(name) });
        self.qmp.execute("blockdev-add", node).await.unwrap();
        self.offer(name).await;
    }

    /// Exports what was opened.
    async fn offer(&self, name: &str) {
        let export = json!({ "type": "nbd", "id": name, "node-name": name, "name": name, "writable": true });
        self.qmp.execute("block-export-add", export).await.unwrap();
    }
}

fn over_nbd(bench: &Bench, array: &Array, name: &str, code: &[u8]) -> VmConfig {
    let mut config = bench.booting(name, 1, code);
    let (host, export) = ("127.0.0.1".to_owned(), name.to_owned());
    config.attachments[0].path = VolumePath::Nbd { host, port: array.port, export, tls_psk: true };
    config
}

fn bench_with_key(key: &str) -> Bench {
    let mut bench = Bench::new();
    let keys = bench.root.path().join("host-keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("keys.psk"), key).unwrap();
    bench.settings.psk_dir = Some(keys);
    bench
}

async fn start(qemu: &Qemu, config: &VmConfig) -> Result<(), String> {
    qemu.configure(config).await.unwrap();
    qemu.start(&config.vm, config.generation).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_volume_that_is_taken_away_stops_the_guest_and_is_told() {
    let bench = bench_with_key(&format!("h1:{KEY}\n"));
    let array = Array::new(&bench).await;
    let config = over_nbd(&bench, &array, "writer", guests::WRITES);
    array.export(&bench, "writer").await;
    let qemu = bench.qemu().await;
    start(&qemu, &config).await.unwrap();
    while !guests::was_written(&bench.disk("writer")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    array.qmp.execute("block-export-del", json!({ "id": "writer", "mode": "hard" })).await.unwrap();
    let vm = config.vm.clone();
    let paused = VmEvent::StateChanged { vm, generation: config.generation, state: VmRunState::IoError };
    assert_eq!(qemu.next_event().await, paused);
    assert_eq!(qemu.list().await.unwrap()[0].state, VmRunState::IoError);
    let words = fs::read_to_string(bench.run_file("writer", "launch.json")).unwrap();
    assert!(!words.contains(KEY), "the key is in no argument");
    qemu.stop(&config.vm, StopHow::Graceful).await.unwrap();
    assert_eq!(bench.pids(None).len(), 0);
}

#[tokio::test]
async fn a_guest_that_stands_still_for_its_volume_goes_on_when_that_is_back() {
    let bench = bench_with_key(&format!("h1:{KEY}\n"));
    let array = Array::new(&bench).await;
    let config = over_nbd(&bench, &array, "waiter", guests::WRITES);
    array.export(&bench, "waiter").await;
    let qemu = bench.qemu().await;
    start(&qemu, &config).await.unwrap();
    while !guests::was_written(&bench.disk("waiter")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let changed = |state| VmEvent::StateChanged { vm: config.vm.clone(), generation: config.generation, state };
    array.qmp.execute("block-export-del", json!({ "id": "waiter", "mode": "hard" })).await.unwrap();
    assert_eq!(qemu.next_event().await, changed(VmRunState::IoError));
    // It is told to go on, fails again, and nobody is told of that.
    let told = tokio::time::timeout(Duration::from_secs(7), qemu.next_event()).await;
    assert!(told.is_err(), "nothing new has happened: {told:?}");
    array.offer("waiter").await;
    assert_eq!(qemu.next_event().await, changed(VmRunState::Running));
    qemu.stop(&config.vm, StopHow::Kill).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_volume_over_nbd_is_told_with_the_way_out() {
    let bench = bench_with_key(&format!("h1:{KEY}\n"));
    let array = Array::new(&bench).await;
    let config = over_nbd(&bench, &array, "unmapped", guests::IDLE);
    let error = start(&bench.qemu().await, &config).await.unwrap_err();
    assert!(error.contains("does not offer this volume to this host"), "{error}");

    array.export(&bench, "unmapped").await;
    let other = bench_with_key("h1:ffffffffffffffffffffffffffffffff\n");
    let error = start(&other.qemu().await, &config).await.unwrap_err();
    assert!(error.contains("pre-shared key") && !error.contains("ffffffff"), "{error}");

    let mut plain = config.clone();
    if let VolumePath::Nbd { tls_psk, .. } = &mut plain.attachments[0].path {
        *tls_psk = false;
    }
    let error = start(&bench.qemu().await, &plain).await.unwrap_err();
    assert!(error.contains("wants TLS"), "{error}");
}
