//! Hardware that goes bad: hosts are emptied before they fail.
//!
//! ```text
//!   readings of its agent ─► thresholds, trend ─► suspect: takes no VMs, and those that it has leave in order of class
//!                                                    │ an operator lets it take VMs again: what was counted so far
//!                                                    ▼ no longer matters
//!                                                 not suspect
//! ```
//!
//! | sign | rule |
//! | --- | --- |
//! | a difference in the diagnostic, an uncorrected error | at once |
//! | a fault that a source tells (a disk that says that it fails) | when it is told twice in a row |
//! | corrected errors | `corrected_per_day` of one source within a day, or growing for three hours in a row |
//!
//! A source that is absent says nothing. As with holding out, not more than a quarter of the hosts (one at least) is emptied
//! for it: a sensor that lies on all of them costs the fleet no room, but people are told.

use std::collections::BTreeMap;

use lifeboat_model::{
    HostName, Seconds, Time,
    hardware::{HardwareReading, HardwareSeen, HardwareSource},
};
use serde::{Deserialize, Serialize};

use super::{Brain, records::Severity};

/// Hourly counts that are kept: a day's.
const KEPT_HOURS: usize = 25;
const HOUR: Seconds = Seconds::new(3600);
/// One host in so many may be suspect at once; one always.
const SUSPECT_SHARE: usize = 4;

/// Readings of a margin that are kept.
const KEPT_MARGINS: usize = 4;
/// Degrees below a critical threshold from which a margin that shrinks and shrinks counts.
const LITTLE_MARGIN: u32 = 8;

/// When hardware counts as going bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardwareSettings {
    /// Corrected errors of one source within a day that make a host suspect; 0: they do not.
    pub corrected_per_day: u64,
    /// Whether the VMs of a suspect host leave it; it takes no new ones in any case.
    pub evacuate: bool,
}

impl Default for HardwareSettings {
    fn default() -> Self {
        Self { corrected_per_day: 100, evacuate: true }
    }
}

/// What is remembered of a host's hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareRecord {
    /// Since when and why it is suspect; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Suspect>,
    /// Counts of each source that no longer matter: corrected and uncorrected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settled: BTreeMap<HardwareSource, (u64, u64)>,
    /// Corrected errors of each source, once an hour.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hours: BTreeMap<HardwareSource, Vec<(Time, u64)>>,
    /// Degrees that were left to the nearest critical threshold, the last readings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub margins: Vec<u32>,
}

/// A host's hardware is suspect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Since when.
    pub since: Time,
    /// Why, as a sentence.
    pub why: String,
}

impl HardwareRecord {
    /// Why a reading makes a host suspect; none: it does not. `before` is the reading before it of the same source.
    fn sign(&self, reading: &HardwareReading, before: Option<&HardwareReading>, per_day: u64) -> Option<String> {
        let source = reading.source;
        let (_, settled) = self.settled.get(&source).copied().unwrap_or_default();
        if let Some(fault) = reading.faults.first() {
            let again = before.is_some_and(|before| before.faults.contains(fault));
            if source == HardwareSource::Diagnostic || again {
                return Some(format!("{source}: {fault}"));
            }
        }
        if let Some(why) = self.heats_up(reading) {
            return Some(why);
        }
        if reading.uncorrected > settled {
            let count = reading.uncorrected - settled;
            return Some(format!("{source}: {count} uncorrected errors"));
        }
        let hours = self.hours.get(&source)?;
        let counts: Vec<u64> = hours.iter().map(|(_, count)| *count).collect();
        let day = counts.last()?.saturating_sub(*counts.first()?);
        if per_day == 0 {
            return None;
        }
        if day >= per_day {
            return Some(format!("{source}: {day} corrected errors within a day"));
        }
        let steps: Vec<u64> = counts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        let [.., first, second, third] = steps.as_slice() else { return None };
        let grows = *first > 0 && second > first && third > second && *third >= per_day.div_ceil(4);
        grows.then(|| format!("{source}: corrected errors grow, {first}, {second} and {third} an hour"))
    }

    /// Why the margins say that a threshold will be met; none: they do not.
    fn heats_up(&self, reading: &HardwareReading) -> Option<String> {
        reading.margin?;
        let [.., first, second, third, last] = self.margins.as_slice() else { return None };
        let shrinks = first > second && second > third && third > last && *last <= LITTLE_MARGIN;
        let source = reading.source;
        shrinks.then(|| {
            format!("{source}: it heats up, {first}, {second}, {third} and {last} °C below a critical threshold")
        })
    }

