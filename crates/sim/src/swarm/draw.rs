//! Draws a world and its mishaps from a seed.

use lifeboat_brain::fleet::{OperatorOrder, VmAction};
use lifeboat_model::{
    GroupName, HostName, RuleName, Seconds, VmName,
    fleet::{Group, RuleKind},
    spec::{Declaration, Isolation, NamedRule},
};

use super::{Case, Profile, health, more};
use crate::{
    fault::Fault,
    generate::Generate,
    random::Random,
    world::{ArrayFault, Bmc, Mischief, Network, StoreFault, WorldSettings},
};

/// Something that is done to a world.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Something goes wrong, or right again.
    Fault(Fault),
    /// An operator orders something.
    Order(OperatorOrder),
}

/// What goes wrong, and right again.
#[derive(Clone, Debug, PartialEq)]
pub struct Mishap {
    /// What kind of mishap, for people.
    pub kind: &'static str,
    /// What happens, each after so long from the time when the fleet was up.
    pub happenings: Vec<(Seconds, Happening)>,
}

macro_rules! kinds {
    ($($kind:ident $text:literal,)*) => {
        /// Kinds of mishaps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind { $($kind,)* }
        impl Kind {
            const ALL: &[Self] = &[$(Self::$kind,)*];
            const fn text(self) -> &'static str {
                match self { $(Self::$kind => $text,)* }
            }
        }
    };
}

kinds! {
    PowerLoss "power loss",
    PowerAndBmc "power loss together with the BMC",
    RackPower "power loss of a rack",
    Hang "hang",
    Reboot "reboot",
    Flaps "a host that comes and goes",
    Partition "partition",
    StorageCut "storage cut",
    Messages "messages lost, delayed, repeated, reordered",
    SlowHost "slow host",
    Clock "clock",
    BmcDead "BMC dead",
    BmcSlow "BMC slow",
    BmcLies "BMC lies",
    ArrayRefuses "array refuses",
    ArrayFlaky "array flaky",
    ArraySlow "array slow",
    VolumeLost "volume lost",
    VmDies "VM dies",
    GuestShutsDown "guest shuts down",
    FailStarts "starts fail",
    AgentDies "agent dies",
    ControllerDies "controller dies",
    ControllerDiesIn "controller dies in the middle of its effects",
    ControllerHangs "controller hangs",
    ControllerCut "controller cut off",
    StoreFails "store fails",
    StoreFlaky "store flaky",
    StoreSlow "store slow",
    OperatorStops "operator stops a VM",
    OperatorDisables "operator disables a VM",
    Maintenance "maintenance",
}

/// The world of a case and everything that happens in it.
pub(super) fn draw(case: &Case) -> (WorldSettings, Vec<Mishap>) {
    let mut random = Random::of(case.seed, "fleet");
    let (hosts, vms) = case.size.unwrap_or_else(|| {
        let hosts = 3 + random.below(5);
        (u32::try_from(hosts).unwrap_or(3), u32::try_from(hosts + random.below(3 * hosts)).unwrap_or(4))
    });
    let pick = |random: &mut Random, most: u64| u32::try_from(random.below(most)).unwrap_or(0);
    let generate = Generate {
        hosts,
        vms,
        volumes: pick(&mut random, 4),
        arrays: 1 + pick(&mut random, 2),
        max_ops: 1 + random.below(8),
        racks: 1 + pick(&mut random, 3),
        starts_per_host: 1 + random.below(3),
        maps_per_host: 1 + random.below(4),
        // All VMs fit when one host in three is away.
        host_memory_mib: u64::from(vms.div_ceil(hosts)) * 1536 + 1024,
        vm_memory_mib: 1024,
        fences: true,
    };
    let mut declaration = generate.declaration().unwrap_or_default();
    draw_bonds(&mut declaration, &mut random);
    let controllers = if random.below(5) < 2 { 3 } else { 1 };
    let mut settings = WorldSettings::new(case.seed, declaration);
    settings.controllers = controllers;
    // Drawn apart, so that what is drawn for earlier seeds stays as it was.
    let mut apart = Random::of(case.seed, "isolation");
    let policies = [Isolation::Keep, Isolation::Stop, Isolation::StopCriticalLast];
    settings.settings.fencing.isolation = apart.pick(&policies).copied().unwrap_or_default();
    more::tempo(case, &mut settings);
    health::watch(case, &mut settings);
    settings.news = Seconds::new(case.profile.longest_s()) + settings.news;
    let mut mishaps = Drawing { random: Random::of(case.seed, "mishaps"), settings: &settings, profile: case.profile }
        .mishaps(case.minutes * 60);
    guard_deaths(&mut mishaps, &mut apart, &settings, case);
    mishaps.extend(more::mishaps(case, &settings));
    mishaps.extend(health::mishaps(case, &settings));
    (settings, mishaps)
}

