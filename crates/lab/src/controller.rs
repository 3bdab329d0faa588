//! The lab's controller: a process in the fabric, killed and started on demand, and asked as an operator asks it.

use std::{os::unix::net::UnixStream, process::Command, time::Duration};

use lifeboat_model::HostName;

use crate::{
    Lab, LabError,
    layout::Layout,
    process::{Enter, last_lines, run_command, wait_for},
    storage,
};

impl Lab {
    /// Kills the controller (`SIGKILL`). Nothing when there is none.
    ///
    /// # Errors
    /// [`LabError`] when it does not die.
    pub fn kill_controller(&self) -> Result<(), LabError> {
        self.layout.cgroup_of("controller")?.kill()
    }

    /// Starts the controller and returns when it takes connections. Nothing when it runs.
    ///
    /// # Errors
    /// [`LabError`] when it cannot be started or does not listen.
    pub fn start_controller(&self) -> Result<(), LabError> {
        let cgroup = self.layout.cgroup_of("controller")?;
        cgroup.create()?;
        let log = self.layout.log("controller");
        if !cgroup.is_populated()? {
            let config = self.layout.dir.join("controller.toml");
            let binary = self.settings.entry.binary.to_string_lossy().into_owned();
            let enter = Enter {
                cgroup: cgroup.path().to_owned(),
                netns: Layout::netns_file(&self.layout.fabric_netns()),
                hostname: None,
                log: log.clone(),
                wait: false,
                command: vec![
                    binary,
                    "controller".to_owned(),
                    "--config".to_owned(),
                    config.to_string_lossy().into_owned(),
                ],
            };
            enter.start(&self.settings.entry)?;
        }
        let socket = self.socket();
        let hint = format!("its log is {}", log.display());
        let limit = Duration::from_secs(30);
        wait_for("the controller listening on its socket", &hint, limit, || {
            if UnixStream::connect(&socket).is_ok() {
                return Some(Ok(()));
            }
            let ended = || LabError::Program {
                operation: "start the controller".to_owned(),
                detail: format!("it ended: {}", last_lines(&log)),
            };
            (!cgroup.is_populated().unwrap_or(true)).then(|| Err(ended()))
        })?
    }

    /// Runs `lifeboat` against the lab's controller and gives what it prints.
    ///
    /// # Errors
    /// [`LabError::Program`] with its last words when it fails.
    pub fn cli(&self, args: &[&str]) -> Result<String, LabError> {
        let mut command = Command::new(&self.settings.entry.binary);
        command.arg("--socket").arg(self.socket()).args(args);
        run_command(&format!("run lifeboat {}", args.join(" ")), &mut command)
    }

    /// Asks the controller for a one-time token and puts it where the host's agent finds it.
    pub(crate) fn give_token(&self, host: &HostName) -> Result<(), LabError> {
        let token = self.cli(&["token", "create", "--host", host.as_str()])?;
        storage::write_secret(&self.layout.host_dir(host).join("token"), &format!("{}\n", token.trim()))
    }
}
