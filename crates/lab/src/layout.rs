//! Where everything of a lab is: directories, sockets, namespaces, cgroups, addresses. All follow from its name and its
//! directory, so that whatever a crashed `up` left can be found and taken away.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use lifeboat_model::{HostName, VmName};

use crate::{LabError, host::cgroup};

/// The most hosts of a lab.
pub const MAX_HOSTS: usize = 64;
/// The most VMs of a lab.
pub const MAX_VMS: usize = 250;

/// Address of the fabric's bridge: storage and BMCs.
pub(crate) const FABRIC: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Address of the controller.
pub(crate) const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Port of the controller.
pub(crate) const CONTROLLER_PORT: u16 = 7443;
/// Port of the Redfish service of all hosts.
pub(crate) const REDFISH_PORT: u16 = 8443;
/// Bits of the lab's network.
pub(crate) const NETWORK_BITS: u8 = 16;
/// Bridge in the fabric and in every host.
pub(crate) const BRIDGE: &str = "br0";
/// A host's link to the fabric, as the host sees it.
pub(crate) const UPLINK: &str = "uplink";

const RUN: &str = "/run/lifeboat-lab";

/// The names and places of one lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) name: String,
    /// What survives: images, configurations, logs.
    pub(crate) dir: PathBuf,
}

impl Layout {
    /// Checks a lab's name: it becomes part of the names of files, namespaces and cgroups.
    pub(crate) fn check_name(name: &str) -> Result<(), LabError> {
        let fits = (1..=16).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-');
        if fits {
            return Ok(());
        }
        let why = "a lab's name is 1 to 16 lower-case letters, digits or `-`".to_owned();
        Err(LabError::BadOption { option: "name", value: name.to_owned(), why })
    }

    /// What is as short-lived as the machine's RAM.
    pub(crate) fn run(&self) -> PathBuf {
        Path::new(RUN).join(&self.name)
    }

    /// Held while the lab is brought up or taken down.
    pub(crate) fn lock(name: &str) -> PathBuf {
        Path::new(RUN).join(format!("{name}.lock"))
    }

    /// Says where the lab's directory is.
    pub(crate) fn registry(name: &str) -> PathBuf {
        Path::new(RUN).join(format!("{name}.json"))
    }

    /// Names of all labs that are registered.
    pub(crate) fn registered() -> Vec<String> {
        let entries = std::fs::read_dir(RUN).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                entry.file_name().to_str().and_then(|file| file.strip_suffix(".json")).map(str::to_owned)
            })
            .collect();
        names.sort();
        names
    }

    /// Marks the directory as this lab's.
    pub(crate) fn marker(&self) -> PathBuf {
        self.dir.join("lab.json")
    }

    pub(crate) fn cgroup(&self) -> Result<cgroup::Cgroup, LabError> {
        Ok(cgroup::Cgroup::new(cgroup::root()?.join(format!("lifeboat-lab.{}", self.name))))
    }

    pub(crate) fn cgroup_of(&self, part: &str) -> Result<cgroup::Cgroup, LabError> {
        Ok(cgroup::Cgroup::new(self.cgroup()?.path().join(part)))
    }

    pub(crate) fn host_cgroup(&self, host: &HostName) -> Result<cgroup::Cgroup, LabError> {
        self.cgroup_of(&format!("host.{host}"))
    }

    /// The IPMI side of a host's BMC, apart so that it can be made deaf.
    pub(crate) fn ipmi_cgroup(&self, host: &HostName) -> Result<cgroup::Cgroup, LabError> {
        self.cgroup_of(&format!("ipmi.{host}"))
    }

    /// Prefix of the names of the lab's network namespaces.
    pub(crate) fn netns_prefix(&self) -> String {
        format!("lifeboat.{}.", self.name)
    }

    pub(crate) fn fabric_netns(&self) -> String {
        format!("{}fabric", self.netns_prefix())
    }

    pub(crate) fn host_netns(&self, host: &HostName) -> String {
        format!("{}host.{host}", self.netns_prefix())
    }

    pub(crate) fn netns_file(name: &str) -> PathBuf {
        Path::new("/run/netns").join(name)
    }

    /// What a host keeps over a power cut: its agent's state, its secrets, its log.
    pub(crate) fn host_dir(&self, host: &HostName) -> PathBuf {
        self.dir.join("hosts").join(host.as_str())
    }

    /// What a host loses with its power.
    pub(crate) fn host_run(&self, host: &HostName) -> PathBuf {
        self.run().join(host.as_str())
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.dir.join("volumes")
    }

    pub(crate) fn storage_qmp(&self, host: &HostName) -> PathBuf {
        self.run().join(format!("storage.{host}.qmp"))
    }

    pub(crate) fn bmc(&self) -> PathBuf {
        self.dir.join("bmc")
    }

    pub(crate) fn controller_dir(&self) -> PathBuf {
        self.dir.join("controller")
    }

    pub(crate) fn controller_socket(&self) -> PathBuf {
        self.run().join("controller.sock")
    }

    pub(crate) fn world_trace(&self) -> PathBuf {
        self.dir.join("world.ndjson")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(crate) fn log(&self, what: &str) -> PathBuf {
        self.logs().join(format!("{what}.log"))
    }
}

/// The hosts of a lab of this size: h1, h2, …
pub(crate) fn host_names(count: usize) -> Vec<HostName> {
    (1..=count).map(|n| HostName::new(&format!("h{n}")).expect("a constant form of names")).collect()
}

/// The VMs of a lab of this size: vm-1, vm-2, …
pub(crate) fn vm_names(count: usize) -> Vec<VmName> {
    (1..=count).map(|n| VmName::new(&format!("vm-{n}")).expect("a constant form of names")).collect()
}

fn small(index: usize) -> u8 {
    u8::try_from(index).expect("there are fewer than 256 of anything in a lab")
}

/// Address of the host with this index.
pub(crate) fn host_address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + small(index))
}

/// Address of the VM with this index, the same wherever it runs.
pub(crate) fn vm_address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, 1 + small(index))
}

/// MAC address of the VM with this index.
pub(crate) fn vm_mac(index: usize) -> String {
    format!("52:54:00:77:01:{:02x}", 1 + small(index))
}

/// Port of the storage daemon of the host with this index.
pub(crate) fn nbd_port(index: usize) -> u16 {
    10_809 + u16::from(small(index))
}

/// UDP port of the IPMI side of the BMC of the host with this index.
pub(crate) fn ipmi_port(index: usize) -> u16 {
    6230 + u16::from(small(index))
}
