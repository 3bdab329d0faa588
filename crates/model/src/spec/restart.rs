//! Restart rules: how a VM's class, importance and place in the start order follow from what it is. The expressions in
//! them are CEL, which the crate `rules` reads; here they are text.

use serde::{Deserialize, Serialize};

use crate::{RuleName, Seconds};

/// A restart rule: what the VMs that it matches get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartRule {
    /// Its name, unique among restart rules.
    pub name: RuleName,
    /// Which VMs it matches: a CEL expression over `vm` that gives true or false.
    pub when: String,
    /// The class that they get: its name, or `= ` and an expression that gives it. Of several the most important holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// How much a VM matters beside others of its class, higher first; of several the highest holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Amount>,
    /// How much the group of a VM matters beside others, higher first; of several the highest holds. It goes before
    /// `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<Amount>,
}

/// A whole number, or how it is reckoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// Just this.
    Number(i64),
    /// `= ` and an expression that gives it.
    Formula(String),
}

/// A start order: some VMs start only when others are ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartOrder {
    /// Its name, unique among start orders.
    pub name: RuleName,
    /// Which VMs are ready first: an expression that gives true or false.
    pub first: String,
    /// Which VMs start only then: an expression that gives true or false.
    pub then: String,
    /// Only among VMs for which this expression gives the same; none: among all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Seconds between the last of the first being ready and the next being started.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub delay_s: Seconds,
}
