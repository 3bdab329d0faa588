//! QEMU's command line. Pure: the same VM has the same words, which are kept so that a later QEMU can take the guest over
//! with the very same machine.
//!
//! Fit for that take-over (CPR): guest RAM is a shared memfd, taps and the lock are inherited descriptors, and every
//! device has a fixed id and a fixed place on the bus, which also keeps the guest's own names for them stable.
//!
//! Whatever comes from outside stands inside JSON or as a word of its own, never where a comma would split it.

use std::path::Path;

use lifeboat_model::spec::MachineSpec;
use lifeboat_ports::VmConfig;
use serde_json::{Value, json};

use super::volumes::{Volumes, node};

/// The descriptor on which QEMU listens for QMP.
pub(super) const QMP_FD: i32 = 4;

/// The descriptor of the first network card's tap; the others follow.
pub(super) const FIRST_TAP_FD: i32 = 5;

/// The most network cards of a VM: one PCI device's functions.
pub(super) const MOST_NICS: usize = 8;

/// The most volumes of a VM: sixteen PCI devices' functions.
pub(super) const MOST_VOLUMES: usize = 128;

/// The descriptor on which QEMU listens for whoever talks to the guest agent.
pub(super) const GUEST_AGENT_FD: i32 = FIRST_TAP_FD + MOST_NICS as i32;

/// The first PCI slots of each kind of device.
const RNG_SLOT: usize = 2;
const PANIC_SLOT: usize = 3;
const NIC_SLOT: usize = 4;
const VOLUME_SLOT: usize = 5;
const CHANNEL_SLOT: usize = 0x18;
const WATCHDOG_SLOT: usize = 0x19;

// The last slots of a q35 are its own.
const _: () = assert!(VOLUME_SLOT + MOST_VOLUMES / 8 <= CHANNEL_SLOT && NIC_SLOT + MOST_NICS / 8 <= VOLUME_SLOT);

/// The longest serial number that a virtio disk has.
const MOST_SERIAL_CHARS: usize = 20;

/// QEMU's arguments for a VM.
pub(super) fn arguments(config: &VmConfig, volumes: &Volumes, kvm: bool, console_log: &Path) -> Vec<String> {
    let mut words = Words(Vec::new());
    words.machine(config, kvm);
    words.management(console_log);
    words.volumes(config, volumes);
    words.nics(&config.machine);
    words.health(&config.machine);
    words.boot(&config.machine);
    words.0
}

struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }

    fn json(&mut self, name: &str, value: &Value) {
        self.option(name, value.to_string());
    }

    fn machine(&mut self, config: &VmConfig, kvm: bool) {
        self.option("-name", format!("guest={},debug-threads=on", config.vm));
        self.flag("-nodefaults");
        self.flag("-no-user-config");
        self.option("-display", "none");
        self.option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
        self.option("-machine", "q35,memory-backend=ram0,aux-ram-share=on");
        self.option("-accel", if kvm { "kvm" } else { "tcg" });
        self.option("-cpu", if kvm { "host" } else { "max" });
        self.option("-smp", config.vcpus.to_string());
        self.option("-m", format!("{}M", config.memory_mib));
        let size = config.memory_mib.saturating_mul(1 << 20);
        self.json("-object", &json!({ "qom-type": "memory-backend-memfd", "id": "ram0", "size": size, "share": true }));
        self.option("-rtc", "base=utc");
        // A guest that ends stays as a process until it was seen how it ended.
        // One whose watchdog runs out stands still: what is done about it is the leader's to say.
        let watchdog = if config.machine.watchdog.is_some() { ",watchdog=pause" } else { "" };
        self.option("-action", format!("reboot=reset,shutdown=pause,panic=pause{watchdog}"));
        self.flag("-S");
    }

    fn management(&mut self, console_log: &Path) {
        self.option("-msg", "timestamp=on");
        self.option("-chardev", format!("socket,id=qmp,fd={QMP_FD},server=on,wait=off"));
        self.option("-mon", "chardev=qmp,mode=control");
        // In this syntax a comma is doubled to stand for itself.
        let path = console_log.display().to_string().replace(',', ",,");
        self.option("-chardev", format!("file,id=console,path={path},append=on"));
        self.option("-serial", "chardev:console");
        self.json("-object", &json!({ "qom-type": "rng-builtin", "id": "entropy" }));
        self.json(
            "-device",
            &json!({ "driver": "virtio-rng-pci", "id": "rng0", "rng": "entropy", "addr": place(RNG_SLOT, 0) }),
        );
        self.json("-device", &json!({ "driver": "pvpanic-pci", "id": "panic0", "addr": place(PANIC_SLOT, 0) }));
    }

    fn volumes(&mut self, config: &VmConfig, volumes: &Volumes) {
        volumes.credentials.iter().for_each(|credentials| self.json("-object", credentials));
        for (index, block_device) in volumes.block_devices.iter().enumerate() {
            self.json("-blockdev", block_device);
            let mut device = json!({
                "driver": "virtio-blk-pci", "id": format!("disk{index}"), "drive": node(index),
                "addr": place(VOLUME_SLOT, index), "multifunction": index % 8 == 0,
                // An error stops the guest instead of being shown to it: no filesystem is torn when a volume goes.
                "werror": "stop", "rerror": "stop",
            });
            if index == 0 && config.machine.kernel.is_none() {
                device["bootindex"] = json!(1);
            }
            let name = config.attachments.get(index).map_or("", |attachment| attachment.volume.as_str());
            // A name that does not fit is left out, not cut: two volumes might then share one.
            if name.len() <= MOST_SERIAL_CHARS {
                device["serial"] = json!(name);
            }
            self.json("-device", &device);
        }
    }

    fn nics(&mut self, machine: &MachineSpec) {
        for ((index, nic), fd) in machine.nics.iter().enumerate().zip(FIRST_TAP_FD..) {
            self.json("-netdev", &json!({ "type": "tap", "id": format!("tap{index}"), "fd": fd.to_string() }));
            let device = json!({
                "driver": "virtio-net-pci", "id": format!("nic{index}"), "netdev": format!("tap{index}"),
                "mac": nic.mac, "addr": place(NIC_SLOT, index), "multifunction": index % 8 == 0,
                // Nobody boots from the network: leave the firmware's time to the disk.
                "romfile": "",
            });
            self.json("-device", &device);
        }
    }

    /// Devices by which a guest says how it is, where they are asked for.
    fn health(&mut self, machine: &MachineSpec) {
        if machine.guest_agent {
            self.option("-chardev", format!("socket,id=agent,fd={GUEST_AGENT_FD},server=on,wait=off"));
            self.json(
                "-device",
                &json!({ "driver": "virtio-serial-pci", "id": "channels", "addr": place(CHANNEL_SLOT, 0) }),
            );
            self.json(
                "-device",
                &json!({
                    "driver": "virtserialport", "id": "agent0", "bus": "channels.0", "nr": 1, "chardev": "agent",
                    "name": "org.qemu.guest_agent.0",
                }),
            );
        }
        if machine.watchdog.is_some() {
            self.json("-device", &json!({ "driver": "i6300esb", "id": "watchdog0", "addr": place(WATCHDOG_SLOT, 0) }));
        }
    }

    fn boot(&mut self, machine: &MachineSpec) {
        self.option("-boot", "menu=off,strict=on");
        let parts = [("-kernel", &machine.kernel), ("-initrd", &machine.initrd), ("-append", &machine.cmdline)];
        for (name, value) in parts {
            value.iter().for_each(|value| self.option(name, value.clone()));
        }
    }
}

