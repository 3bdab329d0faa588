//! The NBD array against real storage daemons.
#![expect(clippy::unwrap_used, reason = "a test fails so")]

#[path = "support/storage_daemon.rs"]
mod storage_daemon;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use lifeboat_drivers::{
    qmp::Qmp,
    storage::{NbdArray, nbd::NbdLimits},
};
use lifeboat_model::{
    ArrayName, Epoch, Generation, HostName, VolumeName,
    attach::VolumePath,
    spec::{NbdTarget, VolumeSpec},
};
use lifeboat_ports::{
    MapOrder, Retry, StorageArray, StorageError,
    conformance::storage::{self, UnderTest},
};
use serde_json::{Value, json};
use storage_daemon::StorageDaemon;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

const fn order(generation: u64) -> MapOrder {
    MapOrder { epoch: Epoch(1), generation: Generation(generation) }
}

fn host(number: usize) -> HostName {
    HostName::new(&format!("h{number}")).unwrap()
}

fn volume(name: &str) -> VolumeSpec {
    let array = ArrayName::new("shelf").unwrap();
    VolumeSpec { name: VolumeName::new(name).unwrap(), array, size_gib: 0, file: None }
}

/// Daemons of hosts `h0`, `h1`, … over one directory with the images of volumes `0-disk`, `1-disk`, …
struct Shelf {
    daemons: Vec<StorageDaemon>,
    directory: TempDir,
    volumes: Vec<VolumeSpec>,
}

impl Shelf {
    fn new(daemons: usize, volumes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let daemons = (0..daemons).map(|n| StorageDaemon::start(directory.path(), &format!("h{n}"), None)).collect();
        let volumes: Vec<VolumeSpec> = (0..volumes).map(|number| volume(&format!("{number}-disk"))).collect();
        for volume in &volumes {
            fs::File::create(directory.path().join(volume.file_name())).unwrap().set_len(8 * MIB).unwrap();
        }
        Self { daemons, directory, volumes }
    }

    fn targets(&self) -> BTreeMap<HostName, NbdTarget> {
        self.daemons.iter().enumerate().map(|(number, daemon)| (host(number), daemon.target.clone())).collect()
    }

    /// A controller's view of it, which knows nothing yet.
    fn array(&self) -> Arc<NbdArray> {
        self.array_within(NbdLimits::default())
    }

    fn array_within(&self, limits: NbdLimits) -> Arc<NbdArray> {
        let directory = self.directory.path().to_str().unwrap();
        Arc::new(NbdArray::with_limits(ArrayName::new("shelf").unwrap(), directory, self.targets(), limits).unwrap())
    }

    fn image(&self, volume: &VolumeSpec) -> fs::File {
        fs::File::options().read(true).write(true).open(self.directory.path().join(volume.file_name())).unwrap()
    }

    fn under_test(self) -> UnderTest {
        UnderTest {
            array: self.array(),
            volumes: self.volumes.clone(),
            missing: volume("missing"),
            hosts: (0..self.daemons.len()).map(host).collect(),
            stranger: Some(HostName::new("stranger").unwrap()),
            guard: Box::new(self),
        }
    }
}

/// Asks a daemon something behind the driver's back. The driver's own connection must be gone: a daemon serves one.
async fn ask(daemon: &StorageDaemon, command: &str, arguments: Value) -> Value {
    let qmp = Qmp::connect(Path::new(&daemon.target.qmp), Duration::from_secs(20)).await.unwrap();
    qmp.execute(command, arguments).await.unwrap()
}

