//! The agents of the world: they obey, and refuse what is old.

use lifeboat_brain::{
    fleet::LinkId,
    message::{Command, FromAgent, Hello, Order, Outcome, PROTOCOL, ToAgent},
};
use lifeboat_model::{
    BootId, HostName,
    running::{RunningVm, VmRunState},
};

use super::{Happening, World};

impl World {
    pub(super) fn connect(&mut self, name: &HostName) {
        let brain_is_up = self.brain.is_some();
        let machine = self.hosts.get_mut(name).expect("a host");
        if !machine.power || machine.link.is_some() {
            return;
        }
        if machine.cut || machine.frozen || !brain_is_up {
            return self.at(300, Happening::Connect(name.clone()));
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let machine = self.hosts.get_mut(name).expect("a host");
        machine.link = Some(link);
        let vms = machine
            .vms
            .iter()
            .map(|(vm, generation)| RunningVm { vm: vm.clone(), generation: *generation, state: VmRunState::Running })
            .collect();
        let hello = Hello {
            protocol: PROTOCOL,
            host: name.clone(),
            boot: BootId(machine.boot.to_string()),
            version: "test".to_owned(),
            epoch: machine.epoch,
            vms,
            pledge: Default::default(),
            probe_port: None,
            probe_addresses: Vec::new(),
        };
        self.at(1, Happening::FromAgent(name.clone(), link, FromAgent::Hello(hello)));
        self.at(1000, Happening::Beat(name.clone(), link.0, 1));
    }

    pub(super) fn beat(&mut self, name: &HostName, link: u64, sequence: u64) {
        let machine = &self.hosts[name];
        if !machine.power || machine.link != Some(LinkId(link)) {
            return;
        }
        if !machine.frozen {
            self.at(
                1,
                Happening::FromAgent(
                    name.clone(),
                    LinkId(link),
                    FromAgent::Heartbeat { sequence, pledge: Default::default() },
                ),
            );
        }
        self.at(1000, Happening::Beat(name.clone(), link, sequence + 1));
    }

    /// An agent that has a link says something.
    pub fn agent_says(&mut self, name: &HostName, message: FromAgent) {
        let link = self.hosts[name].link.expect("it has a link");
        self.at(1, Happening::FromAgent(name.clone(), link, message));
        self.run(1);
    }

    pub(super) fn agent_hears(&mut self, name: &HostName, link: LinkId, message: ToAgent) {
        let machine = self.hosts.get_mut(name).expect("a host");
        if machine.link != Some(link) || machine.cut || machine.frozen || !machine.power {
            return;
        }
        match message {
            ToAgent::Welcome { epoch, keep, leave, .. } => {
                assert!(epoch >= machine.epoch, "an older leader's welcome");
                machine.epoch = epoch;
                machine.welcomed = Some(link);
                machine.vms.retain(|vm, generation| keep.contains(&(vm.clone(), *generation)) || leave.contains(vm));
            }
            ToAgent::Probe { nonce } => {
                self.at(1, Happening::FromAgent(name.clone(), link, FromAgent::Probed { nonce }))
            }
            ToAgent::Rejected { .. } => self.break_link(name),
            ToAgent::Heard { .. }
            | ToAgent::Pace { .. }
            | ToAgent::Terms(_)
            | ToAgent::MayGo
            | ToAgent::LookAt { .. } => {}
            ToAgent::Look { sequence, vm, .. } => {
                let report = self.report(&vm);
                self.at(50, Happening::FromAgent(name.clone(), link, FromAgent::Looked { sequence, report }));
            }
            ToAgent::Command(command) => {
                assert_eq!(
                    machine.welcomed,
                    Some(link),
                    "{command:?} is said before the Welcome\n{}",
                    self.log.join("\n")
                );
                self.obey(name, link, &command);
            }
        }
    }

    fn obey(&mut self, name: &HostName, link: LinkId, command: &Command) {
        let machine = self.hosts.get_mut(name).expect("a host");
        let obeyed = machine.obeyed.entry(command.vm.clone()).or_default();
        let outcome = if command.epoch < machine.epoch || command.generation < *obeyed {
            Outcome::Refused { epoch: machine.epoch, generation: *obeyed }
        } else {
            *obeyed = command.generation;
            match &command.order {
                Order::Configure { .. } => {
                    machine.configured.insert(command.vm.clone(), command.generation);
                    Outcome::Done
                }
                Order::Start if machine.configured.get(&command.vm) == Some(&command.generation) => {
                    machine.vms.insert(command.vm.clone(), command.generation);
                    self.starts.push((self.now, command.vm.clone(), name.clone()));
                    Outcome::Done
                }
                Order::Start => Outcome::Failed { problem: "not configured".to_owned(), retry_may_help: true },
                Order::Stop { .. } => {
                    machine.vms.remove(&command.vm);
                    Outcome::Done
                }
            }
        };
        self.at(20, Happening::FromAgent(name.clone(), link, FromAgent::Done { command: command.id, outcome }));
    }
}
