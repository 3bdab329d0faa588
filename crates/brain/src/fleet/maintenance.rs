//! Hosts that an operator keeps from getting VMs, until the operator says otherwise or a time is over.

use lifeboat_model::{HostName, Seconds};

use super::{
    Answer, Brain, Kind, Refusal, RefusalKind,
    records::{Severity, Upkeep},
    timers::Timer,
};

/// The longest note, in characters.
pub const MAX_NOTE: usize = 200;

impl Brain {
    /// Takes up again what ends by itself, after a restart of this controller.
    pub(super) fn resume_maintenance(&mut self, name: &HostName) {
        let upkeep = self.hosts.get(name).and_then(|host| host.record.upkeep.as_ref());
        if let Some(until) = upkeep.and_then(|upkeep| upkeep.until) {
            self.timers.set(Timer::Maintenance(name.clone()), until);
        }
    }

    pub(super) fn begin_maintenance(
        &mut self,
        name: &HostName,
        note: Option<String>,
        ends_after: Option<Seconds>,
    ) -> Result<Answer, Refusal> {
        let invalid = |message: &str, advice: &str| {
            Refusal::new(RefusalKind::Invalid, message.to_owned(), Some(advice.to_owned()))
        };
        if note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE || note.chars().any(char::is_control)) {
            return Err(invalid("this note is no single line of at most 200 characters", "write a shorter one"));
        }
        if ends_after == Some(Seconds::ZERO) {
            return Err(invalid("a maintenance of no time is none", "say for how long it lasts, or leave that out"));
        }
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else {
            return Err(Refusal::not_found(Kind::Host, name.as_str()));
        };
        let before = host.record.upkeep.clone();
        let mut upkeep = before.clone().unwrap_or_default();
        if !host.record.maintenance {
            upkeep = Upkeep { since: now, ..Upkeep::default() };
        }
        upkeep.note = note.or(upkeep.note);
        upkeep.until = ends_after.map(|span| now + span).or(upkeep.until);
        if host.record.maintenance && before.unwrap_or_default() == upkeep {
            return Ok(Answer { unchanged: 1, ..Answer::default() });
        }
        host.record.maintenance = true;
        if let Some(until) = upkeep.until {
            self.timers.set(Timer::Maintenance(name.clone()), until);
        }
        let mut text = format!("{name} is in maintenance: it keeps its VMs and gets no new ones");
        if let Some(note) = &upkeep.note {
            text.push_str(&format!(" (\"{note}\")"));
        }
        if let Some(until) = upkeep.until {
            text.push_str(&format!(". It ends by itself after {}", until.since(now)));
        }
        host.record.upkeep = Some(upkeep);
        self.journal.hosts.insert(name.clone());
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        self.want_plan(format!("{name} is in maintenance"));
        Ok(Answer { changed: vec![format!("host {name}")], ..Answer::default() })
    }

    pub(super) fn end_maintenance(&mut self, name: &HostName) -> Result<Answer, Refusal> {
        let Some(host) = self.hosts.get_mut(name) else {
            return Err(Refusal::not_found(Kind::Host, name.as_str()));
        };
        let declared = self.declared.hosts.get(name).is_some_and(|spec| spec.maintenance.is_some());
        let warnings = if declared {
            vec![format!(
                "{name} still gets no VMs: the fleet's file says `maintenance` of it. Take that out and apply it"
            )]
        } else {
            Vec::new()
        };
        let ordered = host.record.maintenance || host.record.draining;
        let let_in = self.let_in(name, "an operator lets it take VMs") | self.trust_hardware(name);
        let Some(host) = self.hosts.get_mut(name).filter(|_| ordered) else {
            let mut answer = Answer { warnings, ..Answer::default() };
            if let_in {
                answer.changed.push(format!("host {name}"));
            } else {
                answer.unchanged = 1;
            }
            return Ok(answer);
        };
        (host.record.maintenance, host.record.draining, host.record.upkeep) = (false, false, None);
        self.timers.cancel(&Timer::Maintenance(name.clone()));
        self.journal.hosts.insert(name.clone());
        let text = if declared {
            format!("{name} is no longer in maintenance by an order, but still by its declaration")
        } else {
            format!("{name} takes VMs again")
        };
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        self.want_plan(format!("{name} is no longer in maintenance"));
        Ok(Answer { changed: vec![format!("host {name}")], warnings, ..Answer::default() })
    }

    /// The time that an operator set has come.
    pub(super) fn maintenance_is_over(&mut self, name: &HostName) {
        if self.hosts.get(name).is_none_or(|host| host.record.upkeep.is_none()) {
            return;
        }
        let text = format!("The time that was set for the maintenance of {name} is over");
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        // It is known, or its timer would not be.
        let _ = self.end_maintenance(name);
    }
}
