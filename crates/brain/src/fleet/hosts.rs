//! Liveness: who is there, and who is lost.
//!
//! ```text
//!            Hello                  a verdict: hung, dead,
//!   New ───────────────► Up ─────── or isolated for long ──────► Failed ──── proof ───► Fenced
//!                        ▲ ▲                                       │                      │
//!                        │ └── Hello of the same boot, nothing ────┘                      │
//!                        │     cut yet: it never left                                     │
//!                        └──────────────── Hello of another boot ◄──────────────────────-─┘
//! ```
//!
//! How silence is judged, and what else is heard of a host, is in [`judging`](super::judging). An open connection proves
//! nothing (a frozen host keeps its connections), nor does a closed one (an agent may be restarted).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lifeboat_model::{
    BootId, Generation, HostName, Time, VmName,
    hardware::{HardwareSeen, HardwareSource},
    liveness::{EvidenceSource, Judgement, VerdictRule},
    running::RunningVm,
    spec::Isolation,
    trace::What,
};

use super::{
    Brain, Effect, FenceProof, LinkId,
    evidence::EvidenceSet,
    fencing::{Lease, Trying},
    judging::Asked,
    policies::Policy,
    records::{HostCondition, HostRecord, Phase, Severity},
    timers::Timer,
};
use crate::message::{FromAgent, Hello, PROTOCOL, Pledge, ToAgent};

/// The link that a host's agent uses now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The link.
    pub id: LinkId,
    /// The agent's version.
    pub version: String,
}

/// A host as it is now.
#[derive(Clone, Debug)]
pub struct HostState {
    /// What is remembered of it.
    pub record: HostRecord,
    /// Its agent's link; none: it has none now.
    pub link: Option<Link>,
    /// Since when its agent has this link, or none.
    pub link_since: Time,
    /// When it was last heard (a heartbeat, an answer, a Hello); ahead of now while it has time to come back.
    pub heard: Time,
    /// How it is judged.
    pub policy: Policy,
    /// What it does when it is cut off, as it is declared and set.
    pub(in crate::fleet) isolation: Isolation,
    /// What other sources said of it.
    pub evidence: EvidenceSet,
    /// The verdict on it while it is up.
    pub judgement: Judgement,
    /// The verdicts before that, the oldest first.
    pub earlier: VecDeque<Judgement>,
    /// Sources that were asked.
    pub(super) asked: BTreeMap<EvidenceSource, Asked>,
    /// The newest link on which its agent said Hello.
    greeted: Option<LinkId>,
    /// The unanswered probe.
    pub(super) probe: Option<u64>,
    /// Whether a host that leaves was told on this link that it may.
    pub(super) told_to_go: bool,
    /// What its agent said last of its hardware.
    pub hardware: BTreeMap<HardwareSource, HardwareSeen>,
    /// Whether people were told that its hardware is suspect.
    pub(super) hardware_told: bool,
    /// Whether its agent said Hello again while its fencing was under way.
    pub(super) answers_again: bool,
    /// The rung of its ladder that is being tried.
    pub(super) trying: Option<Trying>,
    /// Whether it is being cut off from its volumes.
    pub(super) cutting: bool,
    /// Its lease.
    pub(super) lease: Lease,
    /// Rounds through all of its fence devices that failed.
    pub(super) failed_rounds: u32,
}

impl HostState {
    pub(super) fn new(record: HostRecord, policy: Policy) -> Self {
        let heard = VerdictRule::Heard;
        Self {
            record,
            policy,
            isolation: Isolation::default(),
            evidence: EvidenceSet::default(),
            judgement: Judgement { verdict: heard.verdict(), rule: heard, since_us: Time::default() },
            earlier: VecDeque::new(),
            asked: BTreeMap::new(),
            link: None,
            link_since: Time::default(),
            heard: Time::default(),
            greeted: None,
            probe: None,
            told_to_go: false,
            hardware: BTreeMap::new(),
            hardware_told: false,
            answers_again: false,
            trying: None,
            cutting: false,
            lease: Lease::default(),
            failed_rounds: 0,
        }
    }

    /// Whether something is under way that may still cut it off, so that it must not be taken back.
    pub(super) const fn being_fenced(&self) -> bool {
        self.trying.is_some() || self.cutting
    }

    pub(super) fn forgive_silence(&mut self, now: Time) {
        self.heard = self.heard.max(now);
        self.probe = None;
        self.judged(VerdictRule::Heard, now);
    }
}

impl Brain {
    /// Takes a host up again after a restart of this controller.
    pub(super) fn resume_host(&mut self, name: &HostName) {
        let until = self.now + self.settings.liveness.grace_s;
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.link_since = self.now;
        match host.record.condition {
            HostCondition::New | HostCondition::Fenced { .. } => {}
            // Nobody listened while there was no controller: known hosts have the grace time to come back.
            HostCondition::Up => {
                host.judgement.since_us = self.now;
                host.heard = until;
                self.timers.set(Timer::Silence(name.clone()), until + host.policy.suspect_after_s);
            }
            HostCondition::Failed { .. } => self.timers.set(Timer::Fence(name.clone()), self.now),
        }
    }

