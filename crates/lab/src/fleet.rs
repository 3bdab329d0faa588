//! The fleet that a lab declares, and the configurations of its controller and agents.

use std::collections::BTreeMap;

use lifeboat_model::{
    ArrayName, ClassName, FenceName, HostName, Seconds, VmName, VolumeName,
    fleet::Class,
    spec::{
        AgentFence, ArrayBackend, ArraySpec, CheckSpec, Declaration, FenceSpec, HostSpec, MachineSpec, NbdTarget,
        NicSpec, RedfishFence, VmSpec, VolumeSpec,
    },
};

use crate::{
    Lab, bmc,
    guest::{GuestImage, program},
    layout::{self, BRIDGE},
    storage::VOLUME_GIB,
};

const ARRAY: &str = "a1";
/// Name and recovery time objective in seconds, the most important first.
const CLASSES: [(&str, u64); 3] = [("gold", 120), ("silver", 300), ("bronze", 600)];
/// RAM of a guest.
const GUEST_MIB: u64 = 128;
/// Guests that a host starts at a time: they are small, and a fifth that waits for a place takes longer than five at once.
const STARTS: u64 = 8;
/// Share of a processor that a guest is reckoned with.
const GUEST_CPU_MILLI: u64 = 250;

/// Volumes of the VM with this index.
pub(crate) fn volumes_of(vm: &VmName, count: usize) -> Vec<VolumeName> {
    (0..count).map(|n| VolumeName::new(&format!("{vm}-d{n}")).expect("made of a name")).collect()
}

/// What the lab's hosts, storage and VMs are, as an operator would declare them.
pub(crate) fn declaration(lab: &Lab, image: &GuestImage) -> Declaration {
    let settings = &lab.settings;
    let volumes = settings.vms.iter().flat_map(|vm| volumes_of(vm, settings.volumes_per_vm));
    let volumes = volumes.map(|name| VolumeSpec { name, array: array_name(), size_gib: VOLUME_GIB, file: None });
    Declaration {
        classes: CLASSES
            .iter()
            .map(|(name, rto)| Class { name: class(name), rto_s: Seconds::new(*rto), liveness: None })
            .collect(),
        hosts: settings.hosts.iter().enumerate().map(|(index, host)| host_spec(lab, index, host)).collect(),
        arrays: vec![array(lab)],
        volumes: volumes.collect(),
        vms: settings.vms.iter().enumerate().map(|(index, vm)| vm_spec(lab, image, index, vm)).collect(),
        ..Declaration::default()
    }
}

fn class(name: &str) -> ClassName {
    ClassName::new(name).expect("a constant name")
}

fn array_name() -> ArrayName {
    ArrayName::new(ARRAY).expect("a constant name")
}

fn array(lab: &Lab) -> ArraySpec {
    let target = |(index, host): (usize, &HostName)| {
        let qmp = lab.layout.storage_qmp(host).to_string_lossy().into_owned();
        let target = NbdTarget { qmp, host: layout::FABRIC.to_string(), port: layout::nbd_port(index), tls_psk: true };
        (host.clone(), target)
    };
    ArraySpec {
        name: array_name(),
        max_ops: 8,
        remap_s: Seconds::from_millis(50),
        backend: Some(ArrayBackend::Nbd {
            directory: lab.layout.volumes().to_string_lossy().into_owned(),
            hosts: lab.hosts().iter().enumerate().map(target).collect(),
        }),
    }
}

/// A host holds its share of the VMs when any other host is gone, and one VM more.
fn host_spec(lab: &Lab, index: usize, name: &HostName) -> HostSpec {
    let others = (lab.hosts().len() - 1).max(1);
    let most = lab.vms().len().div_ceil(others) as u64 + 1;
    let capacity =
        BTreeMap::from([("cpu_milli".to_owned(), most * GUEST_CPU_MILLI), ("memory_mib".to_owned(), most * GUEST_MIB)]);
    HostSpec { name: name.clone(), capacity, starts: Some(STARTS), fences: fences(lab, index, name), ..bare_host(name) }
}

/// Both interfaces of the host's BMC; half of the hosts are fenced one way first, half the other.
pub(crate) fn fences(lab: &Lab, index: usize, host: &HostName) -> Vec<FenceSpec> {
    let mut fences = vec![redfish(lab, host), ipmi(lab, index, host)];
    if index % 2 == 1 {
        fences.reverse();
    }
    fences
}

