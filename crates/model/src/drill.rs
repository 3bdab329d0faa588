//! What a drill found: who would not come back if a host, a rack or a site failed, and how that differs from before.
//!
//! A drill plans the failure of everything, one by one. Its report keeps what is not well, and the slowest class of all, small
//! enough to be stored and compared with the next.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{ClassName, Seconds, Time, VmName, text::count};

/// Cases that a part keeps, at most; the worst come first.
pub const MAX_CASES: usize = 200;
/// VMs that a case names, at most.
pub const MAX_NAMED: usize = 10;

/// The answer of one drill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was taken.
    pub taken_us: Time,
    /// How many hosts were up.
    pub hosts: u64,
    /// How many VMs ran.
    pub vms: u64,
    /// By what failed: `host`, `rack`, `site`.
    pub parts: Vec<Part>,
}

/// The failure of all hosts, or racks, or sites, one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What fails: `host`, `rack`, `site`.
    pub by: String,
    /// How many there are.
    pub cases: u64,
    /// In how many of them some VM would not come back.
    pub incomplete: u64,
    /// What is not well, the worst first; at most 200.
    pub bad: Vec<Case>,
    /// How many are not well.
    pub bad_count: u64,
    /// For each class the case in which it takes longest.
    pub slowest: Vec<Slowest>,
}

impl Part {
    /// Whether any one may fail with every VM coming back: N+1.
    #[must_use]
    pub const fn any_one_may_fail(&self) -> bool {
        self.incomplete == 0
    }
}

/// A failure after which something is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What fails: a host, a rack, a site.
    pub name: String,
    /// VMs that are lost.
    pub lost: u64,
    /// How many of them would not come back.
    pub out: u64,
    /// Some of these, by name.
    #[serde(default)]
    pub named: Vec<VmName>,
    /// Why the first of them would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Classes that would miss their objective.
    #[serde(default)]
    pub late: Vec<Late>,
}

impl Case {
    /// `2 VMs (report-1, report-2)`.
    #[must_use]
    pub fn who(&self) -> String {
        let names: Vec<&str> = self.named.iter().take(3).map(VmName::as_str).collect();
        let more = self.out - (names.len() as u64).min(self.out);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let vms = count(self.out, "VM");
        format!("{vms} ({}{more})", names.join(", "))
    }
}

/// A class that would miss its objective.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// The class.
    pub class: ClassName,
    /// When the last of it would be ready.
    pub ready_s: Seconds,
    /// Its objective.
    pub rto_s: Seconds,
}

/// The case in which a class takes longest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slowest {
    /// The class.
    pub class: ClassName,
    /// When the last of it would be ready.
    pub ready_s: Seconds,
    /// Its objective.
    pub rto_s: Seconds,
    /// What fails then.
    pub name: String,
}

impl Slowest {
    /// How much of its objective it takes.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.ready_s.as_f64() / self.rto_s.as_f64().max(1e-6)
    }
}

/// One way in which a report is worse than an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Worse {
    /// Not any one may fail any more.
    Spare {
        /// Of what: `host`, `rack`, `site`.
        by: String,
    },
    /// More VMs would not come back.
    LeftOut {
        /// Of what one fails.
        by: String,
        /// How many would not have come back before.
        before: u64,
        /// What would not now.
        case: Case,
    },
    /// A class would miss its objective that did not.
    Late {
        /// Of what one fails.
        by: String,
        /// Which.
        name: String,
        /// The class.
        late: Late,
    },
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spare { by } => write!(f, "not any one {by} may fail any more (N+0)"),
            Self::LeftOut { by, before, case } => {
                let what = if by == "host" { String::new() } else { format!("{by} ") };
                write!(f, "if {what}{} fails, {} would not come back", case.name, case.who())?;
                if *before > 0 {
                    write!(f, ", {before} before")?;
                }
                case.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::Late { by, name, late } => {
                let what = if by == "host" { String::new() } else { format!("{by} ") };
                write!(f, "if {what}{name} fails, {} would be late: {} of {}", late.class, late.ready_s, late.rto_s)
            }
        }
    }
}