    pub(super) fn agent_said(&mut self, name: &HostName, link: LinkId, message: FromAgent) {
        match message {
            FromAgent::Hello(hello) => return self.hello(name, link, hello),
            FromAgent::Heartbeat { sequence, pledge } => return self.beats(name, link, sequence, pledge),
            _ => {}
        }
        let heard = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.link.as_ref().is_none_or(|now| now.id != link) {
            return;
        }
        host.heard = heard.max(host.heard);
        if host.judgement.rule != VerdictRule::Heard {
            self.judge(name);
        }
        let Some(host) = self.hosts.get_mut(name) else { return };
        match message {
            FromAgent::Hello(_) | FromAgent::Heartbeat { .. } => {}
            FromAgent::Probed { nonce } => {
                if host.probe == Some(nonce) {
                    host.probe = None;
                }
            }
            FromAgent::Done { command, outcome } => self.command_done(name, command, outcome),
            FromAgent::VmExited { vm, generation, by_guest, detail } => {
                self.vm_exited(name, &vm, generation, by_guest, &detail);
            }
            FromAgent::VmChanged(report) => self.vm_changed(name, &report),
            FromAgent::Looked { sequence, report } => self.looked(Some(name), sequence, report),
            FromAgent::Leaving { going } => self.leaving(name, going),
            FromAgent::Hypervisor { problem } => self.hypervisor_told(name, problem),
            FromAgent::Hardware { readings } => self.hardware_told(name, readings),
            FromAgent::PeerSeen { host, says, detail } => self.peer_seen(name, &host, says, detail),
        }
    }

