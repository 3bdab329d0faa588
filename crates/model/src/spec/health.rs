//! How VMs are looked at, and what follows when they do not answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{VmSpec, defaults};
use crate::{CheckName, Seconds, VmName, fleet::Labels};

/// How one looks at a VM, once. In a [`HealthCheck`] the texts may have `{vm}` for the VM's name and `{label:KEY}` for one
/// of its labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CheckSpec {
    /// A TCP connection is taken.
    Tcp {
        /// `address:port`, as the one who looks reaches it.
        address: String,
    },
    /// A web server answers a GET.
    Http {
        /// `http://address[:port]/path`, or `https://…`.
        url: String,
        /// The status that it must answer with; none: any from 200 to 399.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// A text that must be in the answer's first 64 KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// File with the PEM certificate authority that an `https` server's certificate must chain to, on the machine of
        /// the one who looks; none: what that machine's system trusts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<String>,
    },
    /// A monitoring plugin (`check_http`, `check_ssh`, …) of the one who looks ends with 0 or 1.
    Nagios {
        /// Its file name in the plugins' directory.
        plugin: String,
        /// Its arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        arguments: Vec<String>,
    },
    /// The QEMU guest agent answers. Only its host's agent can ask it; the VM's machine needs `guest_agent = true`.
    GuestAgent {},
}

impl CheckSpec {
    /// This look as it is for one VM.
    ///
    /// # Errors
    /// A sentence about a text that cannot be filled in: the VM lacks a label, or the text has an unknown `{word}`.
    pub fn for_vm(&self, vm: &VmSpec) -> Result<Self, String> {
        let fill = |text: &str| fill(text, vm);
        Ok(match self {
            Self::Tcp { address } => Self::Tcp { address: fill(address)? },
            Self::Http { url, status, text, ca_file } => Self::Http {
                url: fill(url)?,
                status: *status,
                text: text.as_deref().map(fill).transpose()?,
                ca_file: ca_file.clone(),
            },
            Self::Nagios { plugin, arguments } => Self::Nagios {
                plugin: plugin.clone(),
                arguments: arguments.iter().map(|argument| fill(argument)).collect::<Result<_, _>>()?,
            },
            Self::GuestAgent {} => Self::GuestAgent {},
        })
    }

    /// The word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Http { .. } => "http",
            Self::Nagios { .. } => "nagios",
            Self::GuestAgent {} => "guest_agent",
        }
    }
}

/// Fills `{vm}` and `{label:KEY}` in. Braces that enclose neither a `vm` nor a `label:` stay as they are: plugins have their
/// own use for them.
fn fill(text: &str, vm: &VmSpec) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}') {
            Some(("vm", behind)) => {
                filled.push_str(vm.name.as_str());
                rest = behind;
            }
            Some((word, behind)) if word.starts_with("label:") => {
                let key = &word["label:".len()..];
                let value = vm.labels.get(key).ok_or_else(|| format!("VM {} has no label `{key}`", vm.name))?;
                filled.push_str(value);
                rest = behind;
            }
            _ => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Who looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckFrom {
    /// The controller.
    #[default]
    Controller,
    /// The agent of the host that the VM runs on.
    Agent,
}

/// What is done about a VM that is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthAction {
    /// Nothing: it is only shown.
    Nothing,
    /// It is restarted where it is.
    Restart,
    /// It is stopped, and started on another host.
    RestartElsewhere,
    /// People are told.
    Tell,
}

impl HealthAction {
    /// Whether the VM is stopped by it.
    #[must_use]
    pub const fn restarts(self) -> bool {
        matches!(self, Self::Restart | Self::RestartElsewhere)
    }
}

/// A check of several VMs alike, for as long as they run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// Its name, unique among checks.
    pub name: CheckName,
    /// How one looks.
    pub look: CheckSpec,
    /// The VMs that are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vms: Vec<VmName>,
    /// VMs with all of these labels are looked at too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Who looks.
    #[serde(default)]
    pub from: CheckFrom,
    /// Seconds between two looks at one VM.
    #[serde(default = "defaults::check_interval")]
    pub interval_s: Seconds,
    /// Seconds that a look may take.
    #[serde(default = "defaults::check_timeout")]
    pub timeout_s: Seconds,
    /// Looks in a row that must fail before the failure is taken for hard and something is done.
    #[serde(default = "defaults::check_failures")]
    pub failures: u32,
    /// What is done when the failure is hard, and when it is so again within the hour: one after the other, then the last
    /// again.
    #[serde(default = "defaults::check_actions")]
    pub actions: Vec<HealthAction>,
    /// Restarts of one VM within an hour because of this check; when they are used up people are told instead.
    #[serde(default = "defaults::check_restarts")]
    pub restarts_per_hour: u32,
}

impl HealthCheck {
    /// Whether it is for this VM.
    #[must_use]
    pub fn is_for(&self, vm: &VmSpec) -> bool {
        let by_labels =
            !self.labels.is_empty() && self.labels.iter().all(|(key, value)| vm.labels.get(key) == Some(value));
        by_labels || self.vms.contains(&vm.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm() -> VmSpec {
        serde_json::from_str(r#"{"name":"web-1","demand":{},"class":"gold","labels":{"ip":"10.0.0.7","app":"web"}}"#)
            .expect("a VM")
    }

    #[test]
    fn a_look_is_filled_in_for_each_vm() {
        let look = CheckSpec::Tcp { address: "{label:ip}:80".to_owned() };
        assert_eq!(look.for_vm(&vm()), Ok(CheckSpec::Tcp { address: "10.0.0.7:80".to_owned() }));
        let arguments = vec!["-H".to_owned(), "{vm}.example".to_owned(), "{{x}} {".to_owned(), "{}".to_owned()];
        let look = CheckSpec::Nagios { plugin: "check_x".to_owned(), arguments };
        let CheckSpec::Nagios { arguments, .. } = look.for_vm(&vm()).expect("filled in") else {
            panic!("another kind")
        };
        assert_eq!(arguments, ["-H", "web-1.example", "{{x}} {", "{}"]);
        let look = CheckSpec::Tcp { address: "{label:addr}:80".to_owned() };
        assert_eq!(look.for_vm(&vm()), Err("VM web-1 has no label `addr`".to_owned()));
    }

    #[test]
    fn a_check_is_for_the_named_and_for_those_with_all_its_labels() {
        let check = |more: &str| -> HealthCheck {
            let text = format!(r#"{{"name":"c","look":{{"kind":"guest_agent"}},"from":"agent"{more}}}"#);
            serde_json::from_str(&text).expect("a check")
        };
        assert!(check(r#","vms":["web-1"]"#).is_for(&vm()));
        assert!(check(r#","labels":{"app":"web"}"#).is_for(&vm()));
        assert!(!check(r#","labels":{"app":"web","tier":"x"}"#).is_for(&vm()));
        assert!(!check("").is_for(&vm()), "no labels are not all VMs");
    }
}
