use std::{path::PathBuf, time::Duration};

use lifeboat_model::{HostName, Seconds, VmName, spec::Isolation};
use serde::{Deserialize, Serialize};

use crate::{
    guest::{Accelerator, GuestImage},
    process::EntryPoint,
};

/// What a lab shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabOptions {
    /// Its name: 1 to 16 lower-case letters, digits or `-`. Labs of different names stand side by side.
    pub name: String,
    /// Directory for its files, made anew; none: `/var/lib/lifeboat-lab/NAME`. At most 60 characters, for sockets' sake.
    pub dir: Option<PathBuf>,
    /// Where built guest images are kept between labs.
    pub cache: PathBuf,
    /// Hosts, 1 to [`MAX_HOSTS`](crate::MAX_HOSTS).
    pub hosts: usize,
    /// VMs, at most [`MAX_VMS`](crate::MAX_VMS).
    pub vms: usize,
    /// Volumes of each VM, at most 8.
    pub volumes_per_vm: usize,
    /// The `lifeboat` binary: controller, agents and the lab's own processes are run from it.
    pub binary: PathBuf,
    /// Whether a controller and agents are started and the fleet applied. Without, the lab is hosts, storage and BMCs alone.
    pub control_plane: bool,
    /// Time between heartbeats.
    pub heartbeat_s: Seconds,
    /// Time without a heartbeat until a host is lost.
    pub lost_after_s: Seconds,
    /// What hosts do that are cut off from the controller.
    pub isolation: Isolation,
    /// How long [`Lab::up`] waits for all VMs to answer; none: it does not wait.
    pub wait_vms: Option<Duration>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            name: "lab".to_owned(),
            dir: None,
            cache: PathBuf::from("/var/cache/lifeboat-lab"),
            hosts: 3,
            vms: 6,
            volumes_per_vm: 1,
            binary: PathBuf::from("lifeboat"),
            control_plane: true,
            heartbeat_s: Seconds::new(1),
            lost_after_s: Seconds::new(3),
            isolation: Isolation::Stop,
            wait_vms: Some(Duration::from_secs(180)),
        }
    }
}

/// What a lab is, as its directory remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) hosts: Vec<HostName>,
    pub(crate) vms: Vec<VmName>,
    pub(crate) volumes_per_vm: usize,
    pub(crate) entry: EntryPoint,
    pub(crate) control_plane: bool,
    pub(crate) heartbeat_s: Seconds,
    pub(crate) lost_after_s: Seconds,
    #[serde(default)]
    pub(crate) isolation: Isolation,
    /// Known once the image is built.
    pub(crate) image: Option<GuestImage>,
    pub(crate) accelerator: Accelerator,
}
