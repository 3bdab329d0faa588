//! The body of a controller: runs the real [`Brain`], stores what it writes before its effects go out, and dies.
//!
//! As in the real one, what comes in while a transaction is under way waits and is handled together when it is done; a
//! transaction that fails is tried again with everything else waiting; and a controller that finds another's epoch in the
//! store ends. Where there are several, one leads by a lease on the store; one that stood still and lost its lease does
//! not know that until it asks.

use std::collections::{BTreeMap, VecDeque};

use lifeboat_brain::fleet::{Brain, Input, OperatorOrder, Output, RequestId};
use lifeboat_model::{Generation, Seconds, Time, VmName, trace::What};

use super::{Event, Ports, World, network::Network, store::Committed};
use crate::{clock::Clock, random::Random};

mod effects;

/// The pause before a transaction that failed is tried again, and between two looks at a lease.
const AGAIN: Seconds = Seconds::new(1);

#[derive(Debug)]
struct Leading {
    brain: Box<Brain>,
    inbox: VecDeque<Input>,
    /// What is being stored, and what follows when it is.
    storing: Option<Output>,
    /// When, by its own clock, that was begun.
    begun: Time,
    tick_at: Option<Time>,
}

/// A controller.
#[derive(Debug)]
pub struct Controller {
    up: bool,
    life: u32,
    leading: Option<Leading>,
    pub(crate) hung: bool,
    pub(super) aside: Vec<Event>,
    pub(crate) clock: Clock,
    pub(crate) ports: Ports,
    /// VMs that it looks at.
    checks: BTreeMap<VmName, Generation>,
    pub(super) random: Random,
    /// Whether it sees none of the VMs that it looks at.
    pub(crate) blind: bool,
    /// Dies in the middle of the effects of its so-many-th output from now.
    pub(crate) dies_in: Option<u64>,
}

impl Controller {
    /// Its brain; none: it is down, or does not lead.
    #[must_use]
    pub fn brain(&self) -> Option<&Brain> {
        self.leading.as_ref().map(|leading| &*leading.brain)
    }

    /// Whether its process exists.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    pub(super) fn life(&self) -> u32 {
        self.life
    }

    pub(super) fn listens(&self) -> bool {
        self.up && self.leading.is_some()
    }
}

impl World {
    pub(super) fn add_controller(&mut self) {
        let controller = self.controllers.len();
        self.controllers.push(Controller {
            up: false,
            life: 0,
            leading: None,
            hung: false,
            aside: Vec::new(),
            clock: Clock::default(),
            ports: Ports::default(),
            checks: BTreeMap::new(),
            random: Random::of(self.settings.seed, &format!("controller-{controller}")),
            dies_in: None,
            blind: false,
        });
        let at = Seconds::from_millis(10 * (controller as u64 + 1));
        self.after(at, Event::ControllerStarts { controller });
    }

    pub(super) fn controller_starts(&mut self, controller: usize) {
        if self.controllers[controller].up {
            return;
        }
        let life = self.new_life();
        let this = &mut self.controllers[controller];
        (this.up, this.life, this.hung) = (true, life, false);
        this.checks.clear();
        self.lease(controller, life);
    }

    /// Looks after the lease: renews one's own, takes one that has run out.
    pub(super) fn lease(&mut self, controller: usize, life: u32) {
        let several = self.controllers.len() > 1;
        let (now, span) = (self.now, self.settings.lease);
        let this = &self.controllers[controller];
        if this.life != life || !this.up {
            return;
        }
        let reaches = !this.ports.is_cut(Network::Store) && self.store.fault != super::StoreFault::Fails;
        let epoch = this.brain().map(Brain::epoch);
        let mut again = AGAIN;
        match epoch {
            Some(epoch) if reaches && epoch != self.store.epoch() => return self.depose(controller),
            Some(_) if reaches => {
                self.store.lease = Some((controller, now + span));
                again = Seconds::from_micros(span.micros() / 3);
            }
            Some(_) => {}
            None => {
                let free =
                    !several || self.store.lease.is_none_or(|(holder, until)| until <= now || holder == controller);
                if reaches && free {
                    self.store.lease = Some((controller, now + span));
                    self.take_lead(controller);
                }
            }
        }
        if several || self.controllers[controller].leading.is_none() {
            self.after(again, Event::Lease { controller, life });
        }
    }

