//! The loop: one input after the other into the brain, its records to the disk, its effects into the world.
//!
//! The loop itself never waits for anything but the next thing to happen: links, operations and writes are tasks.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use lifeboat_brain::host::{
    Guard, HostBrain, HostEffect, HostInput, LinkId, Notice, Operation, OperationResult, ProcessNow,
};
use lifeboat_brain::message::Going;
use lifeboat_model::{BootId, Epoch, HostName, Seconds, Time, hardware::HardwareReading, liveness::Saying};
use lifeboat_ports::Hypervisor;
use rustls::ClientConfig;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tracing::{error, info, warn};

use crate::{
    config::ControllerAddress,
    error::clean,
    guard::{GuardWatch, boottime_ns},
    journal::Journal,
    leaving::{self, Leaving},
    link::{Link, LinkEvent},
    looks::Looker,
    operations::{carry_out, told},
    records::RecordFile,
    report::Trouble,
};

/// Events of links that wait to be taken in.
const EVENTS: usize = 256;
/// With so many effects waiting for the disk, nothing more is taken in from the controller.
const MAX_WAITING: usize = 4096;
/// Looks at other agents at once.
const MAX_LOOKS: usize = 256;
/// How long running operations and writes may take to end when the agent is to end.
const LAST_WORK: Duration = Duration::from_secs(3);

/// How often the guard is looked at.
const GUARD_LOOKS: Duration = Duration::from_millis(500);

/// A clock that begins with the machine's and never goes back. It goes on while the machine sleeps, as leases do.
#[derive(Debug)]
struct Clock {
    start_ns: u64,
    at_start: Time,
}