/// Guards that die, and are started again by their agents a while later.
fn guard_deaths(mishaps: &mut Vec<Mishap>, random: &mut Random, settings: &WorldSettings, case: &Case) {
    if case.profile == Profile::Calm {
        return;
    }
    for _ in 0..random.below(4) {
        let at = random.between(Seconds::from_millis(1), Seconds::new(case.minutes * 60));
        let Some(host) = random.pick(&settings.declaration.hosts).map(|host| host.name.clone()) else { return };
        let end = at + random.between(Seconds::new(1), Seconds::new(60));
        let happenings = vec![
            (at, Happening::Fault(Fault::Guard(host.clone(), false))),
            (end, Happening::Fault(Fault::Guard(host, true))),
        ];
        mishaps.push(Mishap { kind: "guard dies", happenings });
    }
}

/// Groups and rules that can all hold at once.
fn draw_bonds(declaration: &mut Declaration, random: &mut Random) {
    let mut free: Vec<VmName> = declaration.vms.iter().map(|vm| vm.name.clone()).collect();
    let mut take = |random: &mut Random, count: usize| -> Vec<VmName> {
        let mut taken = Vec::new();
        while taken.len() < count && !free.is_empty() {
            let at = usize::try_from(random.below(free.len() as u64)).unwrap_or(0);
            taken.push(free.remove(at));
        }
        taken
    };
    for n in 0..random.below(3) {
        let Ok(name) = GroupName::new(&format!("g{n}")) else { continue };
        let stages: Vec<Vec<VmName>> = (0..2 + random.below(2))
            .map(|_| {
                let count = 1 + usize::try_from(random.below(2)).unwrap_or(0);
                take(random, count)
            })
            .collect();
        if stages.iter().any(Vec::is_empty) {
            continue;
        }
        let importance = i64::try_from(random.below(100)).unwrap_or(0);
        let stage_delay_s = Seconds::new(random.below(3) * 5);
        declaration.groups.push(Group { name, importance, stages, stage_delay_s, all_or_nothing: false });
    }
    for n in 0..random.below(3) {
        let Ok(name) = RuleName::new(&format!("apart-{n}")) else { continue };
        let vms = take(random, 2);
        if vms.len() == 2 {
            let (scope, sets) = ("host".to_owned(), Vec::new());
            let required = random.below(2) == 0;
            declaration.rules.push(NamedRule { name, kind: RuleKind::Apart, scope, vms, sets, required });
        }
    }
}

struct Drawing<'a> {
    random: Random,
    settings: &'a WorldSettings,
    profile: Profile,
}

type Happenings = Vec<(Seconds, Happening)>;