async fn nodes(daemon: &StorageDaemon) -> Vec<String> {
    let nodes = ask(daemon, "query-named-block-nodes", json!({})).await;
    nodes.as_array().unwrap().iter().map(|node| node["node-name"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_failed<T: std::fmt::Debug>(outcome: Result<T, StorageError>, expected: Retry, words: &str) {
    match outcome {
        Err(error @ StorageError::Failed { retry, .. }) if retry == expected => {
            assert!(error.to_string().contains(words), "{error}");
        }
        other => panic!("it must fail, {expected:?}, with {words:?}: {other:?}"),
    }
}

#[tokio::test]
async fn it_keeps_the_contract_of_an_array() {
    storage::run(async || Shelf::new(3, 12).under_test()).await;
}

#[tokio::test]
async fn a_controller_that_starts_later_knows_what_was_mapped_and_by_which_order() {
    let shelf = Shelf::new(2, 2);
    let targets = shelf.targets();
    let directory = shelf.directory.path().to_str().unwrap().to_owned();
    storage::outlives(shelf.under_test(), async || {
        let array = NbdArray::new(ArrayName::new("shelf").unwrap(), &directory, targets).unwrap();
        Arc::new(array) as Arc<dyn StorageArray>
    })
    .await;
}

#[tokio::test]
async fn work_that_was_cut_off_half_way_is_finished_by_doing_it_again() {
    let shelf = Shelf::new(1, 2);
    let [left, exported] = [&shelf.volumes[0], &shelf.volumes[1]];
    // What the driver itself calls the nodes is seen where it is mapped.
    let array = shelf.array();
    array.map(left, &host(0), order(1)).await.unwrap();
    array.unmap(left, &host(0), order(1)).await.unwrap();
    array.map(exported, &host(0), order(1)).await.unwrap();
    drop(array);
    let [node] = nodes(&shelf.daemons[0]).await.try_into().unwrap();
    // Export deleted, node left; the controller dies.
    let export = json!({ "id": "lifeboat.1.1.1-disk", "mode": "hard" });
    ask(&shelf.daemons[0], "block-export-del", export).await;
    assert_eq!(nodes(&shelf.daemons[0]).await, std::slice::from_ref(&node));
    for round in [2, 3] {
        let array = shelf.array();
        if round == 2 {
            array.map(exported, &host(0), order(round)).await.unwrap();
        }
        array.unmap(exported, &host(0), order(round)).await.unwrap();
        drop(array);
        assert!(nodes(&shelf.daemons[0]).await.is_empty(), "nothing is left behind");
        // Node made, not exported; the controller dies.
        let filename = shelf.directory.path().join(exported.file_name());
        let arguments = json!({ "driver": "file", "node-name": node, "filename": filename });
        ask(&shelf.daemons[0], "blockdev-add", arguments).await;
    }
}

/// A client that writes through an export as fast as it can, until it is told to stop.
struct Writer {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Writer {
    fn start(target: &VolumePath, keys: Option<&Path>) -> Self {
        let VolumePath::Nbd { host, port, export, tls_psk } = target else { panic!("no NBD: {target:?}") };
        assert_eq!(*tls_psk, keys.is_some(), "the way says whether it takes a key");
        let mut image = format!("driver=nbd,server.type=inet,server.host={host},server.port={port},export={export}");
        let mut command = Command::new("qemu-io");
        if let Some(keys) = keys {
            let keys = keys.display();
            command.args(["--object", &format!("tls-creds-psk,id=tls0,endpoint=client,username=h0,dir={keys}")]);
            image.push_str(",tls-creds=tls0");
        }
        let pipes = command.args(["-t", "none", "--image-opts", &image]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.stderr(Stdio::inherit()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // It ends when the client does, or after more than any test lasts.
        std::thread::spawn(move || {
            for round in 0..40_000_u64 {
                let offset = (round % 128) * 65_536;
                let flush = if round % 8 == 7 { "aio_flush\n" } else { "" };
                if write!(input, "aio_write -P 0xaa {offset} 64k\n{flush}").is_err() {
                    return;
                }
            }
        });
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Reads what it says until a line has these words.
    fn says(&mut self, words: &str) {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if line.contains(words) {
                return;
            }
            line.clear();
        }
        panic!("the writer ended and never said {words:?}");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_unmap_not_one_byte_of_that_host_lands() {
    let shelf = Shelf::new(2, 1);
    let (array, volume) = (shelf.array(), &shelf.volumes[0]);
    let image = shelf.image(volume);
    let theirs = vec![0xee; usize::try_from(8 * MIB).unwrap()];
    for round in 0..5 {
        let old_way = array.map(volume, &host(0), order(round)).await.unwrap();
        let mut writer = Writer::start(&old_way.path, None);
        (0..40).for_each(|_| writer.says("wrote 65536/65536"));
        array.unmap(volume, &host(0), order(round)).await.unwrap();
        // The next host has it, and all of it is that host's.
        array.map(volume, &host(1), order(round)).await.unwrap();
        image.write_all_at(&theirs, 0).unwrap();
        // The old one still tries.
        (0..40).for_each(|_| writer.says("failed"));
        drop(writer);
        let mut found = vec![0; theirs.len()];
        image.read_exact_at(&mut found, 0).unwrap();
        assert!(found == theirs, "a write of the host that lost the volume landed after the unmap");
        array.unmap(volume, &host(1), order(round)).await.unwrap();
    }
    assert!(array.cuts_writes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_its_own_key_writes_over_tls() {
    let keys = tempfile::tempdir().unwrap();
    fs::write(keys.path().join("keys.psk"), format!("h0:{}\n", "5a".repeat(32))).unwrap();
    let mut shelf = Shelf::new(0, 1);
    shelf.daemons.push(StorageDaemon::start(shelf.directory.path(), "h0", Some(keys.path())));
    let (array, volume) = (shelf.array(), &shelf.volumes[0]);
    let way = array.map(volume, &host(0), order(1)).await.unwrap();
    Writer::start(&way.path, Some(keys.path())).says("wrote 65536/65536");
    let VolumePath::Nbd { port, export, .. } = &way.path else { panic!("no NBD: {way:?}") };
    let open = Command::new("qemu-img").args(["info", &format!("nbd://127.0.0.1:{port}/{export}")]).output().unwrap();
    assert!(!open.status.success(), "who has no key is not served");
    array.unmap(volume, &host(0), order(2)).await.unwrap();
}

#[tokio::test]
async fn a_dead_daemon_exports_nothing_and_its_volumes_may_go_elsewhere() {
    let mut shelf = Shelf::new(2, 3);
    let array = shelf.array();
    let [v0, v1, v2] = [&shelf.volumes[0], &shelf.volumes[1], &shelf.volumes[2]].map(Clone::clone);
    for volume in [&v0, &v1] {
        array.map(volume, &host(0), order(1)).await.unwrap();
    }
    shelf.daemons[0].die();
    assert_failed(array.map(&v2, &host(0), order(1)).await, Retry::MayHelp, "start it");
    array.unmap(&v0, &host(0), order(2)).await.unwrap();
    array.map(&v0, &host(1), order(2)).await.unwrap();
    array.map(&v1, &host(1), order(2)).await.unwrap();
    assert_eq!(array.mappings().await.unwrap().len(), 2, "both are mapped to the host whose daemon runs");
    // A controller that starts now sees the same, and the daemon that comes back is used again.
    let second = shelf.array();
    drop(array);
    assert_eq!(second.mappings().await.unwrap().len(), 2);
    shelf.daemons[0].start_again();
    second.map(&v2, &host(0), order(3)).await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_was_started_again_is_told_anew() {
    let mut shelf = Shelf::new(1, 1);
    let (array, volume) = (shelf.array(), shelf.volumes[0].clone());
    let way = array.map(&volume, &host(0), order(1)).await.unwrap();
    for _ in 0..3 {
        shelf.daemons[0].die();
        shelf.daemons[0].start_again();
        assert!(array.mappings().await.unwrap().is_empty(), "what the daemon says counts, not what it was asked");
        assert_eq!(array.map(&volume, &host(0), order(1)).await.unwrap(), way);
        assert_eq!(array.mappings().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_daemon_that_may_export_a_volume_keeps_it_from_all_others_until_it_answers() {
    let shelf = Shelf::new(2, 3);
    let [v0, v1, v2] = [&shelf.volumes[0], &shelf.volumes[1], &shelf.volumes[2]];
    let short = Duration::from_millis(300);
    let limits = NbdLimits { connect: short, command: short, drain: short };
    let array = shelf.array_within(limits);
    array.map(v0, &host(0), order(1)).await.unwrap();
    shelf.daemons[0].hang();
    // It has said what it exports, so the other volumes are free to go.
    array.map(v1, &host(1), order(1)).await.unwrap();
    assert_failed(array.unmap(v0, &host(0), order(2)).await, Retry::MayHelp, "does not answer");
    let refused = array.map(v0, &host(1), order(2)).await;
    assert!(matches!(refused, Err(StorageError::MappedElsewhere { .. })), "nobody knows yet: {refused:?}");
    assert_failed(array.map(v2, &host(0), order(2)).await, Retry::MayHelp, "does not answer");
    let refused = array.map(v2, &host(1), order(3)).await;
    assert!(matches!(refused, Err(StorageError::MappedElsewhere { .. })), "its map may still happen: {refused:?}");
    assert_failed(array.mappings().await, Retry::MayHelp, "storage daemon of h0");
    drop(array);
    // Who never heard it does not know of any volume where it is.
    let second = shelf.array_within(limits);
    assert_failed(
        second.map(v2, &host(1), order(3)).await,
        Retry::MayHelp,
        "nobody knows what the storage daemon of h0",
    );
    second.map(v1, &host(1), order(3)).await.unwrap();
    shelf.daemons[0].go_on();
    let patient = NbdLimits::default();
    drop(second);
    let third = shelf.array_within(patient);
    third.unmap(v0, &host(0), order(3)).await.unwrap();
    third.unmap(v2, &host(0), order(3)).await.unwrap();
    for volume in [v0, v2] {
        third.map(volume, &host(1), order(3)).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_qmp_path_is_no_proof_that_a_daemon_is_dead() {
    let shelf = Shelf::new(2, 1);
    let volume = &shelf.volumes[0];
    shelf.array().map(volume, &host(0), order(1)).await.unwrap();
    let mut targets = shelf.targets();
    targets.get_mut(&host(0)).unwrap().qmp.push_str(".old");
    let directory = shelf.directory.path().to_str().unwrap();
    let array = NbdArray::new(ArrayName::new("shelf").unwrap(), directory, targets).unwrap();
    assert_failed(array.unmap(volume, &host(0), order(2)).await, Retry::MayHelp, "or mend `qmp`");
    assert_failed(array.map(volume, &host(1), order(2)).await, Retry::MayHelp, "nobody knows what");
}

/// What a daemon says that tells of a deletion too late or never: deletes at once, lists it until it was asked often
/// enough, and sends no event.
fn forgetful_daemon(listener: std::os::unix::net::UnixListener) {
    let (stream, _) = listener.accept().unwrap();
    let mut output = stream.try_clone().unwrap();
    writeln!(output, r#"{{"QMP":{{"version":{{"qemu":{{"major":10,"minor":0,"micro":2}}}},"capabilities":[]}}}}"#)
        .unwrap();
    let mut listed = 3;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let call: Value = serde_json::from_str(&line).unwrap();
        let answer = match call["execute"].as_str().unwrap() {
            "query-block-exports" if listed > 0 => {
                listed -= 1;
                json!([{ "id": "lifeboat.1.1.0-disk", "node-name": "n", "shutting-down": listed < 2, "type": "nbd" }])
            }
            "query-block-exports" => json!([]),
            _ => json!({}),
        };
        writeln!(output, "{}", json!({ "return": answer, "id": call["id"] })).unwrap();
    }
}

#[tokio::test]
async fn an_event_that_never_comes_is_made_up_for_by_asking() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("qmp.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(|| forgetful_daemon(listener));
    let qmp = socket.to_str().unwrap().to_owned();
    let target = NbdTarget { qmp, host: "127.0.0.1".to_owned(), port: 9, tls_psk: false };
    let name = ArrayName::new("shelf").unwrap();
    let array = NbdArray::new(name, "/images", BTreeMap::from([(host(0), target)])).unwrap();
    array.unmap(&volume("0-disk"), &host(0), order(1)).await.unwrap();
    assert!(array.mappings().await.unwrap().is_empty(), "the unmap has waited until the export was gone");
    drop(array);
    tokio::task::spawn_blocking(|| daemon.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_storage_daemon_is_told_as_that() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("qmp.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            // The client may close it before all is sent.
            let _ = listener.accept().unwrap().0.write_all(b"SSH-2.0-OpenSSH\n");
        }
    });
    let qmp = socket.to_str().unwrap().to_owned();
    let target = NbdTarget { qmp, host: "127.0.0.1".to_owned(), port: 9, tls_psk: false };
    let name = ArrayName::new("shelf").unwrap();
    let array = NbdArray::new(name, "/images", BTreeMap::from([(host(0), target)])).unwrap();
    let outcome = array.unmap(&volume("v"), &host(0), order(1)).await;
    assert_failed(outcome, Retry::IsFutile, "is no storage daemon; mend `qmp` of h0");
    assert_failed(array.mappings().await, Retry::MayHelp, "storage daemon of h0");
    tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
}