    /// Notes a source's count of corrected errors, once an hour. The newest entry is kept up to date.
    fn count(&mut self, now: Time, reading: &HardwareReading) {
        if let Some(margin) = reading.margin {
            if self.margins.len() == KEPT_MARGINS {
                self.margins.remove(0);
            }
            self.margins.push(margin);
        }
        let (settled, _) = self.settled.get(&reading.source).copied().unwrap_or_default();
        let corrected = reading.corrected.saturating_sub(settled);
        let hours = self.hours.entry(reading.source).or_default();
        // A counter that begins anew, after a reboot, has nothing to do with what was counted before.
        if hours.last().is_some_and(|(_, count)| *count > corrected) {
            hours.clear();
        }
        match hours.as_slice() {
            [.., (at, _), (last, _)] if last.since(*at) < HOUR => {
                let newest = hours.len() - 1;
                hours[newest] = (now, corrected);
            }
            _ => hours.push((now, corrected)),
        }
        hours.retain(|(at, _)| now.since(*at) <= HOUR * 24);
        if hours.len() > KEPT_HOURS {
            hours.remove(0);
        }
    }
}

impl Brain {
    /// An agent tells what its sources say.
    pub(super) fn hardware_told(&mut self, name: &HostName, readings: Vec<HardwareReading>) {
        let now = self.now;
        let per_day = self.settings.hardware.corrected_per_day;
        let Some(host) = self.hosts.get_mut(name) else { return };
        let mut signs = Vec::new();
        let before_all = host.record.hardware.clone();
        for reading in readings.into_iter().take(HardwareSource::ALL.len()).map(HardwareReading::bounded) {
            let before = host.hardware.get(&reading.source).map(|seen| &seen.reading);
            if reading.absent.is_none() {
                host.record.hardware.count(now, &reading);
                signs.extend(host.record.hardware.sign(&reading, before, per_day));
            }
            host.hardware.insert(reading.source, HardwareSeen { at_us: now, reading });
        }
        if host.record.hardware != before_all {
            self.journal.hosts.insert(name.clone());
        }
        let known = host.record.hardware.suspect.is_some() || host.hardware_told;
        if let Some(why) = signs.into_iter().next().filter(|_| !known) {
            self.suspect_hardware(name, why);
        }
    }

    fn suspect_hardware(&mut self, name: &HostName, why: String) {
        let now = self.now;
        let suspect = self.hosts.values().filter(|host| host.record.hardware.suspect.is_some()).count();
        let room = (self.hosts.len() / SUSPECT_SHARE).max(1);
        let evacuate = self.settings.hardware.evacuate;
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.hardware_told = true;
        if suspect >= room {
            let text = format!(
                "The hardware of {name} is suspect ({why}). It goes on as it is, for {suspect} hosts are suspect already. Look at what they have in common"
            );
            self.tell(Severity::Critical, text, |event| event.host = Some(name.clone()));
            return;
        }
        host.record.hardware.suspect = Some(Suspect { since: now, why: why.clone() });
        self.journal.hosts.insert(name.clone());
        let leave = if evacuate { ", and those that it has move elsewhere, the most important first" } else { "" };
        let text = format!(
            "The hardware of {name} is suspect ({why}): it takes no new VMs{leave}. When it is mended: lifeboat maintenance {name} off"
        );
        self.tell(Severity::Critical, text, |event| {
            (event.host, event.trouble) = (Some(name.clone()), Some(format!("hardware {name}")));
        });
        self.want_plan(format!("the hardware of {name} is suspect"));
        self.drain_due = true;
    }

