//! The loop: one input after the other into the brain, its records to the disk, its effects into the world.
//!
//! The loop itself never waits for anything but the next thing to happen: links, operations and writes are tasks.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use lifeboat_brain::host::{HostBrain, HostEffect, HostInput, LinkId, Notice, Operation, OperationResult, ProcessNow};
use lifeboat_model::{BootId, HostName, Seconds, Time, liveness::Saying};
use lifeboat_ports::Hypervisor;
use rustls::ClientConfig;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tracing::{error, info, warn};

use crate::{
    config::ControllerAddress,
    error::clean,
    journal::Journal,
    link::{Link, LinkEvent},
    operations::{carry_out, told},
    probe,
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

/// A clock that begins with the machine's and never goes back.
#[derive(Debug)]
struct Clock {
    start: Instant,
    at_start: Time,
}

impl Clock {
    fn begin() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), at_start: Time::from_micros(micros(since_epoch)) }
    }

    fn now(&self) -> Time {
        self.at_start + Seconds::from_micros(micros(self.start.elapsed()))
    }

    fn instant(&self, time: Time) -> Instant {
        self.start + Duration::from(time.since(self.at_start))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
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
    /// Looks at other hosts' agents.
    looks: JoinSet<HostInput>,
    /// Other agents that look whether this loop turns.
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    trouble: Trouble,
}

impl Body {
    pub(crate) fn new(
        brain: HostBrain,
        records: RecordFile,
        controllers: Vec<ControllerAddress>,
        tls: Arc<ClientConfig>,
        hypervisor: Arc<dyn Hypervisor>,
        asked: mpsc::Receiver<oneshot::Sender<()>>,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        Self {
            clock: Clock::begin(),
            brain,
            journal: Journal::new(records),
            controllers,
            tls,
            hypervisor,
            link: None,
            sender,
            events,
            operations: JoinSet::new(),
            looks: JoinSet::new(),
            asked,
            trouble: Trouble::default(),
        }
    }

    /// Runs until it is to end. VMs keep running.
    pub(crate) async fn run(mut self, first: HostInput, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        self.take_in(first);
        loop {
            let deadline = self.brain.next_deadline().map(|time| self.clock.instant(time));
            let has_room = self.journal.waiting() < MAX_WAITING;
            tokio::select! {
                () = &mut shutdown => break,
                Some(event) = self.events.recv(), if has_room => self.link_event(event),
                event = self.hypervisor.next_event() => self.take_in(told(event)),
                Some(ended) = self.operations.join_next() => {
                    self.take_in(ended.expect("an operation's task neither panics nor is aborted"));
                }
                Some(asked) = self.asked.recv() => {
                    // Who asked may have gone.
                    let _ = asked.send(());
                }
                Some(seen) = self.looks.join_next() => {
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
                HostEffect::LookAt { host, address, boot } => self.look_at(host, address, boot),
                HostEffect::Operate(operation) => self.operate(operation),
                HostEffect::Tell(notice) => self.tell(&notice),
            }
        }
    }

    fn look_at(&mut self, host: HostName, address: String, boot: BootId) {
        let seen = |host, (says, detail)| HostInput::PeerSeen { host, says, detail };
        if self.looks.len() >= MAX_LOOKS {
            let busy = (Saying::Unknown, Some("its agent looks at too many others".to_owned()));
            self.looks.spawn(async move { seen(host, busy) });
            return;
        }
        self.looks.spawn(async move {
            let told = match lifeboat_transport::random() {
                Ok(nonce) => probe::look(&address, &host, &boot, nonce).await,
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
            Notice::OldCommand { vm, .. } | Notice::NotKept { vm, .. } | Notice::KillFailed { vm, .. } => {
                warn!(%vm, "{text}");
            }
        }
    }
}