/// In which ways a report is worse than an earlier one, the worst first.
#[must_use]
pub fn worse(before: &Report, now: &Report) -> Vec<Worse> {
    let mut found = Vec::new();
    for part in &now.parts {
        let Some(old) = before.parts.iter().find(|old| old.by == part.by) else { continue };
        if old.any_one_may_fail() && !part.any_one_may_fail() {
            found.push(Worse::Spare { by: part.by.clone() });
        }
        let known: BTreeMap<&str, &Case> = old.bad.iter().map(|case| (case.name.as_str(), case)).collect();
        // What an earlier report had no room for is not known to have been well.
        let told = old.bad.len() as u64 == old.bad_count;
        for case in &part.bad {
            let earlier = known.get(case.name.as_str());
            if earlier.is_none() && !told {
                continue;
            }
            let out = earlier.map_or(0, |case| case.out);
            if case.out > out {
                found.push(Worse::LeftOut { by: part.by.clone(), before: out, case: case.clone() });
            }
            for late in &case.late {
                if !earlier.is_some_and(|case| case.late.iter().any(|it| it.class == late.class)) {
                    found.push(Worse::Late { by: part.by.clone(), name: case.name.clone(), late: late.clone() });
                }
            }
        }
    }
    let rank = |worse: &Worse| match worse {
        Worse::Spare { .. } => 0,
        Worse::LeftOut { .. } => 1,
        Worse::Late { .. } => 2,
    };
    found.sort_by_key(rank);
    found
}

/// By how much the slowest class of each part changed, where that is more than a second: class, what fails, before, now.
#[must_use]
pub fn slower<'a>(before: &'a Report, now: &'a Report) -> Vec<(&'a Slowest, &'a Slowest)> {
    let mut found = Vec::new();
    for part in &now.parts {
        let Some(old) = before.parts.iter().find(|old| old.by == part.by) else { continue };
        for slow in &part.slowest {
            let earlier = old.slowest.iter().find(|it| it.class == slow.class);
            if let Some(earlier) = earlier.filter(|it| it.ready_s.micros().abs_diff(slow.ready_s.micros()) >= 1_000_000)
            {
                found.push((earlier, slow));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, out: u64, late: &[&str]) -> Case {
        let one = |class: &&str| Late {
            class: class.parse().expect("a name"),
            ready_s: Seconds::new(700),
            rto_s: Seconds::new(600),
        };
        Case {
            name: name.to_owned(),
            lost: 9,
            out,
            named: (0..out.min(MAX_NAMED as u64)).map(|at| format!("v{at}").parse().expect("a name")).collect(),
            why: (out > 0).then(|| "no host has room".to_owned()),
            late: late.iter().map(one).collect(),
        }
    }

    fn report(bad: &[Case]) -> Report {
        let incomplete = bad.iter().filter(|case| case.out > 0).count() as u64;
        let part = Part {
            by: "host".to_owned(),
            cases: 4,
            incomplete,
            bad: bad.to_vec(),
            bad_count: bad.len() as u64,
            slowest: Vec::new(),
        };
        Report { parts: vec![part], ..Report::default() }
    }

    fn told(before: &[Case], now: &[Case]) -> Vec<String> {
        worse(&report(before), &report(now)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_got_worse_is_told_the_worst_first_and_what_did_not_is_not() {
        assert_eq!(told(&[], &[]), Vec::<String>::new());
        assert_eq!(told(&[case("h1", 2, &["gold"])], &[case("h1", 2, &["gold"])]), Vec::<String>::new());
        assert_eq!(told(&[case("h1", 5, &["gold"])], &[case("h1", 1, &[])]), Vec::<String>::new());
        assert_eq!(
            told(&[], &[case("h1", 0, &["gold"]), case("h2", 5, &[])]),
            [
                "not any one host may fail any more (N+0)",
                "if h2 fails, 5 VMs (v0, v1, v2 and 2 more) would not come back: no host has room",
                "if h1 fails, gold would be late: 700 s of 600 s",
            ]
            .map(|text| text.replace("700 s of 600 s", "11 min 40 s of 10 min"))
        );
        assert_eq!(
            told(&[case("h2", 1, &[])], &[case("h2", 2, &[])]),
            ["if h2 fails, 2 VMs (v0, v1) would not come back, 1 before: no host has room"]
        );
    }

    #[test]
    fn a_case_that_an_earlier_report_had_no_room_for_is_no_news() {
        let mut before = report(&[case("h1", 3, &[])]);
        before.parts[0].bad_count = 300;
        assert_eq!(worse(&before, &report(&[case("h1", 3, &[]), case("h2", 1, &[])])), []);
    }
}