    /// An operator trusts a host again: what was counted so far no longer matters. Whether it was suspect.
    pub(super) fn trust_hardware(&mut self, name: &HostName) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return false };
        host.hardware_told = false;
        if host.record.hardware.suspect.take().is_none() {
            return false;
        }
        let readings = host.hardware.values().map(|seen| &seen.reading);
        host.record.hardware.settled =
            readings.map(|reading| (reading.source, (reading.corrected, reading.uncorrected))).collect();
        host.record.hardware.hours.clear();
        host.record.hardware.margins.clear();
        host.hardware.clear();
        self.journal.hosts.insert(name.clone());
        let text = format!("The hardware of {name} is trusted again, by an operator's word");
        self.tell(Severity::Info, text, |event| {
            (event.host, event.trouble, event.over) = (Some(name.clone()), Some(format!("hardware {name}")), true);
        });
        self.want_plan(format!("the hardware of {name} is trusted again"));
        true
    }

    /// Whether a host's VMs are to leave it since its hardware is suspect.
    pub(super) fn leaves_bad_hardware(&self, host: &super::HostState) -> bool {
        self.settings.hardware.evacuate && host.record.hardware.suspect.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(corrected: u64, uncorrected: u64) -> HardwareReading {
        HardwareReading { corrected, uncorrected, ..HardwareReading::of(HardwareSource::Memory, "") }
    }

    fn fault(source: HardwareSource, text: &str) -> HardwareReading {
        HardwareReading { faults: vec![text.to_owned()], ..HardwareReading::of(source, "") }
    }

    /// Feeds counts an hour apart; the first sign and its hour.
    fn first_sign(counts: &[u64], per_day: u64) -> Option<(usize, String)> {
        let mut record = HardwareRecord::default();
        for (hour, count) in counts.iter().enumerate() {
            let now = Time::from_micros(1) + HOUR * hour as u64;
            record.count(now, &memory(*count, 0));
            if let Some(why) = record.sign(&memory(*count, 0), None, per_day) {
                return Some((hour, why));
            }
        }
        None
    }

    #[test]
    fn a_margin_that_shrinks_and_shrinks_is_a_sign_before_the_threshold_is_met() {
        let sign = |margins: &[u32]| {
            let mut record = HardwareRecord::default();
            margins.iter().find_map(|margin| {
                let reading =
                    HardwareReading { margin: Some(*margin), ..HardwareReading::of(HardwareSource::Sensors, "") };
                record.count(Time::from_micros(1), &reading);
                record.sign(&reading, None, 100)
            })
        };
        assert_eq!(
            sign(&[30, 12, 9, 6, 4]).as_deref(),
            Some("sensors: it heats up, 30, 12, 9 and 6 °C below a critical threshold")
        );
        assert_eq!(sign(&[30, 25, 20, 15, 10]), None, "far from it");
        assert_eq!(sign(&[6, 5, 6, 4, 5, 3, 4]), None, "it comes and goes");
        assert_eq!(sign(&[5, 4, 3]), None, "too few");
    }

    #[test]
    fn one_difference_or_uncorrected_error_is_enough_and_a_fault_must_be_told_twice() {
        let record = HardwareRecord::default();
        let diagnostic = fault(HardwareSource::Diagnostic, "an integer computation differs");
        assert!(record.sign(&diagnostic, None, 100).is_some());
        assert!(record.sign(&memory(0, 1), None, 100).expect("a sign").contains("1 uncorrected"));
        let disk = fault(HardwareSource::Disks, "sda fails");
        assert_eq!(record.sign(&disk, None, 100), None);
        assert!(record.sign(&disk, Some(&disk), 100).is_some());
        assert_eq!(record.sign(&disk, Some(&fault(HardwareSource::Disks, "sdb fails")), 100), None);
    }

    #[test]
    fn corrected_errors_count_within_a_day_or_when_they_grow() {
        assert_eq!(first_sign(&[5000; 100], 100), None, "old errors are no news");
        assert_eq!(first_sign(&(0..200).map(|hour| hour * 4).collect::<Vec<_>>(), 100), None, "96 a day");
        let (hour, why) = first_sign(&(0..200).map(|hour| hour * 5).collect::<Vec<_>>(), 100).expect("120 a day");
        assert!((20..=24).contains(&hour), "{hour}: {why}");
        let (hour, why) = first_sign(&[0, 2, 10, 40], 100).expect("2, 8 and 30 an hour");
        assert!(hour == 3 && why.contains("grow, 2, 8 and 30"), "{why}");
        assert_eq!(first_sign(&[0, 1, 3, 6, 10], 100), None, "few errors that grow are few errors");
        assert_eq!(first_sign(&[90, 0, 90, 0, 90, 0], 100), None, "a counter that begins anew is none that grew");
        assert_eq!(first_sign(&[0, 1_000_000], 0), None, "switched off");
    }

    #[test]
    fn the_same_hour_counts_once_and_little_is_kept() {
        let mut record = HardwareRecord::default();
        for minute in 0..60 * 24 * 10_u64 {
            record.count(Time::from_micros(1) + Seconds::new(60) * minute, &memory(minute, 0));
        }
        let kept = record.hours[&HardwareSource::Memory].len();
        assert!((24..=KEPT_HOURS).contains(&kept), "{kept}");
    }
}
