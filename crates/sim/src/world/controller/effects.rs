//! What a controller wants done, and what becomes durable of what it decides.

use lifeboat_brain::{
    fleet::{Effect, Input, RequestId},
    message::{Order, ToAgent},
};
use lifeboat_model::{Seconds, trace::What};

use crate::world::{Event, Line, World, network::Message};

impl World {
    /// Carries effects out and leaves none.
    pub(super) fn carry_out_effects(&mut self, controller: usize, life: u32, effects: &mut Vec<Effect>) {
        let mut left = self.dies_after(controller, effects.len() as u64);
        if let [Effect::Say { link, message: ToAgent::Heard { sequence, lease_ms }, .. }] = effects[..]
            && left.is_none()
        {
            effects.clear();
            self.controller_says(controller, life, link, Message::Heard { sequence, lease_ms });
        }
        for effect in effects.drain(..) {
            if left == Some(0) {
                return self.crash_controller(controller);
            }
            left = left.map(|left| left - 1);
            self.carry_out_effect(controller, life, effect);
        }
        if left == Some(0) {
            self.crash_controller(controller);
        }
    }

    /// After how many of its effects a controller dies now; none: it does not.
    fn dies_after(&mut self, controller: usize, effects: u64) -> Option<u64> {
        let this = &mut self.controllers[controller];
        let left = this.dies_in.take()?;
        if effects == 0 || left > 0 {
            this.dies_in = Some(left.saturating_sub(u64::from(effects > 0)));
            return None;
        }
        Some(this.random.below(effects + 1))
    }

    fn carry_out_effect(&mut self, controller: usize, life: u32, effect: Effect) {
        match effect {
            Effect::Say { host: _, link, message } => {
                if let ToAgent::Command(command) = &message {
                    match command.order {
                        Order::Start => self.promises.start_ordered(&command.vm, command.generation, self.now),
                        Order::Stop { .. } => self.promises.stop_ordered(&command.vm),
                        Order::Configure { .. } => {}
                    }
                }
                if matches!(message, ToAgent::Probe { .. }) {
                    self.counts.asked += 1;
                }
                self.controller_says(controller, life, link, message.into());
            }
            Effect::CloseLink { link, .. } => self.close_controller_side(link),
            Effect::Fence { host, attempt, device } => self.fence(controller, life, &host, attempt, &device),
            // The worst that can be: what was sent before still acts.
            Effect::EndFence { .. } => {}
            Effect::ReadFence { host, look, device } => self.read_fence(controller, life, &host, look, &device),
            Effect::ReadPower { host, device } => self.read_power(controller, life, host, &device),
            Effect::AskVm { host, vm, .. } => self.ask_vm(controller, life, host, vm),
            Effect::LookAtAgent { host, address, .. } => self.look_at_agent(controller, life, host, address),
            // No world has such a block: no settings name one.
            Effect::ReadBlock { .. } => {}
            Effect::AskReferences { addresses } => self.ask_references(controller, life, addresses.len()),
            Effect::Volume { op, change, array, volume, host, epoch, generation } => {
                self.array_op(controller, life, op, change, &array, &volume.name, host, (epoch, generation));
            }
            Effect::Check { vm, generation, until, .. } => self.begin_check(controller, life, vm, generation, until),
            Effect::Drill { fleet } => {
                let result = lifeboat_planner::drill::report(&fleet).map(Box::new).map_err(|error| error.to_string());
                let input = Box::new(Input::DrillEnded { result });
                self.after(Seconds::from_millis(200), Event::ControllerTold { controller, life, input });
            }
            Effect::Look { sequence, vm, limit, look: _ } => {
                self.controller_begins_look(controller, life, sequence, vm, limit);
            }
            Effect::Tell(event) => {
                if self.settings.timeline {
                    let at = self.elapsed();
                    self.timeline.push(Line { at, severity: Some(event.severity), text: event.text });
                }
            }
            // What is durable was decided, whether its controller lives to say so or not: see `believe_written`.
            Effect::Trace(_) => {}
            Effect::Answer { request, result } => self.answered(request, result),
        }
    }

    /// Takes the lines of a controller's trace that have become durable into the world's. Lines that are written again, by
    /// a transaction that failed for who asked, are taken once.
    pub(super) fn believe_written(&mut self, writes: &[(String, Option<Vec<u8>>)]) {
        for (key, value) in writes {
            let number = key.strip_prefix("trace/").and_then(|number| number.parse::<u64>().ok());
            let (Some(number), Some(value)) = (number, value) else { continue };
            if number <= self.believed || !self.store.records.contains_key(key) {
                continue;
            }
            self.believed = number;
            if let Ok(event) = serde_json::from_slice(value) {
                self.believed(event);
            }
        }
    }

    /// What a controller says of itself and of its decisions goes into the trace; what it says of VMs, volumes and
    /// processes does not: that is the world's to say.
    fn believed(&mut self, mut event: lifeboat_model::trace::TraceEvent) {
        match &event.what {
            What::HostDeclared { .. } => {
                if let Some(host) = event.host.clone() {
                    self.counts.declared.push((self.now, host));
                }
            }
            What::Fenced { method } if matches!(method.as_str(), "lease" | "storage") => {
                if let Some(host) = event.host.clone() {
                    self.nothing_runs_on(&host, method);
                }
            }
            What::HostUp | What::FenceRequested | What::Fenced { .. } | What::ControllerLeader => {}
            _ => return,
        }
        self.changes();
        if event.host.is_some() {
            // The host has not obeyed that epoch by this.
            event.epoch = None;
        }
        self.record(event);
    }

    /// A lease that is taken for run out must have run out: nothing executes there.
    fn nothing_runs_on(&mut self, name: &lifeboat_model::HostName, method: &str) {
        let Some(ix) = self.ix(name) else { return };
        let machine = &self.machines[ix.at()];
        let running: Vec<String> = machine.guests.keys().map(ToString::to_string).collect();
        // With a storage cut alone a process may go on, without disks.
        let runs = machine.runs() && !machine.lied && method == "lease" && !running.is_empty();
        if runs {
            let text = || format!("the lease of {name} is taken for run out while {} run there", running.join(", "));
            self.promises.break_it(self.now, crate::promises::Promise::Gate, text);
        }
    }

    fn answered(
        &mut self,
        request: RequestId,
        result: Result<lifeboat_brain::fleet::Answer, lifeboat_brain::fleet::Refusal>,
    ) {
        let Some(at) = self.orders.iter().position(|(id, _)| *id == request) else { return };
        self.orders.remove(at);
        self.promises.acknowledged(request, result.is_ok(), self.now);
        if let Err(refusal) = &result {
            let text = refusal.message.clone();
            self.note(|| format!("refused: {text}"));
        }
        self.answers.insert(request, result);
        self.changes();
    }
}
