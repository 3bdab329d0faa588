//! The ladder, the lease and the looks in peace, against a brain whose every device a test plays itself.

use lifeboat_brain::{
    fleet::{
        Brain, Effect, FenceProof, Input, LinkId, OperatorOrder, Output, RequestId, Rung, RungState, Settings,
        VolumeChange, VolumeOutcome,
        records::{HostCondition, Severity, VolumePlace},
    },
    message::{FromAgent, Hello, Order, Outcome, PROTOCOL, Pledge, ToAgent},
};
use lifeboat_model::{
    BootId, Epoch, FenceName, HostName, Seconds, Time, VmName,
    attach::{Attachment, VolumePath},
    running::{RunningVm, VmRunState},
    spec::{Declaration, FenceSpec, Isolation},
};

fn host(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

fn fence(name: &str) -> FenceName {
    FenceName::new(name).expect("a name")
}

fn declaration(h1: &str, backend: &str) -> Declaration {
    let device = |name: &str| format!("[[host.fence]]\nname = \"{name}\"\nkind = \"agent\"\nagent = \"fence_apc\"\n");
    let text = format!(
        "[[class]]\nname = \"gold\"\nrto_s = 60\n[[array]]\nname = \"a1\"\nmax_ops = 1\nbackend = {backend}\n\
         [[host]]\nname = \"h1\"\ncapacity = {{ memory_mib = 4096 }}\n{h1}\n{}{}\
         [[host]]\nname = \"h2\"\ncapacity = {{ memory_mib = 4096 }}\n{}\
         [[volume]]\nname = \"d1\"\narray = \"a1\"\n[[volume]]\nname = \"d2\"\narray = \"a1\"\n\
         [[vm]]\nname = \"v1\"\nhost = \"h1\"\nclass = \"gold\"\ndemand = {{ memory_mib = 1024 }}\nvolumes = [\"d1\", \"d2\"]\n\
         start_s = 1\n",
        device("psu-a"),
        device("psu-b"),
        device("bmc-h2")
    );
    toml::from_str(&text).expect("a declaration")
}

const NBD: &str = "{ kind = \"nbd\", directory = \"/v\", hosts = {} }";
const SHARED: &str = "{ kind = \"shared\", directory = \"/v\" }";

/// A brain and what it wants; agents and arrays obey at once, fence devices as each test says.
struct Bench {
    brain: Brain,
    now: Time,
    next_link: u64,
    links: Vec<(HostName, LinkId)>,
    silent: Vec<HostName>,
    array_works: bool,
    fences: Vec<(u64, FenceSpec)>,
    called_off: Vec<u64>,
    reads: Vec<(u64, FenceSpec)>,
    looks: usize,
    granted: Vec<(HostName, u64)>,
    events: Vec<(Severity, String)>,
    cuts: Vec<String>,
    beats: u64,
    pledge: Pledge,
    last_write: Time,
    commits: bool,
}

impl Bench {
    fn up(h1: &str, backend: &str, settings: Settings, pledge: Pledge) -> Self {
        let now = Time::from_micros(1_000_000_000_000);
        let brain = Brain::restore(settings, Epoch(1), now, []).expect("a brain");
        let mut bench = Self {
            brain,
            now,
            next_link: 0,
            links: Vec::new(),
            silent: Vec::new(),
            array_works: true,
            fences: Vec::new(),
            called_off: Vec::new(),
            reads: Vec::new(),
            looks: 0,
            granted: Vec::new(),
            events: Vec::new(),
            cuts: Vec::new(),
            beats: 0,
            pledge,
            last_write: now,
            commits: true,
        };
        let order = OperatorOrder::Apply(Box::new(declaration(h1, backend)));
        bench.give(Input::Operator { request: RequestId(1), order });
        for name in ["h1", "h2"] {
            bench.hello(&host(name), "boot-1", Vec::new());
        }
        bench.run(Seconds::new(30));
        assert_eq!(bench.where_is_v1(), Some(host("h1")), "{:?}", bench.events);
        bench
    }

    fn where_is_v1(&self) -> Option<HostName> {
        self.brain.vms()[&VmName::new("v1").expect("a name")].phase.may_run_on().cloned()
    }

    fn condition(&self) -> &HostCondition {
        &self.brain.hosts()[&host("h1")].record.condition
    }

    fn hello(&mut self, name: &HostName, boot: &str, vms: Vec<RunningVm>) {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.links.retain(|(other, _)| other != name);
        self.links.push((name.clone(), link));
        let hello = Hello {
            protocol: PROTOCOL,
            host: name.clone(),
            boot: BootId(format!("{name}-{boot}")),
            version: "1".to_owned(),
            epoch: Epoch(0),
            vms,
            pledge: Pledge::None,
            probe_port: None,
            probe_addresses: Vec::new(),
        };
        self.said(name, FromAgent::Hello(hello));
    }

    fn said(&mut self, name: &HostName, message: FromAgent) {
        let Some((_, link)) = self.links.iter().find(|(other, _)| other == name).cloned() else { return };
        self.give(Input::AgentSaid { host: name.clone(), link, message });
    }

    fn give(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut output = Output::default();
            self.brain.handle(self.now, input, &mut output);
            if !output.writes.is_empty() && self.commits {
                self.brain.committed(self.now);
                self.last_write = self.now;
            }
            for effect in output.effects {
                inputs.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Fence { attempt, device, .. } => self.fences.push((attempt, device)),
            Effect::EndFence { attempt, .. } => self.called_off.push(attempt),
            Effect::ReadFence { look: 0, .. } => self.looks += 1,
            Effect::ReadFence { look, device, .. } => self.reads.push((look, device)),
            Effect::Tell(event) => self.events.push((event.severity, event.text)),
            Effect::CloseLink { host, .. } => self.links.retain(|(other, _)| *other != host),
            Effect::Check { vm, generation, .. } => return Some(Input::CheckEnded { vm, generation, result: Ok(()) }),
            Effect::Volume { op, change, volume, host, .. } => {
                if change == VolumeChange::Unmap {
                    self.cuts.push(volume.name.to_string());
                }
                let path = VolumePath::File { path: "/v".to_owned() };
                let outcome = match change {
                    _ if !self.array_works => {
                        VolumeOutcome::Failed { problem: "no answer".to_owned(), retry_may_help: true }
                    }
                    VolumeChange::Map => VolumeOutcome::Mapped(Attachment { volume: volume.name.clone(), path }),
                    VolumeChange::Unmap => VolumeOutcome::Unmapped,
                };
                let _ = host;
                return Some(Input::VolumeEnded { op, outcome });
            }
            Effect::Say { host, link, message } => match message {
                ToAgent::Heard { lease_ms, .. } | ToAgent::Welcome { lease_ms, .. } => {
                    self.granted.push((host, lease_ms));
                }
                ToAgent::Command(command) if !self.silent.contains(&host) => {
                    let _ = command.order == Order::Start;
                    let message = FromAgent::Done { command: command.id, outcome: Outcome::Done };
                    return Some(Input::AgentSaid { host, link, message });
                }
                _ => {}
            },
            _ => {}
        }
        None
    }

    /// Lets time pass, with a heartbeat a second of every host that is not silent.
    fn run(&mut self, span: Seconds) {
        let end = self.now + span;
        while self.now < end {
            let beat = self.now + Seconds::new(1);
            let next = self.brain.next_deadline().map_or(beat, |due| due.max(self.now).min(beat)).min(end);
            self.now = next.max(self.now + Seconds::from_micros(1));
            self.give(Input::Tick);
            let second = self.now.micros() / 1_000_000;
            if second > self.beats {
                self.beats = second;
                for name in ["h1", "h2"].map(host) {
                    if !self.silent.contains(&name) {
                        let pledge = self.pledge;
                        self.said(&name, FromAgent::Heartbeat { sequence: second, pledge });
                    }
                }
            }
        }
    }

    fn lose_h1(&mut self) {
        self.silent.push(host("h1"));
        self.run(Seconds::new(5));
        assert!(matches!(self.condition(), HostCondition::Failed { .. }), "{:?}", self.condition());
    }

    fn fenced(&mut self, at: usize, result: Result<(), String>) {
        let (attempt, _) = self.fences.remove(at);
        self.give(Input::FenceEnded { host: host("h1"), attempt, result });
    }

    fn read(&mut self, at: usize, result: Result<bool, String>) {
        let (look, device) = self.reads.remove(at);
        self.give(Input::FenceRead { host: host("h1"), look, device: device.name().clone(), result });
    }

    fn proof(&self) -> Option<&FenceProof> {
        match self.condition() {
            HostCondition::Fenced { proof, .. } => Some(proof),
            _ => None,
        }
    }

    fn rung(&self, rung: &Rung) -> (RungState, String) {
        let recovery = self.brain.recoveries().values().next_back().expect("a recovery");
        let record = recovery.ladder.iter().find(|record| record.rung == *rung).expect("the rung");
        (record.state, record.said.clone().unwrap_or_default())
    }

    fn told(&self, severity: Severity, words: &str) -> bool {
        self.events.iter().any(|(its, text)| *its == severity && text.contains(words))
    }
}

fn leases(isolation: Isolation) -> Settings {
    let mut settings = Settings::default();
    settings.fencing.isolation = isolation;
    settings
}

const TOGETHER: &str = "ladder = [[\"psu-a\", \"psu-b\"]]";

#[test]
fn two_power_supplies_are_cut_at_once_and_count_only_when_both_are_read_as_off_together() {
    let mut bench = Bench::up(TOGETHER, NBD, Settings::default(), Pledge::None);
    bench.lose_h1();
    assert_eq!(bench.fences.len(), 2, "both at once");
    bench.fenced(0, Ok(()));
    assert_eq!(bench.proof(), None, "one supply still feeds it");
    bench.fenced(0, Ok(()));
    assert_eq!(bench.proof(), None, "each was off at its own time; nothing says that they are off together");
    assert_eq!(bench.reads.len(), 2);
    bench.read(0, Ok(false));
    bench.read(0, Ok(true));
    assert_eq!(bench.proof(), None, "one is on again");
    let rung = Rung::Power { devices: vec![fence("psu-a"), fence("psu-b")] };
    assert_eq!(bench.rung(&rung), (RungState::Failed, "psu-a is off; psu-b: it was off and is on again".to_owned()));

    bench.run(Seconds::new(6));
    bench.fenced(0, Ok(()));
    bench.fenced(0, Ok(()));
    bench.read(0, Ok(false));
    bench.read(0, Ok(false));
    assert_eq!(bench.proof(), Some(&FenceProof::Together { devices: vec![fence("psu-a"), fence("psu-b")] }));
    assert_eq!(bench.rung(&rung).0, RungState::Proven);
    bench.run(Seconds::new(5));
    assert_eq!(bench.where_is_v1(), Some(host("h2")));
}

#[test]
fn a_device_that_does_not_answer_in_peace_is_told_once_and_told_again_when_it_is_back() {
    let mut bench = Bench::up("", NBD, Settings::default(), Pledge::None);
    bench.run(Seconds::new(700));
    assert!(bench.looks >= 3, "each device is looked at within ten minutes");
    let told = |bench: &Bench, words: &str| bench.events.iter().filter(|(_, text)| text.contains(words)).count();
    let check = |bench: &mut Bench, result: Result<bool, String>| {
        let device = fence("psu-a");
        bench.give(Input::FenceRead { host: host("h1"), look: 0, device, result });
    };
    for _ in 0..3 {
        check(&mut bench, Err("no route".to_owned()));
    }
    assert_eq!(told(&bench, "psu-a did not pass its check"), 1);
    assert_eq!(bench.brain.failing_fences().count(), 1);
    assert!(!bench.brain.ladder_now(&host("h1"))[0].works);
    check(&mut bench, Ok(true));
    assert_eq!(told(&bench, "psu-a of h1 is well again"), 1);
    assert!(bench.brain.ladder_now(&host("h1"))[0].works);
    check(&mut bench, Ok(false));
    assert_eq!(told(&bench, "it may be another machine's"), 1, "it says off of a host that speaks");
    bench.give(Input::FenceRead { host: host("h1"), look: 0, device: fence("unknown"), result: Ok(true) });
    assert_eq!(bench.brain.hosts()[&host("h1")].record.fence_checks.len(), 1, "what is not declared is not kept");
}

#[test]
fn a_lease_that_ran_out_with_a_guard_is_proof_after_lease_and_margin_and_not_before() {
    let mut bench = Bench::up("", NBD, leases(Isolation::Stop), Pledge::Guard);
    bench.lose_h1();
    bench.fenced(0, Err("no answer".to_owned()));
    assert!(!bench.brain.fence_waiting(&host("h1")).expect("it waits").stuck, "it will go on by itself");
    bench.run(Seconds::new(12));
    assert_eq!(bench.proof(), None, "15 s and 3 s are not over");
    let under_way: Vec<u64> = bench.fences.iter().map(|(attempt, _)| *attempt).collect();
    assert!(under_way.len() == 1 && bench.called_off.is_empty(), "the second device is being tried");
    bench.run(Seconds::new(3));
    assert_eq!(bench.called_off, under_way, "a host that is proven off is not cut once more");
    assert_eq!(bench.proof(), Some(&FenceProof::Lease { pledge: Pledge::Guard }));
    assert_eq!(bench.rung(&Rung::Lease).0, RungState::Proven);
    bench.fences.clear();
    bench.run(Seconds::new(5));
    assert_eq!(bench.where_is_v1(), Some(host("h2")));
    // The attempt with the second device is still under way; its end is waited for before the host is taken back.
    let (name, boot) = (host("h1"), "boot-1");
    bench.hello(&name, boot, Vec::new());
    assert!(bench.proof().is_some());
    assert!(!bench.told(Severity::Critical, "was taken for off"), "it has only stopped its VMs: {:?}", bench.events);
}

#[test]
fn without_a_guard_or_with_hosts_that_keep_their_vms_a_lease_is_no_proof() {
    for (isolation, pledge, backend, why) in [
        (Isolation::Keep, Pledge::Watchdog, NBD, "keeps its VMs"),
        (Isolation::Stop, Pledge::None, NBD, "has not pledged"),
        (Isolation::Stop, Pledge::Agent, NBD, "no guard runs"),
        (Isolation::Stop, Pledge::Guard, SHARED, "cannot cut"),
    ] {
        let mut bench = Bench::up("ladder = [\"lease\"]", backend, leases(isolation), pledge);
        bench.lose_h1();
        bench.run(Seconds::new(120));
        assert_eq!(bench.proof(), None, "{isolation} {pledge:?}");
        let (state, said) = bench.rung(&Rung::Lease);
        assert_eq!(state, RungState::Unavailable);
        assert!(said.contains(why), "{said}");
        assert!(bench.brain.fence_waiting(&host("h1")).expect("it waits").stuck);
    }
    let mut bench = Bench::up("ladder = [\"lease\"]", SHARED, leases(Isolation::Stop), Pledge::Watchdog);
    bench.lose_h1();
    bench.run(Seconds::new(20));
    assert_eq!(bench.proof(), Some(&FenceProof::Lease { pledge: Pledge::Watchdog }), "a reset host writes nowhere");
}

#[test]
fn the_storage_cut_waits_for_the_lease_and_for_every_volume() {
    let mut bench = Bench::up("ladder = [\"storage\"]", NBD, leases(Isolation::Stop), Pledge::Agent);
    bench.lose_h1();
    bench.run(Seconds::new(10));
    assert_eq!(bench.cuts.len(), 0, "its VMs may live, and would find their disks gone");
    bench.array_works = false;
    bench.run(Seconds::new(10));
    assert!(!bench.cuts.is_empty(), "its lease is over");
    assert_eq!(bench.proof(), None, "nothing is cut");
    assert!(bench.rung(&Rung::Storage).1.contains("no answer"), "{:?}", bench.rung(&Rung::Storage));
    // It answers in the middle of the cut: it is not taken back, for its disks are going.
    let v1 = VmName::new("v1").expect("a name");
    let generation = bench.brain.vms()[&v1].generation;
    bench.hello(&host("h1"), "boot-1", vec![RunningVm { vm: v1, generation, state: VmRunState::Paused }]);
    assert!(matches!(bench.condition(), HostCondition::Failed { .. }));
    bench.array_works = true;
    bench.run(Seconds::new(10));
    assert_eq!(bench.proof(), Some(&FenceProof::Storage { volumes: 2 }), "{:?}", bench.events);
    bench.run(Seconds::new(5));
    assert_eq!(bench.where_is_v1(), Some(host("h2")));
    let at_h1 = |volume: &lifeboat_brain::fleet::VolumeState| matches!(&volume.record.place, VolumePlace::Mapped { host: at, .. } if *at == host("h1"));
    assert!(!bench.brain.volumes().values().any(at_h1));
}

#[test]
fn a_controller_that_cannot_show_that_it_leads_grants_no_lease() {
    let mut bench = Bench::up("", NBD, leases(Isolation::Stop), Pledge::Guard);
    bench.granted.clear();
    bench.run(Seconds::new(30));
    assert!(bench.granted.iter().all(|(_, lease)| *lease == 15_000), "{:?}", bench.granted);
    bench.commits = false;
    bench.granted.clear();
    bench.run(Seconds::new(30));
    let without = bench.granted.iter().filter(|(_, lease)| *lease == 0).count();
    let with = bench.granted.len() - without;
    assert!(with <= 14 && without >= 40, "{with} grants, {without} without");
}

#[test]
fn time_that_a_controller_slept_through_runs_no_lease_out() {
    let mut bench = Bench::up("ladder = [\"lease\"]", NBD, leases(Isolation::Stop), Pledge::Guard);
    bench.lose_h1();
    bench.now = bench.now + Seconds::new(3600);
    bench.run(Seconds::new(5));
    assert_eq!(bench.proof(), None, "a clock that jumped is no lease that ran out");
    bench.run(Seconds::new(12));
    assert!(bench.proof().is_some());
}
