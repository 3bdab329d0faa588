//! What an operator may set of fencing for the whole fleet.

use lifeboat_model::{
    Seconds,
    spec::{Isolation, RungSpec},
};
use serde::{Deserialize, Serialize};

/// How failed hosts are made unable to run their VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fencing {
    /// The ladder of hosts that declare none: `power`, `storage`, `lease`, each at most once.
    pub ladder: Vec<String>,
    /// What hosts do that are cut off from the controller and declare nothing else.
    pub isolation: Isolation,
    /// Seconds that an agent's lease runs, from when it said what was acknowledged.
    pub lease_s: Seconds,
    /// Seconds by which a controller waits longer than that: for clocks that drift apart, and for the killing.
    pub margin_s: Seconds,
    /// Seconds between two looks at each fence device; 0: none is looked at unasked.
    pub check_every_s: Seconds,
}

impl Default for Fencing {
    fn default() -> Self {
        Self {
            ladder: [RungSpec::POWER, RungSpec::LEASE].map(str::to_owned).to_vec(),
            isolation: Isolation::default(),
            lease_s: Seconds::new(15),
            margin_s: Seconds::new(3),
            check_every_s: Seconds::new(600),
        }
    }
}

impl Fencing {
    /// Checks that the values go together.
    ///
    /// # Errors
    /// A sentence that names the setting and what it must be.
    pub fn validate(&self, heartbeat_s: Seconds) -> Result<(), String> {
        for (at, rung) in self.ladder.iter().enumerate() {
            if !RungSpec::WORDS.contains(&rung.as_str()) {
                return Err(format!(
                    "fencing.ladder has `{rung}`; for the whole fleet it may have power, storage and lease, and a host \
                     that needs more names its devices in its own ladder"
                ));
            }
            if self.ladder[..at].contains(rung) {
                return Err(format!("fencing.ladder has `{rung}` twice"));
            }
        }
        if self.lease_s < heartbeat_s * 3 || self.lease_s < Seconds::new(1) {
            return Err(format!(
                "fencing.lease_s is {}; it must be at least 1 and three times liveness.heartbeat_s, or every lost \
                 heartbeat would stop VMs",
                self.lease_s.as_f64()
            ));
        }
        if self.margin_s < Seconds::new(1) || self.margin_s * 20 < self.lease_s {
            return Err(format!(
                "fencing.margin_s is {}; it must be at least 1 and a twentieth of lease_s",
                self.margin_s.as_f64()
            ));
        }
        if self.check_every_s != Seconds::ZERO && self.check_every_s < Seconds::new(10) {
            return Err("fencing.check_every_s must be 0 or at least 10".to_owned());
        }
        Ok(())
    }

    /// The ladder, as a host would declare it.
    pub(in crate::fleet) fn rungs(&self) -> Vec<RungSpec> {
        self.ladder.iter().cloned().map(RungSpec::One).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_would_stop_vms_for_nothing_are_refused() {
        let heartbeat = Seconds::new(1);
        Fencing::default().validate(heartbeat).expect("the defaults go together");
        type Spoil = fn(&mut Fencing);
        let spoilt: [(&str, Spoil); 5] = [
            ("lease_s", |it| it.lease_s = Seconds::new(2)),
            ("margin_s", |it| it.margin_s = Seconds::ZERO),
            ("ladder", |it| it.ladder.push("bmc-h1".to_owned())),
            ("twice", |it| it.ladder.push("lease".to_owned())),
            ("check_every_s", |it| it.check_every_s = Seconds::new(1)),
        ];
        for (word, spoil) in spoilt {
            let mut settings = Fencing::default();
            spoil(&mut settings);
            let problem = settings.validate(heartbeat).expect_err(word);
            assert!(problem.contains(word), "{problem}");
        }
    }
}