impl Clock {
    fn begin() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { start_ns: boottime_ns(), at_start: Time::from_micros(micros(since_epoch)) }
    }

    fn now(&self) -> Time {
        self.at_boottime(boottime_ns())
    }

    fn instant(&self, time: Time) -> Instant {
        Instant::now() + Duration::from(time.since(self.now()))
    }

    /// The time at which the machine had run for so long. One before this clock's beginning is its beginning.
    fn at_boottime(&self, since_boot_ns: u64) -> Time {
        self.at_start + Seconds::from_micros(since_boot_ns.saturating_sub(self.start_ns) / 1000)
    }

    /// For how long the machine will have run at a time.
    fn boottime_ns(&self, time: Time) -> u64 {
        self.start_ns.saturating_add(time.since(self.at_start).micros().saturating_mul(1000))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// What works beside the loop, in tasks and processes of its own.
pub(crate) struct Beside {
    pub(crate) looker: Looker,
    pub(crate) guard: GuardWatch,
    pub(crate) leaving: Leaving,
    pub(crate) readings: mpsc::Receiver<Vec<HardwareReading>>,
    /// Whether the hypervisor answers, when that changes.
    pub(crate) answers: mpsc::Receiver<Option<String>>,
    /// Other agents that look whether this loop turns.
    pub(crate) asked: mpsc::Receiver<oneshot::Sender<Epoch>>,
}

/// Everything that the loop holds.
pub(crate) struct Body {
    clock: Clock,
    brain: HostBrain,
    journal: Journal,
    controllers: Vec<ControllerAddress>,
    tls: Arc<ClientConfig>,
    hypervisor: Arc<dyn Hypervisor>,
    link: Option<Link>,
    sender: mpsc::Sender<LinkEvent>,
    events: mpsc::Receiver<LinkEvent>,
    operations: JoinSet<HostInput>,
    looker: Looker,
    /// Looks at other hosts' agents.
    peers: JoinSet<HostInput>,
    /// Other agents that look whether this loop turns.
    asked: mpsc::Receiver<oneshot::Sender<Epoch>>,
    trouble: Trouble,
    guard: GuardWatch,
    guarded: Guard,
    leaving: Leaving,
    readings: mpsc::Receiver<Vec<HardwareReading>>,
    answers: mpsc::Receiver<Option<String>>,
}

impl Body {
    pub(crate) fn new(
        brain: HostBrain,
        records: RecordFile,
        controllers: Vec<ControllerAddress>,
        tls: Arc<ClientConfig>,
        beside: Beside,
    ) -> Self {
        let Beside { looker, guard, leaving, readings, answers, asked } = beside;
        let (sender, events) = mpsc::channel(EVENTS);
        Self {
            clock: Clock::begin(),
            brain,
            journal: Journal::new(records),
            controllers,
            tls,
            hypervisor: looker.hypervisor(),
            link: None,
            sender,
            events,
            operations: JoinSet::new(),
            looker,
            peers: JoinSet::new(),
            asked,
            trouble: Trouble::default(),
            guard,
            guarded: Guard::Absent,
            leaving,
            readings,
            answers,
        }
    }

    /// The body's time at which the machine had run for so long.
    pub(crate) fn at_boottime(&self, since_boot_ns: u64) -> Time {
        self.clock.at_boottime(since_boot_ns)
    }

    /// Tells the brain when the guard has come or gone.
    fn look_at_guard(&mut self) {
        let guard = self.guard.look();
        if guard != self.guarded {
            info!("the guard of this host is {}", if guard == Guard::Absent { "not there" } else { "armed" });
            self.guarded = guard;
            self.take_in(HostInput::Guard { guard });
        }
    }

    /// Runs until it is to end. VMs keep running.
    pub(crate) async fn run(mut self, first: HostInput, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        self.take_in(first);
        let mut looks = interval(GUARD_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // When the system shuts down, the agent ends at this time at the latest.
        let mut last: Option<Instant> = None;
        loop {
            if last.is_some() && *self.leaving.may_go.borrow() {
                break;
            }
            let deadline = self.brain.next_deadline().map(|time| self.clock.instant(time));
            let has_room = self.journal.waiting() < MAX_WAITING;
            tokio::select! {
                () = &mut shutdown, if last.is_none() => {
                    if !self.leaves().await {
                        break;
                    }
                    last = Some(Instant::now() + Duration::from_secs(self.leaving.config.wait_s));
                }
                () = sleep_until(last.unwrap_or_else(Instant::now)), if last.is_some() => {
                    warn!("the time is over, and the controller has not let this host go; it goes as it is");
                    break;
                }
                Some(problem) = self.answers.recv() => self.take_in(HostInput::Hypervisor { problem }),
                Some(readings) = self.readings.recv() => self.take_in(HostInput::Hardware { readings }),
                Some(going) = self.leaving.asked.recv() => self.announce(going),
                Some(event) = self.events.recv(), if has_room => self.link_event(event),
                event = self.hypervisor.next_event() => self.take_in(told(event)),
                Some(ended) = self.operations.join_next() => {
                    self.take_in(ended.expect("an operation's task neither panics nor is aborted"));
                }
                _ = looks.tick() => self.look_at_guard(),
                looked = self.looker.next() => self.take_in(looked),
                Some(asked) = self.asked.recv() => {
                    // Who asked may have gone.
                    let _ = asked.send(self.brain.memory().epoch());
                }
                Some(seen) = self.peers.join_next() => {
                    if let Ok(seen) = seen {
                        self.take_in(seen);
                    }
                }
                written = self.journal.next() => {
                    let effects = self.journal.go_on(written, self.brain.memory());
                    self.carry_out(effects);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.take_in(HostInput::Tick);
                }
            }
        }
        self.end().await;
    }

    /// Whether the host goes with the agent, which is then announced if it was not.
    async fn leaves(&mut self) -> bool {
        if !self.leaving.goes
            && let Some(going) = leaving::going(&self.leaving.config.jobs_command).await
        {
            self.announce(going);
        }
        self.leaving.goes
    }

    fn announce(&mut self, going: Going) {
        info!("this host is about to go: {going:?}");
        self.leaving.goes = going != Going::Stays;
        self.leaving.may_go.send_replace(false);
        self.take_in(HostInput::Announce { going });
    }

    /// Lets what runs end, within bounds.
    async fn end(mut self) {
        drop(self.link.take());
        info!(operations = self.operations.len(), "the agent ends; its VMs keep running");
        let drained = timeout(LAST_WORK, async { while self.operations.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            warn!("operations on VMs still run; the next agent finds out how they ended");
        }
        self.journal.end(LAST_WORK).await;
    }

    fn take_in(&mut self, input: HostInput) {
        let output = self.brain.handle(self.clock.now(), input);
        let effects = self.journal.take_in(output, self.brain.memory());
        self.carry_out(effects);
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Input(input) => self.take_in(input),
            LinkEvent::Ended { link, why } => {
                let why = why.unwrap_or_else(|| "the controller closed the connection".to_owned());
                self.link_ended(link, &why);
            }
        }
    }

    fn link_ended(&mut self, link: LinkId, why: &str) {
        if self.link.take_if(|current| current.id == link).is_some() {
            if let Some(times) = self.trouble.met(why, std::time::Instant::now()) {
                warn!(times, "no link to a controller, trying on (VMs keep running): {why}");
            }
            self.take_in(HostInput::LinkClosed { link });
        }
    }

    fn carry_out(&mut self, effects: Vec<HostEffect>) {
        for effect in effects {
            match effect {
                HostEffect::Connect { link, controller } => {
                    let controller = self.controllers[controller].clone();
                    self.link = Some(Link::open(link, controller, Arc::clone(&self.tls), self.sender.clone()));
                }
                HostEffect::Disconnect { link } => drop(self.link.take_if(|current| current.id == link)),
                HostEffect::Send { link, message } => {
                    let sent = self.link.as_ref().filter(|current| current.id == link).map(|link| link.send(message));
                    if sent == Some(false) {
                        self.link_ended(link, "the controller does not take what this agent says");
                    }
                }
                HostEffect::Guard { until } => self.guard.tell(until.map(|until| self.clock.boottime_ns(until))),
                HostEffect::Kill { vm } => self.kill(vm),
                HostEffect::LookAt { host, address, boot } => self.look_at(host, address, boot),
                HostEffect::Operate(operation) => self.operate(operation),
                HostEffect::Look { sequence, vm, look, limit } => self.looker.begin(sequence, &vm, &look, limit),
                HostEffect::MayGo => {
                    info!("the controller lets this host go");
                    self.leaving.may_go.send_replace(true);
                }
                HostEffect::Tell(notice) => self.tell(&notice),
            }
        }
    }

    fn look_at(&mut self, host: HostName, address: String, boot: BootId) {
        let seen = |host, (says, detail)| HostInput::PeerSeen { host, says, detail };
        if self.peers.len() >= MAX_LOOKS {
            let busy = (Saying::Unknown, Some("its agent looks at too many others".to_owned()));
            self.peers.spawn(async move { seen(host, busy) });
            return;
        }
        self.peers.spawn(async move {
            let told = match lifeboat_transport::random() {
                Ok(nonce) => lifeboat_transport::agent_look::look(&address, &host, &boot, nonce).await,
                Err(error) => (Saying::Unknown, Some(error.to_string())),
            };
            seen(host, told)
        });
    }

    fn operate(&mut self, operation: Operation) {
        let hypervisor = Arc::clone(&self.hypervisor);
        let (vm, id) = (operation.vm.clone(), operation.id);
        // Within its own task, so that a driver's panic is a failed operation and not the end of the agent.
        self.operations.spawn(async move {
            let inner = tokio::spawn(async move { carry_out(hypervisor.as_ref(), operation).await });
            inner.await.unwrap_or_else(|error| {
                error!(%vm, "a driver has a fault, please report it: {error}");
                let problem = "the agent's driver has a fault; its log says more".to_owned();
                let result = OperationResult::Failed { problem, retry_may_help: true, process: ProcessNow::Unknown };
                HostInput::OperationEnded { vm, operation: id, result }
            })
        });
    }

    /// Kills a VM's process past whatever is being done with it. How that ends is seen in the VM's turn.
    fn kill(&self, vm: lifeboat_model::VmName) {
        let hypervisor = Arc::clone(&self.hypervisor);
        tokio::spawn(async move {
            if let Err(error) = hypervisor.stop(&vm, lifeboat_ports::StopHow::Kill).await {
                warn!(%vm, "could not kill a VM at once, trying on: {}", crate::error::chain(&error));
            }
        });
    }

    fn tell(&mut self, notice: &Notice) {
        let text = clean(&notice.to_string());
        match notice {
            Notice::Led { controller, epoch } => {
                self.trouble.over();
                info!(controller = %self.controllers[*controller], %epoch, "linked to the controller");
            }
            Notice::OldLeader { controller, .. }
            | Notice::Rejected { controller, .. }
            | Notice::CommandBeforeWelcome { controller }
            | Notice::NoAnswer { controller }
            | Notice::Silent { controller } => {
                let controller = &self.controllers[*controller];
                if let Some(times) = self.trouble.met(&text, std::time::Instant::now()) {
                    warn!(%controller, times, "{text}");
                }
            }
            Notice::LeaseOver { .. } | Notice::LeaseHalf { .. } => warn!("{text}"),
            Notice::OldCommand { vm, .. } | Notice::NotKept { vm, .. } | Notice::KillFailed { vm, .. } => {
                warn!(%vm, "{text}");
            }
        }
    }
}
