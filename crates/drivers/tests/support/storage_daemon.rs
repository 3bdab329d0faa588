//! A real `qemu-storage-daemon` on loopback. It ends with its value, on a failure too.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use command_fds::{CommandFdExt as _, FdMapping};
use lifeboat_model::spec::NbdTarget;
use rustix::process::{Pid, Signal, kill_process};

pub struct StorageDaemon {
    child: Child,
    pub target: NbdTarget,
}

impl StorageDaemon {
    /// Starts a daemon whose QMP socket is `NAME.sock` in a directory, on a free port. `tls`: a directory with `keys.psk`;
    /// it then serves only who has a key of it.
    ///
    /// Both listeners are made here and inherited, so that they can be used at once, and the port is nobody else's.
    pub fn start(directory: &Path, name: &str, tls: Option<&Path>) -> Self {
        Self::listening(directory.join(format!("{name}.sock")), 0, tls)
    }

    fn listening(socket: PathBuf, port: u16, tls: Option<&Path>) -> Self {
        let qmp = UnixListener::bind(&socket).expect("a free path");
        let nbd = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
        let port = nbd.local_addr().expect("an address").port();
        let mut server = "addr.type=fd,addr.str=4".to_owned();
        let mut command = Command::new("qemu-storage-daemon");
        command.args(["--chardev", "socket,id=qmp,fd=3,server=on,wait=off", "--monitor", "chardev=qmp"]);
        if let Some(keys) = tls {
            let keys = keys.display();
            command.args(["--object", &format!("tls-creds-psk,id=tls0,endpoint=server,dir={keys}")]);
            server.push_str(",tls-creds=tls0");
        }
        command.args(["--nbd-server", &server]).stdin(Stdio::null());
        let mappings =
            vec![FdMapping { parent_fd: qmp.into(), child_fd: 3 }, FdMapping { parent_fd: nbd.into(), child_fd: 4 }];
        let child = command.fd_mappings(mappings).expect("distinct descriptors").spawn();
        let child = child.expect("qemu-storage-daemon runs (Debian: qemu-utils, qemu-system-common)");
        // The command holds the listeners open here until it is dropped.
        drop(command);
        let qmp = socket.to_str().expect("a printable path").to_owned();
        let target = NbdTarget { qmp, host: Ipv4Addr::LOCALHOST.to_string(), port, tls_psk: tls.is_some() };
        Self { child, target }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child that was not waited for can be signalled");
    }

    /// Stops it as if it hung.
    #[allow(dead_code, reason = "not every user of this file needs it")]
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    #[allow(dead_code, reason = "not every user of this file needs it")]
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it.
    #[allow(dead_code, reason = "not every user of this file needs it")]
    pub fn die(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Starts it again after its death, at the same addresses.
    #[allow(dead_code, reason = "not every user of this file needs it")]
    pub fn start_again(&mut self) {
        std::fs::remove_file(&self.target.qmp).expect("its socket is left");
        *self = Self::listening(self.target.qmp.clone().into(), self.target.port, None);
    }
}

impl Drop for StorageDaemon {
    fn drop(&mut self) {
        // Fails only where it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
