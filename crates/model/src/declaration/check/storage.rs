//! Arrays and volumes: who serves what, and whose it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::{ArrayBackend, ArraySpec, Declaration};

use super::{Check, Kind, Object, all_vms};

impl Check<'_> {
    pub(super) fn storage(&mut self, declaration: &Declaration, known: &Declaration) {
        for array in &declaration.arrays {
            self.backend(array);
        }
        for volume in &declaration.volumes {
            let from = Object::new(Kind::Volume, &volume.name);
            self.reference(&from, "array", Kind::Array, volume.array.as_str());
            let plain = |file: &str| !matches!(file, "" | "." | "..") && !file.contains(['/', '\0']);
            if volume.file.as_deref().is_some_and(|file| !plain(file)) {
                let text = format!(
                    "`file` of {from} is a path. Give a file name only: it lies in the directory of array `{}`.",
                    volume.array
                );
                self.problem(&from, "file", text);
            }
        }
        self.one_file_a_volume(declaration, known);
        self.one_vm_a_volume(declaration, known);
    }

    fn backend(&mut self, array: &ArraySpec) {
        let from = Object::new(Kind::Array, &array.name);
        let directory = match &array.backend {
            None => return,
            Some(ArrayBackend::Shared { directory } | ArrayBackend::Nbd { directory, .. }) => directory,
        };
        if !directory.starts_with('/') {
            let text = format!("`backend.directory` of {from} is `{directory}`. Give an absolute path.");
            self.problem(&from, "backend.directory", text);
        }
        let Some(ArrayBackend::Nbd { hosts, .. }) = &array.backend else { return };
        for (host, target) in hosts {
            let path = format!("backend.hosts.{host}");
            self.reference(&from, &path, Kind::Host, host.as_str());
            for (field, wrong) in [
                ("qmp", !target.qmp.starts_with('/')),
                ("host", target.host.trim().is_empty()),
                ("port", target.port == 0),
            ] {
                if wrong {
                    let must = match field {
                        "qmp" => "the absolute path of its daemon's QMP socket",
                        "host" => "the address at which the host reaches its daemon",
                        _ => "a TCP port from 1 to 65535",
                    };
                    let text = format!("`{path}.{field}` of {from} must be {must}.");
                    self.problem(&from, &format!("{path}.{field}"), text);
                }
            }
        }
    }

    /// Two volumes in one file would destroy each other's data.
    fn one_file_a_volume(&mut self, declaration: &Declaration, known: &Declaration) {
        let declared: BTreeSet<_> = declaration.volumes.iter().map(|volume| &volume.name).collect();
        let kept = known.volumes.iter().filter(|volume| !declared.contains(&volume.name));
        let mut owners = BTreeMap::new();
        for volume in kept.chain(&declaration.volumes) {
            let here = Object::new(Kind::Volume, &volume.name);
            let Some(first) = owners.insert((&volume.array, volume.file_name()), here.clone()) else { continue };
            if first != here {
                let line = self.elsewhere(&first, "file", &here, "file");
                let file = volume.file_name();
                let text = format!(
                    "{here} lies in file `{file}` of array `{}`, which {first} already has{line}. Give it a `file` of \
                     its own.",
                    volume.array
                );
                self.problem(&here, "file", text);
            }
        }
    }

    fn one_vm_a_volume(&mut self, declaration: &Declaration, known: &Declaration) {
        let mut owners: BTreeMap<&str, (Object, String)> = BTreeMap::new();
        for vm in all_vms(declaration, known) {
            let here = Object::new(Kind::Vm, &vm.name);
            for (at, volume) in vm.volumes.iter().enumerate() {
                let path = format!("volumes[{at}]");
                let Some((first, first_path)) = owners.get(volume.as_str()).cloned() else {
                    owners.insert(volume.as_str(), (here.clone(), path));
                    continue;
                };
                let text = if first == here {
                    format!("{here} names volume `{volume}` twice. Once is enough.")
                } else {
                    let line = self.elsewhere(&first, &first_path, &here, &path);
                    format!(
                        "{here} names volume `{volume}`, which {first} already has{line}. A volume belongs to one VM."
                    )
                };
                self.problem(&here, &path, text);
            }
        }
    }
}
