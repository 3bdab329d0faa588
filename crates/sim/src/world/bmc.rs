//! BMCs: cut a host's power when asked, or do not, or say that they did.

use lifeboat_brain::fleet::Input;
use lifeboat_model::{
    FenceName, HostName,
    spec::{FenceSpec, RungSpec},
};

use super::{Event, World, machine::HostIx, network::Network};

/// How a host's BMC is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bmc {
    /// It works.
    #[default]
    Works,
    /// It does not answer.
    Dead,
    /// It takes ten times as long, and cuts the power all the same.
    Slow,
    /// It says that the power is off and does nothing.
    Lies,
}

impl World {
    pub(super) fn fence(&mut self, controller: usize, life: u32, host: &HostName, attempt: u64, device: &FenceSpec) {
        let Some(ix) = self.ix(host) else { return };
        let mut span = self.takes(ix, host.as_str(), |times| times.fence);
        let bmc = self.machines[ix.at()].bmc;
        let deaf = self.machines[ix.at()].deaf.contains(device.name());
        let limit = device.timeout();
        self.note(|| format!("{} is asked to cut {host}", device.name()));
        if bmc == Bmc::Slow {
            span = span * 10;
        }
        let (asks, acts) = (self.controllers[controller].ports, self.machines[ix.at()].ports);
        let unreachable = bmc == Bmc::Dead || deaf || !asks.sends(Network::Bmc) || !acts.hears(Network::Bmc);
        // It may act on what it is told although its answer never arrives.
        let mute = !acts.sends(Network::Bmc) || !asks.hears(Network::Bmc);
        let late = unreachable || mute || span > limit;
        if late {
            let result = Err(format!("it was not confirmed off within {limit}"));
            let input = Box::new(Input::FenceEnded { host: host.clone(), attempt, result });
            self.after(limit, Event::ControllerTold { controller, life, input });
        }
        if !unreachable {
            let device = device.name().clone();
            self.after(span, Event::BmcActs { host: ix, controller, life, attempt, device, answers: !late });
        }
    }

    /// The devices that must all be off for a host to be without power, of which one is cut: those of a rung with several.
    fn feeds(&self, host: HostIx, device: &FenceName) -> Vec<FenceName> {
        let name = &self.machines[host.at()].name;
        let spec = self.settings.declaration.hosts.iter().find(|spec| spec.name == *name);
        let together = spec.into_iter().flat_map(|spec| &spec.ladder).find_map(|rung| match rung {
            RungSpec::Together(devices) if devices.contains(device) => Some(devices.clone()),
            _ => None,
        });
        together.unwrap_or_else(|| vec![device.clone()])
    }

    /// A device is read.
    pub(super) fn read_fence(&mut self, controller: usize, life: u32, host: &HostName, look: u64, device: &FenceSpec) {
        let Some(ix) = self.ix(host) else { return };
        let mut span = self.takes(ix, host.as_str(), |times| times.fence);
        let machine = &self.machines[ix.at()];
        if machine.bmc == Bmc::Slow {
            span = span * 10;
        }
        let deaf = machine.deaf.contains(device.name());
        let unreachable = machine.bmc == Bmc::Dead || deaf || self.controllers[controller].ports.is_cut(Network::Bmc);
        let limit = device.timeout();
        let (span, result) = if unreachable || span > limit {
            (limit, Err(format!("it did not answer within {limit}")))
        } else {
            (span, Ok(machine.power && !machine.lied && !machine.off.contains(device.name())))
        };
        let device = device.name().clone();
        let input = Box::new(Input::FenceRead { host: host.clone(), look, device, result });
        self.after(span, Event::ControllerTold { controller, life, input });
    }

    pub(super) fn bmc_acts(
        &mut self,
        host: HostIx,
        controller: usize,
        life: u32,
        attempt: u64,
        device: &FenceName,
        answers: bool,
    ) {
        let feeds = self.feeds(host, device);
        let machine = &mut self.machines[host.at()];
        let name = machine.name.clone();
        let result = match machine.bmc {
            Bmc::Dead => Err("it does not answer".to_owned()),
            Bmc::Lies => {
                machine.lied |= machine.power;
                self.promises.lied(&name);
                self.note(|| format!("the BMC of {name} says that it is off"));
                Ok(())
            }
            Bmc::Works | Bmc::Slow => {
                machine.off.insert(device.clone());
                let dark = feeds.iter().all(|supply| machine.off.contains(supply));
                if machine.power && dark {
                    self.counts.fenced.push(name.clone());
                }
                if dark {
                    self.power_off(host);
                }
                Ok(())
            }
        };
        if answers {
            self.tell_controller(controller, life, Input::FenceEnded { host: name, attempt, result });
        }
    }
}
