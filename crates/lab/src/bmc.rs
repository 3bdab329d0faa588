//! The hosts' BMCs: for each host a Redfish and an IPMI interface to one power switch.
//!
//! All Redfish interfaces are one HTTPS server ([`redfish`]), a system a host; each IPMI interface is an `ipmi_sim` of
//! OpenIPMI ([`ipmi`]) that runs the lab's hidden `chassis` entry for every question and order. Both read the power from the
//! host itself. A deaf BMC is one whose file says so: its Redfish requests are held without an answer, its `ipmi_sim` is
//! frozen.

pub(crate) mod ipmi;
pub(crate) mod redfish;

use std::fs;

use lifeboat_model::HostName;
use lifeboat_transport::ca::Authority;

use crate::{
    LabError,
    layout::Layout,
    storage::{random_hex, write_secret},
};

/// The user that may switch the power.
pub(crate) const USER: &str = "lifeboat";

/// Makes the password of all BMCs and the authority of the Redfish server's certificate.
pub(crate) fn make_secrets(layout: &Layout) -> Result<(), LabError> {
    let dir = layout.bmc();
    fs::create_dir_all(&dir).map_err(LabError::system(format!("make {}", dir.display())))?;
    // IPMI takes at most 16 bytes.
    write_secret(&password_file(layout), &format!("{}\n", random_hex(8)?))?;
    let authority = Authority::open_or_create(&dir.join("authority")).map_err(|error| LabError::Program {
        operation: "make the BMCs' certificate authority".to_owned(),
        detail: error.to_string(),
    })?;
    let path = ca_file(layout);
    fs::write(&path, authority.certificate_pem()).map_err(LabError::system(format!("write {}", path.display())))
}

pub(crate) fn password_file(layout: &Layout) -> std::path::PathBuf {
    layout.bmc().join("password")
}

/// The certificate that whoever fences over Redfish trusts.
pub(crate) fn ca_file(layout: &Layout) -> std::path::PathBuf {
    layout.bmc().join("ca.pem")
}

/// There while a host's BMC does not answer.
pub(crate) fn deaf_file(layout: &Layout, host: &HostName) -> std::path::PathBuf {
    layout.host_dir(host).join("bmc-deaf")
}

/// Makes a host's BMC deaf, or lets it hear again.
pub(crate) fn set_deaf(layout: &Layout, host: &HostName, deaf: bool) -> Result<(), LabError> {
    let path = deaf_file(layout, host);
    if deaf {
        fs::write(&path, "").map_err(LabError::system(format!("write {}", path.display())))?;
    }
    layout.ipmi_cgroup(host)?.freeze(deaf)?;
    if !deaf && path.exists() {
        fs::remove_file(&path).map_err(LabError::system(format!("remove {}", path.display())))?;
    }
    Ok(())
}