/// The `index`th place from a PCI slot on: eight functions a slot.
fn place(slot: usize, index: usize) -> String {
    format!("{:x}.{:x}", slot + index / 8, index % 8)
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{
        Generation, VmName, VolumeName,
        attach::{Attachment, VolumePath},
        spec::{HealthAction, NicSpec},
    };

    use super::*;

    fn config(volumes: usize, nics: usize) -> VmConfig {
        let attachment = |index| Attachment {
            volume: VolumeName::new(&format!("web-d{index}")).unwrap(),
            path: VolumePath::File { path: "/x".into() },
        };
        let nic = |index| NicSpec { bridge: "br0".into(), mac: format!("52:54:00:00:00:{index:02x}") };
        VmConfig {
            vm: VmName::new("web").unwrap(),
            generation: Generation(1),
            vcpus: 2,
            memory_mib: 512,
            machine: MachineSpec { nics: (0..nics).map(nic).collect(), ..MachineSpec::default() },
            attachments: (0..volumes).map(attachment).collect(),
        }
    }

    fn some(volumes: usize) -> Volumes {
        let node = |index| json!({ "driver": "null-co", "node-name": node(index) });
        Volumes { credentials: Some(json!({ "id": "psk" })), block_devices: (0..volumes).map(node).collect() }
    }

    #[test]
    fn a_vm_that_boots_from_its_volume() {
        insta::assert_snapshot!(arguments(&config(1, 1), &some(1), false, Path::new("/l,og/console.log")).join("\n"));
    }

    #[test]
    fn a_vm_that_boots_a_kernel_directly_takes_its_words_as_they_are() {
        let mut config = config(1, 0);
        config.machine.kernel = Some("/boot/vmlinuz,x".into());
        config.machine.cmdline = Some("console=ttyS0 a=b,c -S".into());
        let words = arguments(&config, &some(1), true, Path::new("/log"));
        assert!(words.windows(2).any(|pair| pair == ["-kernel", "/boot/vmlinuz,x"]));
        assert!(words.windows(2).any(|pair| pair == ["-append", "console=ttyS0 a=b,c -S"]));
        assert!(words.windows(2).any(|pair| pair == ["-accel", "kvm"]));
        assert!(!words.iter().any(|word| word.contains("bootindex")));
    }

    #[test]
    fn no_two_devices_share_a_place_and_all_names_fit() {
        let mut config = config(MOST_VOLUMES, MOST_NICS);
        config.machine.guest_agent = true;
        config.machine.watchdog = Some(HealthAction::Restart);
        let words = arguments(&config, &some(MOST_VOLUMES), false, Path::new("/log"));
        let devices: Vec<Value> = words
            .windows(2)
            .filter(|pair| pair[0] == "-device")
            .map(|pair| serde_json::from_str(&pair[1]).unwrap())
            .collect();
        let mut places: Vec<&str> = devices.iter().filter_map(|device| device["addr"].as_str()).collect();
        places.sort_unstable();
        places.dedup();
        // The port of the guest agent's channel is on that channel's own bus.
        assert_eq!(places.len(), devices.len() - 1);
        assert!(node(MOST_VOLUMES).len() <= 31);
    }
}