    /// An agent lives. Nearly all that is heard is this, so its host is looked up once where nothing has changed.
    fn beats(&mut self, name: &HostName, link: LinkId, sequence: u64, pledge: Pledge) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.link.as_ref().is_none_or(|now| now.id != link) {
            return;
        }
        host.heard = host.heard.max(now);
        let (silent, pledges) = (host.judgement.rule != VerdictRule::Heard, host.record.pledge != pledge);
        let leased = host.isolation != Isolation::Keep;
        if silent {
            self.judge(name);
        }
        if pledges {
            self.pledged(name, pledge);
        }
        let lease_ms = if leased { self.grant(name) } else { 0 };
        let message = ToAgent::Heard { sequence, lease_ms };
        self.journal.effects.push(Effect::Say { host: name.clone(), link, message });
    }

    /// Says something to a host's agent, if it has a link.
    pub(super) fn say(&mut self, name: &HostName, message: ToAgent) {
        if let Some(link) = self.hosts.get(name).and_then(|host| host.link.as_ref()) {
            self.journal.effects.push(Effect::Say { host: name.clone(), link: link.id, message });
        }
    }

    fn reject(&mut self, name: &HostName, link: LinkId, why: String) {
        self.journal.effects.push(Effect::Say { host: name.clone(), link, message: ToAgent::Rejected { why } });
        self.journal.effects.push(Effect::CloseLink { host: name.clone(), link });
    }

    fn hello(&mut self, name: &HostName, link: LinkId, hello: Hello) {
        if hello.protocol != PROTOCOL {
            let said = hello.protocol;
            self.reject(name, link, format!("this controller speaks protocol {PROTOCOL}, the agent {said}; install the same version of lifeboat on both"));
            return;
        }
        if hello.epoch > self.epoch {
            self.reject(
                name,
                link,
                format!("the agent has obeyed a later leader (epoch {}, this one is {})", hello.epoch, self.epoch),
            );
            return;
        }
        let Some(host) = self.hosts.get_mut(name) else {
            self.reject(name, link, format!("no host {name} is declared; add it to the fleet's file and apply it"));
            return;
        };
        // Repeated by the network, or overtaken by a later one: what it says of the VMs is no longer so.
        if host.greeted >= Some(link) {
            return;
        }
        host.greeted = Some(link);
        let same_boot = host.record.boot.as_ref() == Some(&hello.boot);
        match host.record.condition.clone() {
            HostCondition::Failed { .. } if same_boot && host.being_fenced() => {
                host.answers_again = true;
                self.reject_while_fenced(name, link);
                return;
            }
            HostCondition::Failed { .. } if same_boot => self.never_left(name),
            HostCondition::Failed { .. } => self.proven(name, FenceProof::Rebooted),
            HostCondition::Fenced { proof, .. } if same_boot && !host.being_fenced() && lied(&proof, &hello) => {
                self.fence_lied(name, &proof);
            }
            HostCondition::New | HostCondition::Up | HostCondition::Fenced { .. } => {}
        }
        if self.hosts.get(name).is_some_and(HostState::being_fenced) {
            self.reject_while_fenced(name, link);
            return;
        }
        self.take_up(name, link, &hello, same_boot);
    }

    /// The attempt that is under way may still cut the host's power, so nothing may run there before it has ended.
    fn reject_while_fenced(&mut self, name: &HostName, link: LinkId) {
        self.reject(name, link, "this host is being fenced; it is taken back when that has ended".to_owned());
    }

    /// Makes a host that said Hello one of ours.
    fn take_up(&mut self, name: &HostName, link: LinkId, hello: &Hello, same_boot: bool) {
        let (now, missing) = (self.now, self.missing_links());
        let Some(host) = self.hosts.get_mut(name) else { return };
        let was_up = host.record.condition == HostCondition::Up;
        // Without a link nothing is said to it: what follows from its Hello comes after its Welcome.
        let old = host.link.take();
        if host.record.version.as_ref() != Some(&hello.version) || host.record.probe_addresses != hello.probe_addresses
        {
            host.record.version = Some(hello.version.clone());
            host.record.probe_addresses.clone_from(&hello.probe_addresses);
            self.journal.hosts.insert(name.clone());
        }
        // An agent says so again if it still does not answer.
        let hung = host.hypervisor_hangs();
        host.evidence.forget(&EvidenceSource::Hypervisor);
        host.link_since = now;
        host.heard = now;
        host.probe = None;
        host.answers_again = false;
        host.failed_rounds = 0;
        if let Some(old) = old.filter(|old| old.id != link) {
            self.journal.effects.push(Effect::CloseLink { host: name.clone(), link: old.id });
        }
        let before = host.judgement.rule;
        host.judged(VerdictRule::Heard, now);
        if !was_up {
            host.judgement.since_us = now;
        }
        self.brake.set_silent(name, None);
        self.timers.set(Timer::Silence(name.clone()), now + host.policy.suspect_after_s);
        let announced = self.came_back(name, same_boot);
        if !was_up || !same_boot {
            self.host_is_up(name, &hello.boot, was_up, announced);
        }
        self.reconcile(name, &hello.vms, same_boot || !was_up);
        let keep = self.keep_list(name);
        if let Some(host) = self.hosts.get_mut(name) {
            host.link = Some(Link { id: link, version: hello.version.clone() });
        }
        if hung {
            self.want_plan(format!("the agent of {name} begins anew"));
        }
        self.tell_verdict(name, before, VerdictRule::Heard);
        self.release(name);
        if missing && !self.missing_links() {
            self.want_plan("all known hosts are heard again");
        }
        let heartbeat_ms = self.hosts.get(name).map_or(1000, |host| host.policy.heartbeat_s.millis());
        self.pledged(name, hello.pledge);
        let (lease_ms, terms) = (self.grant(name), self.terms(name));
        self.terms_told(name, terms.clone());
        let (epoch, leave) = (self.epoch, Vec::new());
        self.say(name, ToAgent::Welcome { epoch, heartbeat_ms, keep, leave, lease_ms, terms });
        self.repeat_commands_of(name);
    }

    fn host_is_up(&mut self, name: &HostName, boot: &BootId, was_up: bool, announced: bool) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let was_new = host.record.condition == HostCondition::New;
        host.record.condition = HostCondition::Up;
        host.record.since = self.now;
        host.record.boot = Some(boot.clone());
        self.journal.hosts.insert(name.clone());
        let text = match (was_new, was_up) {
            (true, _) => format!("{name} has joined"),
            (_, true) => format!("{name} has booted anew without having been missed; its VMs are restarted"),
            _ if self.hosts.get(name).is_some_and(|host| host.record.held_out.is_some()) => {
                format!("{name} is back; it is held out and takes no VMs: lifeboat maintenance {name} off")
            }
            _ => format!("{name} is back; it is up and takes VMs again"),
        };
        let event = self.trace(What::HostUp).host(name);
        self.add_trace(event);
        if !announced {
            self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        }
        self.await_calm(name);
        self.settle();
    }

    /// Gives other hosts a moment to appear before VMs that have no hurry are placed.
    fn settle(&mut self) {
        let waiting = self.hosts.values().any(|host| host.record.condition == HostCondition::New);
        if waiting && self.execution.is_none() {
            self.timers.set(Timer::Settle, self.now + self.settings.liveness.suspect_after_s);
        } else {
            // What waits for known hosts to come back still does.
            if !self.missing_links() {
                self.timers.cancel(&Timer::Settle);
            }
            self.want_plan("a host is up");
        }
    }

    /// Whether VMs that have no hurry wait for hosts to appear.
    pub(super) fn settling(&self) -> bool {
        self.timers.is_set(&Timer::Settle)
    }

    /// Compares what runs on a host with what should.
    fn reconcile(&mut self, name: &HostName, reports: &[RunningVm], same_boot: bool) {
        self.take_back(name, reports);
        let there: BTreeMap<&VmName, &RunningVm> = reports.iter().map(|report| (&report.vm, report)).collect();
        for vm in self.vms_that_may_run_on(name) {
            let Some(record) = self.vms.get(&vm) else { continue };
            let (generation, starting) = (record.generation, matches!(record.phase, Phase::Starting { .. }));
            match there.get(&vm) {
                Some(report) if report.generation == generation => self.vm_seen(name, &vm, report.state),
                // A start that was ordered and is not there may still be under way on this very link's other end: the
                // command is sent again and answers for itself, unless the host has booted anew.
                None if starting && same_boot && self.commands.has(&vm, generation) => {}
                _ => {
                    let why = if same_boot { "its process was gone" } else { "its host had booted anew" };
                    self.vm_exited(name, &vm, generation, false, why);
                }
            }
        }
    }

    /// Believes a host that says that it runs a VM that was taken for stopped: its fence lied. No newer intent than that
    /// process exists, so it is the only one; it stays, for to start the VM beside it would run it twice.
    fn take_back(&mut self, name: &HostName, reports: &[RunningVm]) {
        for report in reports {
            let Some(record) = self.vms.get(&report.vm) else { continue };
            if record.phase != Phase::Stopped || record.generation != report.generation {
                continue;
            }
            self.set_phase(&report.vm, Phase::Running { host: name.clone(), ready: None });
            let text = format!("{} was taken for stopped and runs on {name}: it stays there", report.vm);
            self.tell(Severity::Warning, text, |event| {
                (event.host, event.vm) = (Some(name.clone()), Some(report.vm.clone()));
            });
            self.drop_from_plan(&report.vm);
            self.want_plan(format!("{} runs already", report.vm));
        }
    }

    /// Which VMs may go on running on a host.
    fn keep_list(&self, name: &HostName) -> Vec<(VmName, Generation)> {
        self.running_on(name).map(|(vm, record)| (vm.clone(), record.generation)).collect()
    }

    pub(super) fn link_closed(&mut self, name: &HostName, link: LinkId) {
        if let Some(host) = self.hosts.get_mut(name)
            && host.link.as_ref().is_some_and(|now| now.id == link)
        {
            host.link = None;
            host.link_since = self.now;
        }
    }

    /// A host that was declared failed answers, in the boot that its VMs ran in, and nothing has cut its power.
    fn never_left(&mut self, name: &HostName) {
        self.timers.cancel(&Timer::Fence(name.clone()));
        self.timers.cancel(&Timer::Lease(name.clone()));
        if let Some(host) = self.hosts.get_mut(name) {
            host.record.condition = HostCondition::Up;
            host.record.since = self.now;
        }
        self.journal.hosts.insert(name.clone());
        let back: BTreeSet<VmName> = self.vms_that_may_run_on(name);
        for vm in &back {
            // Its Hello says which of them run. What was under way when it fell silent is not known otherwise; what had
            // answered its check need not answer again, for it may be the network that is in trouble.
            let phase = match self.vms.get(vm).map(|record| &record.phase) {
                Some(Phase::Lost { ready: Some(at), .. }) => Phase::Running { host: name.clone(), ready: Some(*at) },
                _ => Phase::Starting { host: name.clone() },
            };
            self.set_phase(vm, phase);
        }
        self.release_recovery(name, &back);
        let event = self.trace(What::HostUp).host(name);
        self.add_trace(event);
        self.tell(
            Severity::Warning,
            format!(
                "{name} answers again and was never cut off: its recovery is called off, its {}",
                lifeboat_model::text::counted(back.len(), "VM stays where it is", "VMs stay where they are")
            ),
            |event| event.host = Some(name.clone()),
        );
        self.want_plan(format!("{name} answers again"));
    }

    /// A host that was proven unable to run its VMs answers in the very boot that they ran in.
    fn fence_lied(&mut self, name: &HostName, proof: &FenceProof) {
        self.tell(
            Severity::Critical,
            format!("{name} was taken for off ({proof}) and was not: it answers in the same boot. What it ran and has a place elsewhere is killed there at once; check for damage to their volumes, and do not trust that fence until it is mended"),
            |event| event.host = Some(name.clone()),
        );
    }
}

/// Whether a host that says Hello in the boot in which it was proven to run nothing shows that the proof was none. Whose
/// lease ran out is still there, and has only stopped its VMs.
fn lied(proof: &FenceProof, hello: &Hello) -> bool {
    let stays = matches!(proof, FenceProof::Lease { .. } | FenceProof::Storage { .. });
    !stays || !hello.vms.is_empty()
}
