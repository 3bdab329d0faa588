//! Fence devices: enough to cut the power when it counts, and no secret in the declaration.

use std::collections::BTreeSet;

use crate::{
    Seconds,
    spec::{AgentFence, Declaration, FenceSpec, HostSpec, RedfishFence, RungSpec},
};

use super::{Check, Kind, Object};

/// Options of `fence_*` agents that carry secrets.
const SECRETS: [&str; 6] = ["password", "passwd", "snmp_priv_passwd", "privpasswd", "token", "login_token"];

impl Check<'_> {
    pub(super) fn fences(&mut self, declaration: &Declaration) {
        for host in &declaration.hosts {
            let from = Object::new(Kind::Host, &host.name);
            let mut names = BTreeSet::new();
            for (at, fence) in host.fences.iter().enumerate() {
                let path = format!("fence[{at}]");
                let name = fence.name();
                if !names.insert(name) {
                    let text = format!("{from} has two fences named `{name}`. Give each its own name.");
                    self.problem(&from, &format!("{path}.name"), text);
                }
                if RungSpec::WORDS.contains(&name.as_str()) {
                    let text = format!("fence `{name}` of {from} has the name of a rung. Give it another.");
                    self.problem(&from, &format!("{path}.name"), text);
                }
                if fence.timeout() == Seconds::ZERO {
                    let text = format!("`timeout_s` of fence `{name}` of {from} is 0. Give it time: 30 is usual.");
                    self.problem(&from, &format!("{path}.timeout_s"), text);
                }
                match fence {
                    FenceSpec::Redfish(fence) => self.redfish(&from, &path, fence),
                    FenceSpec::Agent(fence) => self.agent(&from, &path, fence),
                }
            }
            self.ladder(&from, host);
        }
    }

    /// Every rung is one, is there once, and names devices that the host has.
    fn ladder(&mut self, from: &Object, host: &HostSpec) {
        let mut seen = BTreeSet::new();
        for (at, rung) in host.ladder.iter().enumerate() {
            let path = format!("ladder[{at}]");
            let names: Vec<&str> = match rung {
                RungSpec::One(word) if RungSpec::WORDS.contains(&word.as_str()) => Vec::new(),
                RungSpec::One(device) => vec![device],
                RungSpec::Together(devices) => devices.iter().map(crate::FenceName::as_str).collect(),
            };
            if matches!(rung, RungSpec::Together(devices) if devices.len() < 2) {
                let text = format!("`{path}` of {from} is a set of less than two devices. Name one without brackets.");
                self.problem(from, &path, text);
            }
            let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
            if let Some((_, name)) = twice {
                let text = format!("`{path}` of {from} names fence `{name}` twice. Remove one of the two.");
                self.problem(from, &path, text);
            }
            for name in names {
                if !host.fences.iter().any(|fence| fence.name().as_str() == name) {
                    let text = format!(
                        "`{path}` of {from} is `{name}`, which is no [[host.fence]] of it and none of power, storage and \
                         lease."
                    );
                    self.problem(from, &path, text);
                }
            }
            if !seen.insert(rung) {
                let text = format!("`{path}` of {from} is the same rung as one before it. Remove one of the two.");
                self.problem(from, &path, text);
            }
        }
    }

    fn redfish(&mut self, from: &Object, path: &str, fence: &RedfishFence) {
        let whose = format!("fence `{}` of {from}", fence.name);
        if fence.url.strip_prefix("https://").is_none_or(|rest| rest.is_empty() || rest.contains(['@', ' '])) {
            let text = format!("`url` of {whose} must be `https://address[:port]`, without user or password.");
            self.problem(from, &format!("{path}.url"), text);
        }
        self.absolute(from, &format!("{path}.password_file"), &whose, "password_file", &fence.password_file);
        if let Some(ca_file) = &fence.ca_file {
            self.absolute(from, &format!("{path}.ca_file"), &whose, "ca_file", ca_file);
        }
        let hex = |pin: &str| {
            let digits: Vec<char> = pin.chars().filter(|c| *c != ':').collect();
            digits.len() == 64 && digits.iter().all(char::is_ascii_hexdigit)
        };
        if fence.pin_sha256.as_deref().is_some_and(|pin| !hex(pin)) {
            let text = format!(
                "`pin_sha256` of {whose} must be 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints \
                 them."
            );
            self.problem(from, &format!("{path}.pin_sha256"), text);
        }
    }

    fn agent(&mut self, from: &Object, path: &str, fence: &AgentFence) {
        let whose = format!("fence `{}` of {from}", fence.name);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !fence.agent.strip_prefix("fence_").is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain)) {
            let text = format!(
                "`agent` of {whose} must be the name of a `fence_*` program, such as `fence_ipmilan`, without a path."
            );
            self.problem(from, &format!("{path}.agent"), text);
        }
        for (option, value) in &fence.options {
            let at = format!("{path}.options.{option}");
            if SECRETS.contains(&option.as_str()) {
                let text = format!(
                    "{whose} has `{option}` among its options. Write it into a file that only the controller reads, and \
                     name the file: `secret_files = {{ {option} = \"/etc/lifeboat/…\" }}`."
                );
                self.problem(from, &at, text);
            } else if option == "action" {
                let text = format!("{whose} has an option `action`. Remove it: Lifeboat chooses the action.");
                self.problem(from, &at, text);
            } else if option.contains(['\n', '=']) || value.contains(['\n', '\0']) {
                let text = format!("option `{option}` of {whose} has a line break or a `=` in its name. Remove it.");
                self.problem(from, &at, text.replace('\n', " "));
            }
        }
        for (option, file) in &fence.secret_files {
            self.absolute(from, &format!("{path}.secret_files.{option}"), &whose, option, file);
        }
    }

    fn absolute(&mut self, from: &Object, path: &str, whose: &str, field: &str, file: &str) {
        if !file.starts_with('/') {
            let text = format!("`{field}` of {whose} is `{file}`. Give an absolute path on the controller's machine.");
            self.problem(from, path, text);
        }
    }
}