    fn take_lead(&mut self, controller: usize) {
        let Some(epoch) = self.store.take_lead() else { return };
        let now = self.controllers[controller].clock.read(self.now);
        let records = self.store.records.iter().map(|(key, value)| (key.clone(), value.clone()));
        let brain = match Brain::restore(self.settings.settings.clone(), epoch, now, records) {
            Ok(brain) => Box::new(brain),
            Err(error) => return self.promises.forgot(self.now, &error.to_string()),
        };
        self.promises.remembers(self.now, &brain);
        self.controllers[controller].leading =
            Some(Leading { brain, inbox: VecDeque::new(), storing: None, begun: now, tick_at: None });
        self.note(|| format!("controller {controller} leads in epoch {epoch}"));
        self.changes();
        let life = self.controllers[controller].life;
        self.tell_controller(controller, life, Input::Tick);
        for (request, order) in self.orders.clone() {
            self.tell_controller(controller, life, Input::Operator { request, order });
        }
    }

    /// A controller's process dies; another one is started in its place.
    pub(crate) fn crash_controller(&mut self, controller: usize) {
        if !self.controllers[controller].up {
            return;
        }
        let event = self.event(What::ControllerCrashed);
        self.record(event);
        self.counts.crashes += 1;
        self.note(|| format!("controller {controller} dies"));
        self.end_controller(controller);
    }

    /// A controller that no longer leads ends, and starts again as one that waits.
    fn depose(&mut self, controller: usize) {
        self.note(|| format!("controller {controller} finds that another leads, and ends"));
        self.end_controller(controller);
    }

    fn end_controller(&mut self, controller: usize) {
        let this = &mut self.controllers[controller];
        let life = this.life;
        (this.up, this.hung, this.dies_in) = (false, false, None);
        this.aside.clear();
        this.checks.clear();
        if let Some(Leading { brain, storing: Some(storing), .. }) = this.leading.take() {
            self.store.last_words(brain.epoch(), &storing.writes);
            self.believe_written(&storing.writes);
        }
        self.controllers[controller].life = self.new_life();
        self.close_all_of(controller, life);
        let span = self.settings.times.all.controller_restart.draw(&mut self.controllers[controller].random);
        self.after(span, Event::ControllerStarts { controller });
        self.changes();
    }

    /// A controller stands still for a while.
    pub(crate) fn hang_controller(&mut self, controller: usize, span: Seconds) {
        let this = &mut self.controllers[controller];
        if !this.up || this.hung {
            return;
        }
        this.hung = true;
        let life = this.life;
        self.after(span, Event::ControllerThaws { controller, life });
        self.note(|| format!("controller {controller} stands still for {span}"));
        self.changes();
    }

    pub(super) fn controller_thaws(&mut self, controller: usize, life: u32) {
        let this = &mut self.controllers[controller];
        if this.life != life || !this.hung {
            return;
        }
        this.hung = false;
        for event in std::mem::take(&mut this.aside) {
            self.after(Seconds::ZERO, event);
        }
        self.note(|| format!("controller {controller} goes on"));
        self.changes();
    }

    /// The controller that leads: the one whose epoch the store knows.
    pub(crate) fn leading(&self) -> Option<usize> {
        let leads = |this: &Controller| this.brain().is_some_and(|brain| brain.epoch() == self.store.epoch());
        self.controllers.iter().position(leads)
    }

    pub(super) fn give_order(&mut self, request: RequestId, order: OperatorOrder) {
        let Some(controller) = self.leading() else { return };
        let life = self.controllers[controller].life;
        let input = Box::new(Input::Operator { request, order });
        self.after(Seconds::ZERO, Event::ControllerTold { controller, life, input });
    }

    /// A controller's clock has changed: its deadline is reckoned anew.
    pub(crate) fn wake_controller(&mut self, controller: usize) {
        let life = self.controllers[controller].life;
        if let Some(leading) = &mut self.controllers[controller].leading {
            leading.tick_at = Some(self.now);
            self.queue.push(self.now, Event::ControllerTick { controller, life });
        }
    }

    pub(super) fn controller_tick(&mut self, controller: usize, life: u32) {
        let now = self.now;
        let Some(leading) = &mut self.controllers[controller].leading else { return };
        if leading.tick_at.is_none_or(|at| at > now) {
            return;
        }
        leading.tick_at = None;
        self.tell_controller(controller, life, Input::Tick);
    }