fn redfish(lab: &Lab, host: &HostName) -> FenceSpec {
    FenceSpec::Redfish(RedfishFence {
        name: fence_name("redfish", host),
        timeout_s: Seconds::new(15),
        url: format!("https://{}:{}", layout::FABRIC, layout::REDFISH_PORT),
        system: host.to_string(),
        user: bmc::USER.to_owned(),
        password_file: bmc::password_file(&lab.layout).to_string_lossy().into_owned(),
        ca_file: Some(bmc::ca_file(&lab.layout).to_string_lossy().into_owned()),
        pin_sha256: None,
    })
}

fn ipmi(lab: &Lab, index: usize, host: &HostName) -> FenceSpec {
    let options = [
        ("ip", layout::FABRIC.to_string()),
        ("ipport", layout::ipmi_port(index).to_string()),
        ("username", bmc::USER.to_owned()),
        ("lanplus", "1".to_owned()),
        ("cipher", "3".to_owned()),
        ("power_wait", "0".to_owned()),
    ];
    FenceSpec::Agent(AgentFence {
        name: fence_name("ipmi", host),
        timeout_s: Seconds::new(20),
        agent: "fence_ipmilan".to_owned(),
        options: options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        secret_files: BTreeMap::from([(
            "password".to_owned(),
            bmc::password_file(&lab.layout).to_string_lossy().into_owned(),
        )]),
    })
}

fn fence_name(kind: &str, host: &HostName) -> FenceName {
    FenceName::new(&format!("{kind}-{host}")).expect("made of names")
}

fn vm_spec(lab: &Lab, image: &GuestImage, index: usize, vm: &VmName) -> VmSpec {
    let address = layout::vm_address(index).to_string();
    let path = |path: &std::path::Path| Some(path.to_string_lossy().into_owned());
    let machine = MachineSpec {
        vcpus: Some(1),
        memory_mib: Some(GUEST_MIB),
        kernel: path(&image.kernel),
        initrd: path(&image.initrd),
        cmdline: Some(GuestImage::cmdline(&address)),
        nics: vec![NicSpec { bridge: BRIDGE.to_owned(), mac: layout::vm_mac(index) }],
        ..MachineSpec::default()
    };
    VmSpec {
        name: vm.clone(),
        host: Some(lab.hosts()[index % lab.hosts().len()].clone()),
        demand: BTreeMap::from([("cpu_milli".to_owned(), GUEST_CPU_MILLI), ("memory_mib".to_owned(), GUEST_MIB)]),
        class: class(CLASSES[index % CLASSES.len()].0),
        volumes: volumes_of(vm, lab.settings.volumes_per_vm),
        start_s: Seconds::new(30),
        machine,
        check: Some(CheckSpec::Tcp { address: format!("{address}:{}", program::PORT) }),
        ..bare_vm(vm)
    }
}

/// A host of which nothing is declared, so that what a declaration gains later holds its default here.
fn bare_host(name: &HostName) -> HostSpec {
    serde_json::from_value(serde_json::json!({ "name": name, "capacity": {} })).expect("the least that a host needs")
}

/// A VM of which nothing is declared.
fn bare_vm(name: &VmName) -> VmSpec {
    let least = serde_json::json!({ "name": name, "demand": {}, "class": CLASSES[0].0 });
    serde_json::from_value(least).expect("the least that a VM needs")
}

/// The controller's configuration.
pub(crate) fn controller_toml(lab: &Lab) -> String {
    let text = |path: std::path::PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
    let (heartbeat, lost) = (lab.settings.heartbeat_s.as_f64(), lab.settings.lost_after_s.as_f64());
    let spans =
        [("heartbeat_s", heartbeat), ("suspect_after_s", f64::midpoint(heartbeat, lost)), ("lost_after_s", lost)];
    let liveness: toml::Table =
        spans.into_iter().map(|(key, seconds)| (key.to_owned(), toml::Value::Float(seconds))).collect();
    let isolation = toml::Value::String(lab.settings.isolation.to_string());
    let fencing = toml::Table::from_iter([("isolation".to_owned(), isolation)]);
    let listen = format!("{}:{}", layout::CONTROLLER, layout::CONTROLLER_PORT);
    toml::Table::from_iter([
        ("state_dir".to_owned(), text(lab.layout.controller_dir())),
        ("socket".to_owned(), text(lab.layout.controller_socket())),
        ("listen".to_owned(), toml::Value::String(listen)),
        ("liveness".to_owned(), toml::Value::Table(liveness)),
        ("fencing".to_owned(), toml::Value::Table(fencing)),
    ])
    .to_string()
}

