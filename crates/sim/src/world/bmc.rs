//! BMCs: cut a host's power when asked, or do not, or say that they did.

use lifeboat_brain::fleet::Input;
use lifeboat_model::{HostName, spec::FenceSpec};

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
        let limit = device.timeout();
        self.note(|| format!("{} is asked to cut {host}", device.name()));
        if bmc == Bmc::Slow {
            span = span * 10;
        }
        let unreachable = bmc == Bmc::Dead || self.controllers[controller].ports.is_cut(Network::Bmc);
        let late = unreachable || span > limit;
        if late {
            let result = Err(format!("it was not confirmed off within {limit}"));
            let input = Box::new(Input::FenceEnded { host: host.clone(), attempt, result });
            self.after(limit, Event::ControllerTold { controller, life, input });
        }
        if !unreachable {
            self.after(span, Event::BmcActs { host: ix, controller, life, attempt, answers: !late });
        }
    }

    /// A device is read.
    pub(super) fn read_fence(&mut self, controller: usize, life: u32, host: &HostName, look: u64, device: &FenceSpec) {
        let Some(ix) = self.ix(host) else { return };
        let mut span = self.takes(ix, host.as_str(), |times| times.fence);
        let machine = &self.machines[ix.at()];
        if machine.bmc == Bmc::Slow {
            span = span * 10;
        }
        let unreachable = machine.bmc == Bmc::Dead || self.controllers[controller].ports.is_cut(Network::Bmc);
        let limit = device.timeout();
        let (span, result) = if unreachable || span > limit {
            (limit, Err(format!("it did not answer within {limit}")))
        } else {
            (span, Ok(machine.power && !machine.lied))
        };
        let device = device.name().clone();
        let input = Box::new(Input::FenceRead { host: host.clone(), look, device, result });
        self.after(span, Event::ControllerTold { controller, life, input });
    }

    pub(super) fn bmc_acts(&mut self, host: HostIx, controller: usize, life: u32, attempt: u64, answers: bool) {
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
                if machine.power {
                    self.counts.fenced.push(name.clone());
                }
                self.power_off(host);
                Ok(())
            }
        };
        if answers {
            self.tell_controller(controller, life, Input::FenceEnded { host: name, attempt, result });
        }
    }
}
