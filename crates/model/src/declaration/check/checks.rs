//! Checks: whom they look at, how, and what follows.

use crate::{
    Seconds,
    spec::{CheckFrom, CheckSpec, Declaration, HealthAction, HealthCheck},
};

use super::{Check, Kind, Object, all_vms};

/// The shortest and the longest interval, and the longest time limit of a look.
const SHORTEST: Seconds = Seconds::new(1);
const LONGEST: Seconds = Seconds::new(86_400);

impl Check<'_> {
    pub(super) fn checks(&mut self, declaration: &Declaration, known: &Declaration) {
        for vm in &declaration.vms {
            let Some(check) = &vm.check else { continue };
            let of = Object::new(Kind::Vm, &vm.name);
            self.look(&of, "check", check);
            if *check == (CheckSpec::GuestAgent {}) {
                let text = format!(
                    "`check` of {of} asks its guest agent, which only its host's agent can. Use another kind here, and a \
                     [[check]] with `from = \"agent\"` for the guest agent."
                );
                self.problem(&of, "check", text);
            }
        }
        for check in &declaration.checks {
            self.health_check(check, declaration, known);
        }
    }

    fn health_check(&mut self, check: &HealthCheck, declaration: &Declaration, known: &Declaration) {
        let of = Object::new(Kind::Check, &check.name);
        for (at, vm) in check.vms.iter().enumerate() {
            self.reference(&of, &format!("vms[{at}]"), Kind::Vm, vm.as_str());
        }
        if check.vms.is_empty() && check.labels.is_empty() {
            self.problem(
                &of,
                "vms",
                format!("{of} is for no VM. Name some in `vms`, or give `labels` that they have."),
            );
        }
        self.look(&of, "look", &check.look);
        if check.look == (CheckSpec::GuestAgent {}) && check.from == CheckFrom::Controller {
            let text = format!("{of} asks guest agents, which only the hosts' agents can. Write `from = \"agent\"`.");
            self.problem(&of, "from", text);
        }
        for vm in all_vms(declaration, known).filter(|vm| check.is_for(vm)) {
            if let Err(problem) = check.look.for_vm(vm) {
                self.problem(&of, "look", format!("{of} cannot look at VM `{}`: {problem}.", vm.name));
            }
            if check.look == (CheckSpec::GuestAgent {}) && !vm.machine.guest_agent {
                let text = format!(
                    "{of} asks the guest agent of VM `{}`, which has no channel to one. Write `machine.guest_agent = true` \
                     there, and restart the VM.",
                    vm.name
                );
                self.problem(&of, "look", text);
            }
        }
        for (field, span) in [("interval_s", check.interval_s), ("timeout_s", check.timeout_s)] {
            if !(SHORTEST..=LONGEST).contains(&span) {
                let text = format!("`{field}` of {of} is {}; it must be from 1 to 86400 seconds.", span.as_f64());
                self.problem(&of, field, text);
            }
        }
        for (field, number, most) in
            [("failures", check.failures, 1000), ("restarts_per_hour", check.restarts_per_hour.max(1), 1000)]
        {
            if !(1..=most).contains(&number) {
                self.problem(&of, field, format!("`{field}` of {of} is {number}; it must be from 1 to {most}."));
            }
        }
        if check.actions.is_empty() {
            let text = format!("`actions` of {of} is empty. Write [\"nothing\"] for a check that is only shown.");
            self.problem(&of, "actions", text);
        }
        if check.restarts_per_hour == 0 && check.actions.iter().any(|action| HealthAction::restarts(*action)) {
            let text =
                format!("{of} may restart no VM (`restarts_per_hour` is 0), but has restarts among its `actions`.");
            self.problem(&of, "restarts_per_hour", text);
        }
    }

    fn look(&mut self, of: &Object, field: &str, look: &CheckSpec) {
        match look {
            CheckSpec::Http { url, status, ca_file, .. } => {
                let known = url.starts_with("http://") || url.starts_with("https://");
                if !known || url.contains(char::is_whitespace) || url.len() > 2000 {
                    let text = format!("`url` of {of} must be http://address[:port]/path or https://….");
                    self.problem(of, &format!("{field}.url"), text);
                }
                if status.is_some_and(|status| !(100..=599).contains(&status)) {
                    let text = format!("`status` of {of} must be an HTTP status from 100 to 599.");
                    self.problem(of, &format!("{field}.status"), text);
                }
                if ca_file.as_ref().is_some_and(|file| !file.starts_with('/')) {
                    self.problem(
                        of,
                        &format!("{field}.ca_file"),
                        format!("`ca_file` of {of} must be an absolute path."),
                    );
                }
            }
            CheckSpec::Nagios { plugin, arguments } => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
                if plugin.is_empty() || plugin.starts_with('.') || !plugin.bytes().all(plain) {
                    let text = format!(
                        "`plugin` of {of} must be the file name of a plugin, such as `check_ssh`. It is looked for in the \
                         plugins' directory of the one who looks."
                    );
                    self.problem(of, &format!("{field}.plugin"), text);
                }
                if arguments.len() > 100 || arguments.iter().any(|word| word.len() > 4000 || word.contains('\0')) {
                    let text = format!("`arguments` of {of} are too many or too long (100 words of 4000 bytes).");
                    self.problem(of, &format!("{field}.arguments"), text);
                }
            }
            CheckSpec::Tcp { .. } | CheckSpec::GuestAgent {} => {}
        }
    }
}
