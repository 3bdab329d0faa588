//! The IPMI interface of a host's BMC: OpenIPMI's `ipmi_sim`.

use std::{
    fs, io,
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use lifeboat_model::HostName;

use super::{USER, password_file};
use crate::{
    LabError,
    layout::{self, Layout},
    network::in_fabric,
    process::{Enter, EntryPoint, last_lines, wait_for},
    storage::write_secret,
};

const EMULATED: &str =
    "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n";

/// Starts a host's `ipmi_sim`.
pub(crate) fn start(layout: &Layout, host: &HostName, index: usize, entry: &EntryPoint) -> Result<(), LabError> {
    let dir = layout.bmc().join(host.as_str());
    fs::create_dir_all(&dir).map_err(LabError::system(format!("make {}", dir.display())))?;
    let password = password_file(layout);
    let password = fs::read_to_string(&password).map_err(LabError::system(format!("read {}", password.display())))?;
    let chassis = entry.words(&["chassis", &layout.dir.to_string_lossy(), host.as_str()]).join(" ");
    let port = layout::ipmi_port(index);
    write_secret(&dir.join("lan.conf"), &configuration(host, port, &chassis, password.trim()))?;
    write_secret(&dir.join("bmc.emu"), EMULATED)?;
    let at = |file: &str| dir.join(file).to_string_lossy().into_owned();
    let command = vec![
        "ipmi_sim".to_owned(),
        "-n".to_owned(),
        "-c".to_owned(),
        at("lan.conf"),
        "-f".to_owned(),
        at("bmc.emu"),
        "-s".to_owned(),
        at("state"),
    ];
    let cgroup = layout.ipmi_cgroup(host)?;
    cgroup.create()?;
    let enter = Enter {
        cgroup: cgroup.path().to_owned(),
        netns: Layout::netns_file(&layout.fabric_netns()),
        hostname: None,
        log: layout.log(&format!("ipmi-{host}")),
        wait: false,
        command,
    };
    enter.start(entry)
}

/// Waits until a host's `ipmi_sim` answers.
pub(crate) fn wait_ready(layout: &Layout, host: &HostName, index: usize) -> Result<(), LabError> {
    let port = layout::ipmi_port(index);
    let log = layout.log(&format!("ipmi-{host}"));
    let what = format!("an answer of the IPMI side of {host}'s BMC");
    in_fabric(layout, || {
        let hint = || format!("its log: {}", last_lines(&log));
        wait_for(&what, &log.display().to_string(), Duration::from_secs(10), || answers(port).ok()).map_err(|error| {
            match error {
                LabError::TimedOut { what, limit, .. } => LabError::TimedOut { what, limit, hint: hint() },
                other => other,
            }
        })
    })?
}

/// Asks for the channel's authentication capabilities, as every client does first.
fn answers(port: u16) -> io::Result<()> {
    const ASK: [u8; 23] = [
        0x06, 0x00, 0xff, 0x07, // RMCP, IPMI class
        0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0x09, // no session, nine bytes follow
        0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5, // Get Channel Authentication Capabilities
    ];
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((layout::FABRIC, port))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    socket.send(&ASK)?;
    socket.recv(&mut [0; 64]).map(drop)
}

fn configuration(host: &HostName, port: u16, chassis: &str, password: &str) -> String {
    let address = layout::FABRIC;
    format!(
        r#"name "{host}"
set_working_mc 0x20
startlan 1
  addr {address} {port}
  priv_limit admin
  allowed_auths_callback md5
  allowed_auths_user md5
  allowed_auths_operator md5
  allowed_auths_admin md5
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "{chassis}"
user 2 true "{USER}" "{password}" admin 10 md5
"#
    )
}