    /// Tells a controller's brain something, if that life of it still leads.
    pub(super) fn tell_controller(&mut self, controller: usize, life: u32, input: Input) {
        let this = &mut self.controllers[controller];
        if this.life != life || !this.up {
            return;
        }
        if this.hung {
            this.aside.push(Event::ControllerTold { controller, life, input: Box::new(input) });
            return;
        }
        let Some(leading) = &mut this.leading else { return };
        if leading.storing.is_none() && leading.inbox.is_empty() {
            return self.handle_inbox(controller, Some(input));
        }
        leading.inbox.push_back(input);
        if leading.storing.is_none() {
            self.handle_inbox(controller, None);
        }
    }

    /// Hands the brain what waits for it, and what has just come.
    fn handle_inbox(&mut self, controller: usize, last: Option<Input>) {
        let now = self.now;
        let this = &mut self.controllers[controller];
        let Some(leading) = &mut this.leading else { return };
        let local = this.clock.read(now);
        let mut output = std::mem::take(&mut self.fleet_output);
        while let Some(input) = leading.inbox.pop_front() {
            leading.brain.handle(local, input, &mut output);
        }
        if let Some(input) = last {
            leading.brain.handle(local, input, &mut output);
        }
        let life = this.life;
        if let Some(deadline) = leading.brain.next_deadline() {
            let at = this.clock.when(deadline, now);
            if leading.tick_at.is_none_or(|tick| at < tick || tick < now) {
                leading.tick_at = Some(at);
                self.queue.push(at, Event::ControllerTick { controller, life });
            }
        }
        if output.writes.is_empty() {
            self.carry_out_effects(controller, life, &mut output.effects);
            self.fleet_output = output;
            return;
        }
        leading.storing = Some(output);
        leading.begun = local;
        let span = self.settings.times.all.commit.draw(&mut this.random) + self.store.delay();
        self.after(span, Event::Commits { controller, life });
    }

    pub(super) fn commits(&mut self, controller: usize, life: u32) {
        let this = &mut self.controllers[controller];
        if this.life != life {
            return;
        }
        let reaches = !this.ports.is_cut(Network::Store);
        let Some(leading) = &mut this.leading else { return };
        let epoch = leading.brain.epoch();
        let begun = leading.begun;
        let Some(storing) = &mut leading.storing else { return };
        let ended = if reaches { self.store.commit(epoch, &storing.writes) } else { Committed::Failed };
        let writes = std::mem::take(&mut storing.writes);
        self.believe_written(&writes);
        let Some(leading) = &mut self.controllers[controller].leading else { return };
        if let Some(storing) = &mut leading.storing {
            storing.writes = writes;
        }
        match ended {
            Committed::Failed => self.after(AGAIN, Event::Commits { controller, life }),
            Committed::Deposed => self.depose(controller),
            Committed::Done => {
                let Some(mut output) = leading.storing.take() else { return };
                leading.brain.committed(begun);
                self.carry_out_effects(controller, life, &mut output.effects);
                let waits = |leading: &Leading| leading.storing.is_none() && !leading.inbox.is_empty();
                if self.controllers[controller].leading.as_ref().is_some_and(waits) {
                    self.handle_inbox(controller, None);
                }
            }
        }
    }

    fn begin_check(&mut self, controller: usize, life: u32, vm: VmName, generation: Generation, until: Time) {
        self.controllers[controller].checks.insert(vm.clone(), generation);
        if self.is_seen(&vm) {
            return self.answer_checks(&vm);
        }
        let at = self.controllers[controller].clock.when(until, self.now);
        self.queue.push(at, Event::CheckEnds { controller, life, vm, generation });
    }

    /// Who looks at a VM sees it answer.
    pub(super) fn answer_checks(&mut self, vm: &VmName) {
        for controller in 0..self.controllers.len() {
            let this = &mut self.controllers[controller];
            let Some(generation) = this.checks.remove(vm) else { continue };
            let (life, span) = (this.life, this.random.between(Seconds::from_millis(1), Seconds::from_millis(100)));
            let input = Box::new(Input::CheckEnded { vm: vm.clone(), generation, result: Ok(()) });
            self.after(span, Event::ControllerTold { controller, life, input });
        }
    }

    pub(super) fn check_ends(&mut self, controller: usize, life: u32, vm: &VmName, generation: Generation) {
        let this = &mut self.controllers[controller];
        if this.life != life || this.checks.get(vm) != Some(&generation) {
            return;
        }
        this.checks.remove(vm);
        // Nobody waits any longer for it to start.
        self.promises.stopping(vm);
        let result = Err("no connection was taken".to_owned());
        self.tell_controller(controller, life, Input::CheckEnded { vm: vm.clone(), generation, result });
    }
}