/// The configuration of a host's agent.
pub(crate) fn agent_toml(lab: &Lab, host: &HostName) -> String {
    let text = |path: std::path::PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
    let (kept, run) = (lab.layout.host_dir(host), lab.layout.host_run(host));
    let controller = format!("{}:{}", layout::CONTROLLER, layout::CONTROLLER_PORT);
    let qemu = toml::Table::from_iter([
        ("accelerator".to_owned(), toml::Value::String(lab.settings.accelerator.as_str().to_owned())),
        ("psk_dir".to_owned(), text(kept.join("psk"))),
        // The lab's guests do not listen to their power button, and have nothing to put away: all is durable.
        ("shutdown_grace_s".to_owned(), toml::Value::Integer(2)),
    ]);
    toml::Table::from_iter([
        ("host".to_owned(), toml::Value::String(host.to_string())),
        ("controllers".to_owned(), toml::Value::Array(vec![toml::Value::String(controller)])),
        ("state_dir".to_owned(), text(kept.join("state"))),
        ("run_dir".to_owned(), text(run.join("agent"))),
        ("token_file".to_owned(), text(kept.join("token"))),
        ("boot_id_file".to_owned(), text(run.join("boot_id"))),
        ("qemu".to_owned(), toml::Value::Table(qemu)),
    ])
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lifeboat_model::{
        declaration::{Source, read_and_check},
        spec::Isolation,
    };

    use super::*;
    use crate::{
        guest::Accelerator,
        layout::{Layout, host_names, vm_names},
        process::EntryPoint,
        settings::Settings,
    };

    fn lab(hosts: usize, vms: usize) -> Lab {
        let settings = Settings {
            name: "lab".to_owned(),
            hosts: host_names(hosts),
            vms: vm_names(vms),
            volumes_per_vm: 2,
            entry: EntryPoint { binary: PathBuf::from("/usr/bin/lifeboat") },
            control_plane: true,
            heartbeat_s: Seconds::new(1),
            lost_after_s: Seconds::new(3),
            isolation: Isolation::Stop,
            image: None,
            accelerator: Accelerator::Tcg,
        };
        Lab { layout: Layout { name: "lab".to_owned(), dir: PathBuf::from("/var/lib/lifeboat-lab/lab") }, settings }
    }

    #[test]
    fn the_labs_fleet_is_read_back_as_an_operators_file_without_a_problem() {
        for (hosts, vms) in [(1, 0), (1, 3), (3, 6), (64, 250)] {
            let image = GuestImage { kernel: "/cache/kernel".into(), initrd: "/cache/initrd".into() };
            let declared = declaration(&lab(hosts, vms), &image);
            let text = toml::to_string(&declared).expect("TOML");
            let source = Source { name: "fleet.toml", bytes: text.as_bytes() };
            assert_eq!(read_and_check(&[source], &Declaration::default()), Ok(declared), "{hosts} hosts, {vms} VMs");
        }
    }

    #[test]
    fn the_other_hosts_have_room_for_all_vms_of_any_one() {
        let image = GuestImage { kernel: "/cache/kernel".into(), initrd: "/cache/initrd".into() };
        for (hosts, vms) in [(2, 1), (2, 9), (3, 6), (4, 9), (5, 250)] {
            let declared = declaration(&lab(hosts, vms), &image);
            let room = declared.hosts[0].capacity["memory_mib"] / GUEST_MIB;
            assert!(room * (hosts as u64 - 1) >= vms as u64, "{hosts} hosts, {vms} VMs");
        }
    }

    #[test]
    fn configurations_are_toml_and_say_where_things_are() {
        let lab = lab(2, 2);
        let controller: toml::Table = controller_toml(&lab).parse().expect("TOML");
        assert_eq!(controller["listen"].as_str(), Some("10.77.0.2:7443"));
        assert_eq!(controller["liveness"]["suspect_after_s"].as_float(), Some(2.0));
        let agent: toml::Table = agent_toml(&lab, &lab.hosts()[1]).parse().expect("TOML");
        assert_eq!(agent["host"].as_str(), Some("h2"));
        assert_eq!(agent["qemu"]["accelerator"].as_str(), Some("tcg"));
        assert_eq!(agent["boot_id_file"].as_str(), Some("/run/lifeboat-lab/lab/h2/boot_id"));
    }
}