impl Drawing<'_> {
    fn mishaps(mut self, seconds: u64) -> Vec<Mishap> {
        let mut mishaps = Vec::new();
        let mut at = Seconds::ZERO;
        let pause = self.profile.pause_s();
        loop {
            at += self.random.between(Seconds::from_millis(1), Seconds::new(2 * pause));
            if at >= Seconds::new(seconds) {
                return mishaps;
            }
            let kind = self.kind();
            let happenings = self.happenings(kind, at);
            mishaps.push(Mishap { kind: kind.text(), happenings });
        }
    }

    fn kind(&mut self) -> Kind {
        let weight = |kind: &Kind| self.profile.weight(*kind);
        let total: u64 = Kind::ALL.iter().map(weight).sum();
        let mut left = self.random.below(total);
        for kind in Kind::ALL {
            let weight = self.profile.weight(*kind);
            if left < weight {
                return *kind;
            }
            left -= weight;
        }
        Kind::PowerLoss
    }

    fn host(&mut self) -> HostName {
        let hosts = &self.settings.declaration.hosts;
        let at = usize::try_from(self.random.below(hosts.len() as u64)).unwrap_or(0);
        hosts[at].name.clone()
    }

    fn vm(&mut self) -> VmName {
        let vms = &self.settings.declaration.vms;
        let at = usize::try_from(self.random.below(vms.len() as u64)).unwrap_or(0);
        vms[at].name.clone()
    }

    fn controller(&mut self) -> usize {
        usize::try_from(self.random.below(self.settings.controllers as u64)).unwrap_or(0)
    }

    /// How long something lasts: mostly short, sometimes long.
    fn span(&mut self) -> Seconds {
        let longest = if self.random.below(3) == 0 { self.profile.longest_s() } else { 15 };
        self.random.between(Seconds::from_millis(200), Seconds::new(longest))
    }

    fn happenings(&mut self, kind: Kind, at: Seconds) -> Happenings {
        let end = at + self.span();
        let during = |begin: Fault, over: Fault| vec![(at, Happening::Fault(begin)), (end, Happening::Fault(over))];
        let once = |fault: Fault| vec![(at, Happening::Fault(fault))];
        match kind {
            Kind::PowerLoss | Kind::PowerAndBmc | Kind::RackPower | Kind::Reboot | Kind::Flaps => {
                self.power(kind, at, end)
            }
            Kind::Hang => {
                let host = self.host();
                during(Fault::Hang(host.clone(), None), Fault::GoOn(host))
            }
            Kind::Partition | Kind::StorageCut | Kind::ControllerCut | Kind::Messages => self.network(kind, at, end),
            Kind::SlowHost => {
                let (host, times) = (self.host(), 2 + self.random.below(20));
                during(Fault::Slow(host.clone(), times), Fault::Slow(host, 1))
            }
            Kind::Clock => self.clock(at, end),
            Kind::BmcDead | Kind::BmcSlow | Kind::BmcLies => {
                let host = self.host();
                let bmc = match kind {
                    Kind::BmcDead => Bmc::Dead,
                    Kind::BmcSlow => Bmc::Slow,
                    _ => Bmc::Lies,
                };
                during(Fault::Bmc(host.clone(), bmc), Fault::Bmc(host, Bmc::Works))
            }
            Kind::ArrayRefuses | Kind::ArrayFlaky | Kind::ArraySlow | Kind::VolumeLost => self.storage(kind, at, end),
            Kind::VmDies => once(Fault::VmDies(self.vm())),
            Kind::GuestShutsDown | Kind::OperatorStops | Kind::OperatorDisables | Kind::Maintenance => {
                self.operator(kind, at, end)
            }
            Kind::FailStarts => {
                let times = 1 + u32::try_from(self.random.below(3)).unwrap_or(0);
                let vm = self.vm();
                vec![
                    (at, Happening::Fault(Fault::FailStarts(vm.clone(), times))),
                    (at, Happening::Fault(Fault::VmDies(vm))),
                ]
            }
            Kind::AgentDies => once(Fault::AgentDies(self.host())),
            Kind::ControllerDies => once(Fault::ControllerDies(self.controller())),
            Kind::ControllerDiesIn => {
                let controller = self.controller();
                once(Fault::ControllerDiesIn(controller, self.random.below(20)))
            }
            Kind::ControllerHangs => once(Fault::ControllerHangs(self.controller(), end.saturating_sub(at))),
            Kind::StoreFails => during(Fault::Store(StoreFault::Fails), Fault::Store(StoreFault::None)),
            Kind::StoreFlaky => {
                let rate = u32::try_from(self.random.below(500_000)).unwrap_or(0);
                during(Fault::Store(StoreFault::Flaky(rate)), Fault::Store(StoreFault::None))
            }
            Kind::StoreSlow => {
                let by = self.random.between(Seconds::from_millis(50), Seconds::new(2));
                during(Fault::Store(StoreFault::Slow(by)), Fault::Store(StoreFault::None))
            }
        }
    }

    fn power(&mut self, kind: Kind, at: Seconds, end: Seconds) -> Happenings {
        let host = self.host();
        let off = |at: Seconds, host: &HostName| (at, Happening::Fault(Fault::Power(host.clone(), false)));
        let on = |at: Seconds, host: &HostName| (at, Happening::Fault(Fault::Power(host.clone(), true)));
        match kind {
            Kind::PowerAndBmc => vec![
                (at, Happening::Fault(Fault::Bmc(host.clone(), Bmc::Dead))),
                off(at, &host),
                on(end, &host),
                (end, Happening::Fault(Fault::Bmc(host.clone(), Bmc::Works))),
            ],
            Kind::RackPower => {
                let rack = |host: &lifeboat_model::spec::HostSpec| host.labels.get("rack").cloned();
                let hosts = &self.settings.declaration.hosts;
                let mine = hosts.iter().find(|spec| spec.name == host).and_then(rack);
                let all = hosts.iter().filter(|spec| rack(spec) == mine);
                all.flat_map(|spec| [off(at, &spec.name), on(end, &spec.name)]).collect()
            }
            Kind::Reboot => vec![off(at, &host), on(at + Seconds::from_millis(1), &host)],
            Kind::Flaps => {
                let mut now = at;
                let mut all = Vec::new();
                for _ in 0..4 {
                    all.push(off(now, &host));
                    now += self.random.between(Seconds::new(1), Seconds::new(20));
                    all.push(on(now, &host));
                    now += self.random.between(Seconds::new(1), Seconds::new(90));
                }
                all
            }
            _ => vec![off(at, &host), on(end, &host)],
        }
    }

    fn network(&mut self, kind: Kind, at: Seconds, end: Seconds) -> Happenings {
        let during = |begin: Fault, over: Fault| vec![(at, Happening::Fault(begin)), (end, Happening::Fault(over))];
        if kind == Kind::Messages {
            let hell = self.profile == Profile::Hell;
            let mut rate = |on: bool| if on { u32::try_from(self.random.below(200_000)).unwrap_or(0) } else { 0 };
            let mischief = Mischief {
                lose: rate(true),
                delay: rate(true),
                delay_by: Seconds::new(2),
                repeat: rate(hell),
                reorder: rate(hell),
            };
            return during(Fault::Messages(mischief), Fault::Messages(Mischief::default()));
        }
        let cut = [(Some(false), Some(false)), (Some(false), None), (None, Some(false))];
        let (out, into) = cut[usize::try_from(self.random.below(3)).unwrap_or(0)];
        let on = Some(true);
        match kind {
            Kind::ControllerCut => {
                let controller = self.controller();
                let network = Network::ALL[usize::try_from(self.random.below(4)).unwrap_or(0)];
                let begin = Fault::ControllerPort(controller, network, out, into);
                vec![
                    (at, Happening::Fault(begin)),
                    (end, Happening::Fault(Fault::ControllerPort(controller, network, on, on))),
                ]
            }
            _ => {
                let host = self.host();
                let network = if kind == Kind::StorageCut { Network::Storage } else { Network::Management };
                during(Fault::Port(host.clone(), network, out, into), Fault::Port(host, network, on, on))
            }
        }
    }

    fn clock(&mut self, at: Seconds, end: Seconds) -> Happenings {
        let rate = 970_000 + self.random.below(60_000);
        let jump = self.random.between(Seconds::from_millis(10), Seconds::new(60));
        let host = self.host();
        let controller = self.controller();
        match self.random.below(4) {
            0 => vec![
                (at, Happening::Fault(Fault::ClockRate(host.clone(), rate))),
                (end, Happening::Fault(Fault::ClockRate(host, 1_000_000))),
            ],
            1 => vec![(at, Happening::Fault(Fault::ClockJump(host, jump)))],
            2 => vec![
                (at, Happening::Fault(Fault::ControllerClockRate(controller, rate))),
                (end, Happening::Fault(Fault::ControllerClockRate(controller, 1_000_000))),
            ],
            _ => vec![(at, Happening::Fault(Fault::ControllerClockJump(controller, jump)))],
        }
    }

    fn storage(&mut self, kind: Kind, at: Seconds, end: Seconds) -> Happenings {
        let during = |begin: Fault, over: Fault| vec![(at, Happening::Fault(begin)), (end, Happening::Fault(over))];
        if kind == Kind::VolumeLost {
            let volumes = &self.settings.declaration.volumes;
            let Some(volume) = self.random.pick(volumes).map(|volume| volume.name.clone()) else { return Vec::new() };
            return during(Fault::VolumeLost(volume.clone(), true), Fault::VolumeLost(volume, false));
        }
        let arrays = &self.settings.declaration.arrays;
        let Some(array) = self.random.pick(arrays).map(|array| array.name.clone()) else { return Vec::new() };
        let fault = match kind {
            Kind::ArrayRefuses => ArrayFault::Refuses,
            Kind::ArrayFlaky => ArrayFault::Flaky(u32::try_from(self.random.below(600_000)).unwrap_or(0)),
            _ => ArrayFault::Slow(2 + self.random.below(50)),
        };
        during(Fault::Array(array.clone(), fault), Fault::Array(array, ArrayFault::None))
    }

    fn operator(&mut self, kind: Kind, at: Seconds, end: Seconds) -> Happenings {
        let vm = self.vm();
        let order = |at: Seconds, action| (at, Happening::Order(OperatorOrder::Vm { vm: vm.clone(), action }));
        match kind {
            Kind::OperatorStops => vec![order(at, VmAction::Stop), order(end, VmAction::Start)],
            Kind::OperatorDisables => vec![order(at, VmAction::Disable), order(end, VmAction::Enable)],
            Kind::GuestShutsDown => {
                vec![(at, Happening::Fault(Fault::GuestShutsDown(vm.clone()))), order(end, VmAction::Start)]
            }
            _ => {
                let host = self.host();
                let turn = |on| Happening::Order(OperatorOrder::maintenance(host.clone(), on));
                vec![(at, turn(true)), (end, turn(false))]
            }
        }
    }
}
