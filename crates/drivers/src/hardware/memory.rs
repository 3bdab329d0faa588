//! Memory errors, from the kernel's EDAC counters: `mcN/ce_count`, `ue_count` and their `noinfo` kin.

use std::{fs, path::Path};

use lifeboat_model::hardware::{HardwareReading, HardwareSource::Memory};

/// Memory controllers that are read, at most.
const MAX_CONTROLLERS: usize = 256;

pub(super) fn read(root: &Path) -> HardwareReading {
    let Ok(entries) = fs::read_dir(root) else {
        return HardwareReading::absent(Memory, "the kernel has no EDAC driver for this machine");
    };
    let number = |path: &Path| -> Option<u64> { fs::read_to_string(path).ok()?.trim().parse().ok() };
    let (mut corrected, mut uncorrected, mut controllers) = (0_u64, 0_u64, 0);
    for entry in entries.flatten().take(MAX_CONTROLLERS) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.strip_prefix("mc").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty()) {
            continue;
        }
        let Some(count) = number(&path.join("ce_count")) else { continue };
        controllers += 1;
        corrected = corrected.saturating_add(count);
        corrected = corrected.saturating_add(number(&path.join("ce_noinfo_count")).unwrap_or(0));
        uncorrected = uncorrected.saturating_add(number(&path.join("ue_count")).unwrap_or(0));
        uncorrected = uncorrected.saturating_add(number(&path.join("ue_noinfo_count")).unwrap_or(0));
    }
    if controllers == 0 {
        return HardwareReading::absent(Memory, "EDAC knows no memory controller of this machine");
    }
    let detail = format!(
        "{controllers} memory controllers, {corrected} corrected and {uncorrected} uncorrected errors since boot"
    );
    HardwareReading { corrected, uncorrected, ..HardwareReading::of(Memory, detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller(root: &Path, name: &str, files: &[(&str, &str)]) {
        let dir = root.join(name);
        fs::create_dir_all(&dir).expect("made");
        for (file, text) in files {
            fs::write(dir.join(file), text).expect("written");
        }
    }

    #[test]
    fn the_errors_of_all_controllers_are_added_up() {
        let root = tempfile::tempdir().expect("a directory");
        controller(root.path(), "mc0", &[("ce_count", "3\n"), ("ue_count", "0\n"), ("ce_noinfo_count", "1\n")]);
        controller(root.path(), "mc1", &[("ce_count", "4\n"), ("ue_count", "2\n")]);
        controller(root.path(), "power", &[("ce_count", "99\n")]);
        let reading = read(root.path());
        assert_eq!((reading.corrected, reading.uncorrected, reading.absent), (8, 2, None));
    }

    #[test]
    fn a_machine_without_such_counters_is_not_healthy_but_silent() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(read(&root.path().join("gone")).absent.is_some());
        assert!(read(root.path()).absent.is_some());
        controller(root.path(), "mc0", &[("ce_count", "nonsense")]);
        assert!(read(root.path()).absent.is_some());
    }
}
