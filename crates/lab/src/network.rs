//! The lab's networks: a fabric namespace with a bridge, and a namespace for each host with a bridge of its own, joined by a
//! cable (a veth pair). Nothing of it is seen in this machine's own network, so several labs may use the same addresses.

use std::{fs, io};

use lifeboat_model::HostName;

use crate::{
    LabError,
    layout::{self, BRIDGE, Layout, NETWORK_BITS, UPLINK},
    process::{in_netns, run},
};

fn ip(operation: &str, netns: &str, words: &str) -> Result<(), LabError> {
    let args: Vec<&str> = ["-n", netns].into_iter().chain(words.split(' ')).collect();
    run(operation, "ip", &args).map(drop)
}

/// Makes the fabric's namespace and bridge.
pub(crate) fn make_fabric(layout: &Layout) -> Result<(), LabError> {
    let netns = layout.fabric_netns();
    let what = "make the fabric's network";
    add(&netns)?;
    ip(what, &netns, &format!("link add {BRIDGE} type bridge"))?;
    for address in [layout::FABRIC, layout::CONTROLLER] {
        ip(what, &netns, &format!("address add {address}/{NETWORK_BITS} dev {BRIDGE}"))?;
    }
    ip(what, &netns, &format!("link set {BRIDGE} up"))
}

/// Makes a host's namespace and bridge and plugs its cable in; the cable's far end stays down until the host has power.
pub(crate) fn make_host(layout: &Layout, host: &HostName, index: usize) -> Result<(), LabError> {
    let (fabric, netns) = (layout.fabric_netns(), layout.host_netns(host));
    let what = format!("make the network of {host}");
    add(&netns)?;
    ip(&what, &netns, &format!("link add {BRIDGE} type bridge"))?;
    ip(&what, &netns, &format!("address add {}/{NETWORK_BITS} dev {BRIDGE}", layout::host_address(index)))?;
    ip(&what, &fabric, &format!("link add {host} type veth peer name {UPLINK} netns {netns}"))?;
    ip(&what, &netns, &format!("link set {UPLINK} master {BRIDGE} up"))?;
    ip(&what, &netns, &format!("link set {BRIDGE} up"))?;
    ip(&what, &fabric, &format!("link set {host} master {BRIDGE}"))
}

fn add(netns: &str) -> Result<(), LabError> {
    run(&format!("make network namespace {netns}"), "ip", &["netns", "add", netns])?;
    ip("bring loopback up", netns, "link set lo up")
}

/// Plugs a host's cable in or out, at the fabric's end.
pub(crate) fn set_uplink(layout: &Layout, host: &HostName, up: bool) -> Result<(), LabError> {
    let state = if up { "up" } else { "down" };
    ip(&format!("set the link of {host} {state}"), &layout.fabric_netns(), &format!("link set {host} {state}"))
}

/// Runs something in the fabric.
pub(crate) fn in_fabric<T: Send>(layout: &Layout, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
    in_netns(&Layout::netns_file(&layout.fabric_netns()), work)
}

/// Names of the lab's namespaces that there are.
pub(crate) fn namespaces(layout: &Layout) -> Vec<String> {
    let prefix = layout.netns_prefix();
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(&prefix)).collect()
}

/// Takes all of the lab's namespaces away, and with them every link.
pub(crate) fn remove(layout: &Layout) -> Result<(), LabError> {
    for netns in namespaces(layout) {
        let removed = run(&format!("remove network namespace {netns}"), "ip", &["netns", "del", &netns]);
        let file = Layout::netns_file(&netns);
        if removed.is_err() && file.exists() {
            // Half made: the file is there and nothing is mounted on it.
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LabError::system(format!("remove {}", file.display()))(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
