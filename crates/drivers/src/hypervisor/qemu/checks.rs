//! What can be known to be wrong with a VM's configuration before its QEMU is run.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use lifeboat_model::spec::NicSpec;
use lifeboat_ports::VmConfig;

use super::{
    command_line::{MOST_NICS, MOST_VOLUMES},
    settings::QemuSettings,
    volumes::{self, VolumeProblem},
};

/// The most vCPUs that QEMU's q35 machine takes without further devices.
const MOST_VCPUS: u32 = 255;

/// More memory than any host has, in MiB: 64 TiB.
const MOST_MEMORY_MIB: u64 = 64 << 20;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigProblem {
    #[error("{0} vCPUs are not between 1 and {MOST_VCPUS}; mend its `cpu_milli` or `machine.vcpus`")]
    Vcpus(u32),
    #[error("{0} MiB of RAM are not between 1 and {MOST_MEMORY_MIB}; mend its `memory_mib`")]
    Memory(u64),
    #[error(
        "its {wanted_mib} MiB of RAM are more than the {total_mib} MiB of this host; lower its `memory_mib`, or keep it off this host"
    )]
    MoreThanHost { wanted_mib: u64, total_mib: u64 },
    #[error("it has {0} volumes; {MOST_VOLUMES} is the most")]
    TooManyVolumes(usize),
    #[error("it has {0} network cards; {MOST_NICS} is the most")]
    TooManyNics(usize),
    #[error("`machine.{0}` needs `machine.kernel`")]
    NoKernel(&'static str),
    #[error("it has neither a volume nor a kernel to boot from")]
    NothingToBoot,
    #[error("`machine.{what}` cannot be read on this host: {path}")]
    BootFile { what: &'static str, path: String, source: io::Error },
    #[error("`machine.{0}` is not an absolute path: {1}")]
    NotAbsolute(&'static str, String),
    #[error("`{0}` is no MAC address of a network card (six pairs of hex digits, the first pair even)")]
    Mac(String),
    #[error("this host has no bridge `{0}`; make it, or mend the VM's network card")]
    NoBridge(String),
    #[error(transparent)]
    Volume(#[from] VolumeProblem),
}

/// Checks a configuration against this host.
pub(super) fn check(config: &VmConfig, settings: &QemuSettings) -> Result<(), ConfigProblem> {
    if !(1..=MOST_VCPUS).contains(&config.vcpus) {
        return Err(ConfigProblem::Vcpus(config.vcpus));
    }
    if !(1..=MOST_MEMORY_MIB).contains(&config.memory_mib) {
        return Err(ConfigProblem::Memory(config.memory_mib));
    }
    // The kernel would let it start all the same, and later kill a VM, perhaps another one, for want of memory.
    if let Some(total_mib) = host_memory_mib(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
        && config.memory_mib > total_mib
    {
        return Err(ConfigProblem::MoreThanHost { wanted_mib: config.memory_mib, total_mib });
    }
    if config.attachments.len() > MOST_VOLUMES {
        return Err(ConfigProblem::TooManyVolumes(config.attachments.len()));
    }
    boot(config)?;
    nics(&config.machine.nics)?;
    volumes::describe(&config.attachments, settings)?;
    Ok(())
}

fn host_memory_mib(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix(" kB")?;
    Some(kib.parse::<u64>().ok()? / 1024)
}

fn boot(config: &VmConfig) -> Result<(), ConfigProblem> {
    let machine = &config.machine;
    if machine.kernel.is_none() {
        if machine.initrd.is_some() {
            return Err(ConfigProblem::NoKernel("initrd"));
        }
        if machine.cmdline.is_some() {
            return Err(ConfigProblem::NoKernel("cmdline"));
        }
        if config.attachments.is_empty() {
            return Err(ConfigProblem::NothingToBoot);
        }
    }
    for (what, path) in [("kernel", &machine.kernel), ("initrd", &machine.initrd)] {
        let Some(path) = path else { continue };
        if !Path::new(path).is_absolute() {
            return Err(ConfigProblem::NotAbsolute(what, path.clone()));
        }
        File::open(path).map_err(|source| ConfigProblem::BootFile { what, path: path.clone(), source })?;
    }
    Ok(())
}

fn nics(nics: &[NicSpec]) -> Result<(), ConfigProblem> {
    if nics.len() > MOST_NICS {
        return Err(ConfigProblem::TooManyNics(nics.len()));
    }
    for NicSpec { bridge, mac } in nics {
        if !is_unicast_mac(mac) {
            return Err(ConfigProblem::Mac(mac.clone()));
        }
        // Asked of the network namespace that we are in; /sys may show another's.
        if nix::net::if_::if_nametoindex(bridge.as_str()).is_err() {
            return Err(ConfigProblem::NoBridge(bridge.clone()));
        }
    }
    Ok(())
}

fn is_unicast_mac(text: &str) -> bool {
    let bytes: Vec<&str> = text.split(':').collect();
    let is_byte = |byte: &&str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_even = |byte: &&str| u8::from_str_radix(byte, 16).is_ok_and(|first| first & 1 == 0);
    bytes.len() == 6 && bytes.iter().all(is_byte) && bytes.first().is_some_and(is_even)
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{Generation, VmName, spec::MachineSpec};

    use super::*;

    fn told(change: impl FnOnce(&mut VmConfig)) -> String {
        let machine = MachineSpec { kernel: Some("/proc/version".into()), ..MachineSpec::default() };
        let vm = VmName::new("web").unwrap();
        let mut config =
            VmConfig { vm, generation: Generation(1), vcpus: 1, memory_mib: 64, machine, attachments: Vec::new() };
        change(&mut config);
        check(&config, &QemuSettings::default()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!(told(|_| {}), "");
        let nic = |bridge: &str, mac: &str| NicSpec { bridge: bridge.into(), mac: mac.into() };
        assert!(told(|config| config.vcpus = 0).contains("vCPUs"));
        assert!(told(|config| config.memory_mib = u64::MAX).contains("RAM"));
        assert!(told(|config| config.machine.kernel = None).contains("neither a volume"));
        assert!(told(|config| config.memory_mib = 1 << 25).contains("more than the"));
        assert!(told(|config| config.machine.kernel = Some("/nowhere".into())).contains("/nowhere"));
        assert!(told(|config| config.machine.kernel = Some("vmlinuz".into())).contains("absolute"));
        assert!(
            told(|config| {
                config.machine.kernel = None;
                config.machine.initrd = Some("/x".into());
            })
            .contains("initrd")
        );
        assert!(
            told(|config| config.machine.nics = vec![nic("no-such-bridge0", "52:54:00:00:00:01")])
                .contains("no-such-bridge0")
        );
        for mac in [
            "",
            "52:54:00:00:00",
            "53:54:00:00:00:01",
            "52:54:00:00:00:zz",
            "52:54:00:00:00:01,x=y",
            "+2:54:00:00:00:01",
        ] {
            assert!(told(|config| config.machine.nics = vec![nic("lo", mac)]).contains("MAC"), "{mac}");
        }
        assert!(
            told(|config| config.machine.nics = vec![nic("lo", "52:54:00:00:00:01"); 9]).contains("9 network cards")
        );
    }

    #[test]
    fn the_hosts_memory_is_read_from_what_the_kernel_says() {
        assert_eq!(host_memory_mib("MemTotal:       24622412 kB\nMemFree: 1 kB\n"), Some(24045));
        for other in ["", "MemTotal:", "MemTotal: x kB", "MemTotal: 99999999999999999999999 kB"] {
            assert_eq!(host_memory_mib(other), None);
        }
    }
}
