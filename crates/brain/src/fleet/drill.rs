//! The daily drill: when it is due, what is asked of the body, what is kept and told of the answer.
//!
//! The drill itself is a pure function of the fleet that may take seconds. It is an effect, so that whoever is heard
//! meanwhile does not wait for it, and its report comes back as an input. Nothing depends on it: a drill that is lost with
//! its controller is due again.

use std::sync::Arc;

use lifeboat_model::{
    Seconds, Time,
    drill::{Report, Worse, worse},
};

use super::{
    Brain, Effect,
    journal::bytes,
    records::{HostCondition, Severity},
    timers::Timer,
};

/// A controller that has started drills no sooner than this after the time that hosts have to come back.
const FIRST: Seconds = Seconds::new(60);
/// A drill that makes no sense now is tried again after this.
const LATER: Seconds = Seconds::new(600);
/// Things that got worse that an event tells, at most.
const TOLD: usize = 5;

/// The drills that are remembered.
#[derive(Debug, Default)]
pub(super) struct Drills {
    pub(super) last: Option<Report>,
    /// The last that said something else.
    pub(super) earlier: Option<Report>,
    under_way: bool,
}

impl Brain {
    /// The report of the last drill.
    #[must_use]
    pub fn last_drill(&self) -> Option<&Report> {
        self.drills.last.as_ref()
    }

    /// The last report before it that said something else.
    #[must_use]
    pub fn earlier_drill(&self) -> Option<&Report> {
        self.drills.earlier.as_ref()
    }

    pub(super) fn resume_drills(&mut self) {
        let first = self.started + self.settings.liveness.grace_s + FIRST;
        let next = self.drills.last.as_ref().map_or(Some(first), |last| self.settings.drill.next(last.taken_us));
        if let Some(next) = next.filter(|_| self.settings.drill.every_s > Seconds::ZERO) {
            self.timers.set(Timer::Drill, next.max(first));
        }
    }

    /// A drill is due. While something is being recovered, or no host is up, it would say nothing of an ordinary day.
    pub(super) fn drill_due(&mut self) {
        let condition =
            |wanted: fn(&HostCondition) -> bool| self.hosts.values().any(|host| wanted(&host.record.condition));
        let up = condition(|it| *it == HostCondition::Up);
        let failed = condition(|it| matches!(it, HostCondition::Failed { .. }));
        if !up || failed || self.open_recoveries().next().is_some() {
            self.timers.set(Timer::Drill, self.now + LATER);
            return;
        }
        if let Some(next) = self.settings.drill.next(self.now) {
            self.timers.set(Timer::Drill, next);
        }
        if !std::mem::replace(&mut self.drills.under_way, true) {
            self.journal.effects.push(Effect::Drill { fleet: Arc::new(self.fleet()) });
        }
    }

    pub(super) fn drill_ended(&mut self, result: Result<Box<Report>, String>) {
        self.drills.under_way = false;
        let mut now = match result {
            Ok(report) => *report,
            Err(problem) => {
                let text = format!(
                    "The drill could not be made: {problem}. Please report this with the output of lifeboat export"
                );
                self.tell(Severity::Warning, text, |_| {});
                return;
            }
        };
        now.taken_us = self.now;
        let before = self.drills.last.take();
        match &before {
            None => self.tell(Severity::Info, format!("The first drill: {}", spare(&now)), |_| {}),
            Some(before) => self.compare(before, &now),
        }
        let same = |before: &Report| Report { taken_us: now.taken_us, ..before.clone() } == now;
        if let Some(before) = before.filter(|before| !same(before)) {
            self.journal.raw.push(("drill/earlier".to_owned(), Some(bytes(&before))));
            self.drills.earlier = Some(before);
        }
        self.journal.raw.push(("drill/last".to_owned(), Some(bytes(&now))));
        self.drills.last = Some(now);
    }

    fn compare(&mut self, before: &Report, now: &Report) {
        let found = worse(before, now);
        if !found.is_empty() {
            let told: Vec<String> = found.iter().take(TOLD).map(Worse::to_string).collect();
            let more = found.len().saturating_sub(TOLD);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            let text = format!("The drill's answer got worse: {}{more}", told.join("; "));
            self.tell(Severity::Warning, text, |_| {});
            return;
        }
        let whole = |report: &Report| report.parts.iter().all(lifeboat_model::drill::Part::any_one_may_fail);
        if whole(now) && !whole(before) {
            self.tell(Severity::Info, format!("The drill's answer got better: {}", spare(now)), |_| {});
        }
    }

    /// A moment's drill, as an input gave it, is of no use to a fleet that had none.
    pub(super) fn restore_drill(&mut self, which: &str, report: Report) {
        match which {
            "last" => self.drills.last = Some(report),
            _ => self.drills.earlier = Some(report),
        }
    }
}

/// What may fail, in a few words.
fn spare(report: &Report) -> String {
    let words = report.parts.iter().map(|part| match part.incomplete {
        0 => format!("any one {} may fail", part.by),
        bad => format!("in {bad} of {} cases of one {} failing some VMs would not come back", part.cases, part.by),
    });
    words.collect::<Vec<_>>().join("; ")
}

/// The first point in time after another that is due: every so often, counted from a time of day in UTC.
pub(super) fn next_due(after: Time, every: Seconds, at: Seconds) -> Option<Time> {
    let every = every.micros();
    if every == 0 {
        return None;
    }
    let phase = at.micros() % every;
    let since = (after.micros() + every - phase) % every;
    Some(after + Seconds::from_micros(every - since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_due_at_its_time_of_day_and_strictly_later() {
        let (day, five) = (Seconds::new(86_400), Seconds::new(5 * 3600));
        let at = |seconds: u64| Time::from_micros(seconds * 1_000_000);
        assert_eq!(next_due(at(0), day, five), Some(at(5 * 3600)));
        assert_eq!(next_due(at(5 * 3600), day, five), Some(at(86_400 + 5 * 3600)));
        assert_eq!(next_due(at(6 * 3600), day, five), Some(at(86_400 + 5 * 3600)));
        assert_eq!(next_due(at(100), Seconds::new(60), five), Some(at(120)));
        assert_eq!(next_due(at(0), Seconds::ZERO, five), None);
    }
}
