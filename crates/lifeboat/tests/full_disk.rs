//! A controller whose disk is really full: a small tmpfs of its own, which only it sees.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(60);
/// Too much for the store's file to take without growing.
const VOLUMES: usize = 8_000;

/// A controller in a mount namespace of its own, in which its state directory is a tmpfs. Both end with it.
struct Controller {
    process: Child,
    dir: tempfile::TempDir,
}

impl Drop for Controller {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Controller {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).expect("a directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let config = format!(
            "state_dir = {:?}\nsocket = {:?}\nlisten = \"127.0.0.1:{port}\"\n",
            disk.join("state"),
            dir.path().join("socket")
        );
        fs::write(dir.path().join("controller.toml"), config).expect("a file");
        let script =
            r#"mount -t tmpfs -o size=12m tmpfs "$1/disk" && exec "$0" controller --config "$1/controller.toml""#;
        let process = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, env!("CARGO_BIN_EXE_lifeboat")])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("unshare runs");
        let controller = Self { process, dir };
        controller.until("it serves", |controller| controller.run(&["status"]).status.code() != Some(3));
        controller
    }

    /// Its disk, seen from outside its mount namespace.
    fn disk(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process.id()));
        root.join(self.dir.path().strip_prefix("/").expect("an absolute path")).join("disk")
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.arg("--socket").arg(self.dir.path().join("socket")).args(args).output().expect("lifeboat runs")
    }

    fn apply(&self, file: &Path) -> Output {
        self.run(&["apply", &file.to_string_lossy()])
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        fs::write(&file, text).expect("a file");
        file
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            assert!(begin.elapsed() < LIMIT, "waited for {LIMIT:?} that {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Writes until the disk takes no more.
fn fill(file: &Path) {
    let mut out = fs::File::create(file).expect("a file");
    for block in [1 << 20, 4096, 1] {
        while out.write_all(&vec![1; block]).is_ok() {}
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_full_disk_is_named_nothing_is_forgotten_and_all_goes_on_when_there_is_room() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a disk of its own needs root");
        return;
    }
    let controller = Controller::start();
    let first = controller.file("first.toml", "[[host]]\nname = \"h1\"\ncapacity = { memory_mib = 1024 }\n");
    assert!(controller.apply(&first).status.success());

    let filler = controller.disk().join("filler");
    fill(&filler);
    let mut volumes = "[[array]]\nname = \"a1\"\n".to_owned();
    for n in 0..VOLUMES {
        volumes.push_str(&format!("[[volume]]\nname = \"volume-{n:06}\"\narray = \"a1\"\nsize_gib = 10\n"));
    }
    let second = controller.file("second.toml", &volumes);
    let refused = controller.apply(&second);
    let text = said(&refused);
    assert_eq!(refused.status.code(), Some(3), "{text}");
    assert!(text.contains("takes no writes") && text.contains("No space left on device"), "{text}");
    assert_eq!(controller.run(&["status"]).status.code(), Some(3), "nothing is shown that might be forgotten");

    fs::remove_file(&filler).expect("the filler goes");
    controller.until("it serves again", |controller| controller.run(&["status"]).status.code() != Some(3));
    let again = controller.apply(&second);
    assert!(again.status.success(), "{}", said(&again));
    let hosts = said(&controller.run(&["get", "hosts"]));
    assert!(hosts.contains("h1"), "what was declared before is there: {hosts}");
    let volumes = said(&controller.run(&["get", "volumes", "-o", "json"]));
    assert_eq!(volumes.matches("\"volume-0").count(), VOLUMES, "all of it took effect");
}
