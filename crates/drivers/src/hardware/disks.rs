//! What disks say of themselves, by `smartctl --json`.

use std::{fs, path::Path};

use lifeboat_model::{
    hardware::{HardwareReading, HardwareSource::Disks, MAX_FAULTS},
    text::count,
};
use serde::Deserialize;

use super::program::{Silent, ask};

/// Disks that are asked, at most.
const MAX_DISKS: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    smart_status: Option<Status>,
    ata_smart_attributes: Option<Attributes>,
    nvme_smart_health_information_log: Option<Nvme>,
}

#[derive(Debug, Deserialize)]
struct Status {
    passed: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Attributes {
    #[serde(default)]
    table: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    id: u64,
    #[serde(default)]
    when_failed: String,
    raw: Option<Raw>,
}

#[derive(Debug, Deserialize)]
struct Raw {
    value: u64,
}

#[derive(Debug, Deserialize)]
struct Nvme {
    #[serde(default)]
    critical_warning: u64,
    #[serde(default)]
    media_errors: u64,
}

/// Attributes whose raw value counts sectors that were lost or are about to be.
const PENDING: u64 = 197;
const OFFLINE_UNCORRECTABLE: u64 = 198;
const REALLOCATED: u64 = 5;

/// Real disks: what has a device behind it.
fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("device").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'!')))
        .collect();
    names.sort();
    names.truncate(MAX_DISKS);
    names
}

pub(super) async fn read(root: &Path, smartctl: &str) -> HardwareReading {
    let names = names(root);
    if names.is_empty() {
        return HardwareReading::absent(Disks, "this machine has no disk of its own");
    }
    let mut reading = HardwareReading::of(Disks, "");
    let (mut asked, mut silent) = (0, Vec::new());
    for name in &names {
        let device = format!("/dev/{}", name.replace('!', "/"));
        match ask(smartctl, &["--json", "--health", "--attributes", &device]).await {
            Ok((text, _)) => match serde_json::from_str::<Report>(&text) {
                Ok(report) if take(&report, name, &mut reading) => asked += 1,
                _ => silent.push(name.as_str()),
            },
            Err(Silent::Missing) => {
                return HardwareReading::absent(
                    Disks,
                    format!("{smartctl} is not installed, which asks disks how they are"),
                );
            }
            Err(Silent::Failed(_)) => silent.push(name.as_str()),
        }
    }
    if asked == 0 {
        return HardwareReading::absent(Disks, format!("no disk says how it is ({})", silent.join(", ")));
    }
    reading.faults.truncate(MAX_FAULTS);
    reading.detail = count(asked, "disk");
    if !silent.is_empty() {
        reading.detail.push_str(&format!("; nothing is said by {}", silent.join(", ")));
    }
    reading
}

/// Adds what a disk says; whether it says anything.
fn take(report: &Report, name: &str, reading: &mut HardwareReading) -> bool {
    let passed = report.smart_status.as_ref().and_then(|status| status.passed);
    if passed == Some(false) {
        reading.faults.push(format!("disk {name} says that it fails"));
    }
    if let Some(nvme) = &report.nvme_smart_health_information_log {
        if nvme.critical_warning != 0 {
            reading.faults.push(format!("disk {name} warns (NVMe critical warning {:#x})", nvme.critical_warning));
        }
        reading.uncorrected = reading.uncorrected.saturating_add(nvme.media_errors);
    }
    for attribute in report.ata_smart_attributes.iter().flat_map(|attributes| &attributes.table) {
        let raw = attribute.raw.as_ref().map_or(0, |raw| raw.value);
        match attribute.id {
            // Some vendors put more into the upper bits.
            REALLOCATED => reading.corrected = reading.corrected.saturating_add(raw & 0xffff_ffff),
            PENDING | OFFLINE_UNCORRECTABLE => {
                reading.uncorrected = reading.uncorrected.saturating_add(raw & 0xffff_ffff)
            }
            _ => {}
        }
        if attribute.when_failed == "now" {
            reading.faults.push(format!("disk {name}: attribute {} is below its threshold", attribute.id));
        }
    }
    passed.is_some() || report.nvme_smart_health_information_log.is_some() || report.ata_smart_attributes.is_some()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A machine with disks of these names and a smartctl that prints a file of the disk's name.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(disks: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            for (name, report) in disks {
                fs::create_dir_all(dir.path().join("block").join(name).join("device")).expect("made");
                fs::write(dir.path().join(format!("report-{name}")), report).expect("written");
            }
            fs::create_dir_all(dir.path().join("block/loop0")).expect("made");
            // Written by another process, so that nobody has it open for writing when it is run.
            let script =
                format!("#!/bin/sh\nfor last; do :; done\nexec cat {}/report-${{last#/dev/}}\n", dir.path().display());
            let write =
                format!("cat > {0}/smartctl <<'END'\n{script}END\nchmod 755 {0}/smartctl", dir.path().display());
            assert!(Command::new("sh").arg("-c").arg(write).status().expect("sh").success());
            Self(dir)
        }

        async fn read(&self) -> HardwareReading {
            let smartctl = self.0.path().join("smartctl");
            read(&self.0.path().join("block"), &smartctl.to_string_lossy()).await
        }
    }

    #[tokio::test]
    async fn a_disk_that_fails_or_loses_sectors_is_told() {
        let ata = r#"{"smart_status": {"passed": false}, "ata_smart_attributes": {"table": [
            {"id": 5, "name": "Reallocated_Sector_Ct", "when_failed": "now", "raw": {"value": 12}},
            {"id": 197, "when_failed": "", "raw": {"value": 3}}, {"id": 9, "raw": {"value": 40000}}]}}"#;
        let nvme = r#"{"smart_status": {"passed": true}, "nvme_smart_health_information_log": {"critical_warning": 4, "media_errors": 2}}"#;
        let good = r#"{"smart_status": {"passed": true}}"#;
        let reading = Machine::new(&[("sda", ata), ("nvme0n1", nvme), ("sdb", good)]).read().await;
        assert_eq!((reading.corrected, reading.uncorrected, reading.absent), (12, 5, None));
        assert_eq!(reading.faults.len(), 3, "{:?}", reading.faults);
        assert!(reading.faults.contains(&"disk sda says that it fails".to_owned()));
        assert_eq!(reading.detail, "3 disks");
    }

    #[tokio::test]
    async fn disks_that_say_nothing_are_no_healthy_ones() {
        let reading =
            Machine::new(&[("sda", "no JSON"), ("sdb", r#"{"smart_status": {"passed": true}}"#)]).read().await;
        assert_eq!((reading.absent, reading.detail.as_str()), (None, "1 disk; nothing is said by sda"));
        assert!(Machine::new(&[("sda", "{}")]).read().await.absent.expect("nothing is said").contains("sda"));
        assert!(Machine::new(&[]).read().await.absent.is_some(), "a loop device is no disk");
        let machine = Machine::new(&[("sda", "{}")]);
        let reading = read(&machine.0.path().join("block"), "/nonexistent/smartctl").await;
        assert!(reading.absent.expect("nobody to ask").contains("not installed"));
    }
}
