//! The fence drivers against the lab's BMCs: both must keep the port's contract.

#[allow(dead_code, reason = "shared with the other tests")]
mod common;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use common::{Farm, is_root};
use lifeboat_lab::Lab;
use lifeboat_model::{HostName, Seconds, spec::FenceSpec};
use lifeboat_ports::{FenceDevice, conformance::fence};

struct Bench {
    lab: Lab,
    host: HostName,
    spec: FenceSpec,
}

#[async_trait]
impl fence::FenceBench for Bench {
    fn device(&self) -> Arc<dyn FenceDevice> {
        lifeboat_drivers::fence::device(&self.spec)
    }

    async fn power_on(&self) {
        self.lab.power_on(&self.host).expect("power on");
    }

    async fn has_power(&self) -> bool {
        self.lab.has_power(&self.host).expect("look")
    }

    async fn set_deaf(&self, deaf: bool) {
        self.lab.bmc(&self.host, !deaf).expect("make the BMC deaf");
    }
}

/// Runs the suite in the lab's fabric, where the BMCs are, with the fence that the lab itself declares.
fn suite(which: usize) {
    if !is_root() {
        return;
    }
    let farm = Farm::up(1, 0);
    let host = HostName::new("h1").expect("name");
    let mut spec = farm.lab.fences(&host).expect("fences").swap_remove(which);
    match &mut spec {
        FenceSpec::Redfish(fence) => fence.timeout_s = Seconds::new(6),
        FenceSpec::Agent(fence) => fence.timeout_s = Seconds::new(6),
    }
    let lab = farm.lab.clone();
    let conforms = move || {
        let bench = Bench { lab, host, spec };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(fence::conforms(&bench));
    };
    farm.lab.in_fabric(conforms).expect("enter the fabric");
}

#[test]
fn redfish_keeps_the_ports_contract_at_the_labs_bmc() {
    suite(0);
}

#[test]
fn fence_ipmilan_keeps_the_ports_contract_at_an_ipmi_sim() {
    suite(1);
}

#[test]
fn an_installed_fence_redfish_understands_the_labs_bmc() {
    if !is_root() {
        return;
    }
    let farm = Farm::up(1, 0);
    let host = HostName::new("h1").expect("name");
    let FenceSpec::Redfish(redfish) = farm.lab.fences(&host).expect("fences").swap_remove(0) else {
        panic!("the first fence of h1 is Redfish")
    };
    let options = [("ip", "10.77.0.1"), ("ipport", "8443"), ("username", &redfish.user), ("ssl_insecure", "1")];
    let options = options.into_iter().chain([("systems_uri", "/redfish/v1/Systems/h1"), ("power_wait", "0")]);
    let spec = FenceSpec::Agent(lifeboat_model::spec::AgentFence {
        name: redfish.name,
        timeout_s: Seconds::new(60),
        agent: "fence_redfish".to_owned(),
        options: options.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        secret_files: BTreeMap::from([("password".to_owned(), redfish.password_file)]),
    });
    let (lab, at) = (farm.lab.clone(), host.clone());
    let cut = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(lifeboat_drivers::fence::device(&spec).power_off()).expect("cut the power");
        assert!(!lab.has_power(&at).expect("look"));
    };
    farm.lab.in_fabric(cut).expect("enter the fabric");
}
