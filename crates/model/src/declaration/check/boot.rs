//! What a VM needs to boot, and how one sees that it is up.

use std::collections::BTreeMap;

use crate::spec::{CheckSpec, Declaration, MachineSpec, VmSpec};

use super::{Check, Kind, Object, all_vms};

/// More than any machine has.
const MAX_VCPUS: u32 = 4096;
/// The most characters of a Linux network interface's name.
const MAX_BRIDGE: usize = 15;

impl Check<'_> {
    pub(super) fn boot(&mut self, declaration: &Declaration, known: &Declaration) {
        for vm in &declaration.vms {
            let of = Object::new(Kind::Vm, &vm.name);
            self.size(&of, vm);
            self.kernel(&of, &vm.machine);
            if let Some(CheckSpec::Tcp { address }) = &vm.check {
                let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
                if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
                    let text = format!("`check.address` of {of} is `{address}`; write `address:port`.");
                    self.problem(&of, "check.address", text);
                }
            }
        }
        self.cards(declaration, known);
    }

    fn size(&mut self, of: &Object, vm: &VmSpec) {
        let memory = vm.machine.memory_mib.or(vm.demand.get("memory_mib").copied()).unwrap_or(0);
        if memory == 0 {
            let text = format!("{of} has no memory. Add `memory_mib` to its `demand`.");
            self.problem(of, "demand", text);
        }
        let vcpus = vm.machine.vcpus.map(u64::from).or(vm.demand.get("cpu_milli").map(|milli| milli.div_ceil(1000)));
        match vcpus.unwrap_or(0) {
            0 => {
                let text = format!("{of} has no CPU. Add `cpu_milli` to its `demand` (1000 is one CPU).");
                self.problem(of, "demand", text);
            }
            vcpus if vcpus > u64::from(MAX_VCPUS) => {
                let text = format!("{of} would have {vcpus} CPUs; {MAX_VCPUS} is the most.");
                self.problem(of, "demand.cpu_milli", text);
            }
            _ => {}
        }
    }

    fn kernel(&mut self, of: &Object, machine: &MachineSpec) {
        for (field, value) in [("kernel", &machine.kernel), ("initrd", &machine.initrd)] {
            if value.as_deref().is_some_and(|path| !path.starts_with('/')) {
                let text = format!("`machine.{field}` of {of} must be an absolute path, the same on every host.");
                self.problem(of, &format!("machine.{field}"), text);
            }
        }
        for (field, value) in [("initrd", &machine.initrd), ("cmdline", &machine.cmdline)] {
            if machine.kernel.is_none() && value.is_some() {
                let text =
                    format!("{of} has `machine.{field}` without `machine.kernel`. Add the kernel, or remove it.");
                self.problem(of, &format!("machine.{field}"), text);
            }
        }
    }

    fn cards(&mut self, declaration: &Declaration, known: &Declaration) {
        let mut owners: BTreeMap<String, (Object, String)> = BTreeMap::new();
        for vm in all_vms(declaration, known) {
            let here = Object::new(Kind::Vm, &vm.name);
            for (at, card) in vm.machine.nics.iter().enumerate() {
                let path = format!("machine.nic[{at}]");
                if card.bridge.is_empty() || card.bridge.len() > MAX_BRIDGE || card.bridge.contains(['/', ' ']) {
                    let text = format!("`{path}.bridge` of {here} is `{}`; that is no name of a bridge.", card.bridge);
                    self.problem(&here, &format!("{path}.bridge"), text);
                }
                let path = format!("{path}.mac");
                if !is_unicast_mac(&card.mac) {
                    let text = format!(
                        "`{path}` of {here} is `{}`; write six pairs of hexadecimal digits, the first even, such as \
                         52:54:00:00:00:01.",
                        card.mac
                    );
                    self.problem(&here, &path, text);
                } else if let Some((first, first_path)) =
                    owners.insert(card.mac.to_ascii_lowercase(), (here.clone(), path.clone()))
                {
                    let line = self.elsewhere(&first, &first_path, &here, &path);
                    let whom = if first == here { "another of its cards".to_owned() } else { first.to_string() };
                    let text = format!("{here} has the MAC address {}, which {whom} already has{line}.", card.mac);
                    self.problem(&here, &path, text);
                }
            }
        }
    }
}

fn is_unicast_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    let hex = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = |pair: &&str| hex(pair).then(|| u8::from_str_radix(pair, 16).ok()).flatten();
    let bytes: Vec<u8> = pairs.iter().filter_map(byte).collect();
    pairs.len() == 6 && bytes.len() == 6 && bytes[0] & 1 == 0
}
