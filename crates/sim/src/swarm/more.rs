//! Further mishaps and other paces, drawn beside the first ones from generators of their own: what a seed meant before
//! they came it means still, and the numbers of its first mishaps stay.

use lifeboat_model::{HostName, Seconds};

use super::{Case, Happening, Mishap, Profile};
use crate::{
    fault::Fault,
    random::Random,
    times::{Span, Times},
    world::{Network, WorldSettings},
};

/// How many times rarer than the first mishaps these are.
const RARER: u64 = 3;

/// Kinds of further mishaps.
#[derive(Clone, Copy, Debug)]
enum Kind {
    SitePower,
    LeaderInRecovery,
    ArrayForgets,
    BmcCut,
    OneWay,
    CheckBlind,
    ClocksApart,
    StoreInRecovery,
}

const ALL: [(Kind, &str); 8] = [
    (Kind::SitePower, "power loss of the site"),
    (Kind::LeaderInRecovery, "the leader dies in the middle of a recovery"),
    (Kind::ArrayForgets, "array loses its configuration"),
    (Kind::BmcCut, "BMC cut off while its host fails"),
    (Kind::OneWay, "one way of a network is cut, and another host fails"),
    (Kind::CheckBlind, "a VM's check gets no answer"),
    (Kind::ClocksApart, "clocks drift apart while a host fails"),
    (Kind::StoreInRecovery, "the store fails in the middle of a recovery"),
];

/// Other paces than usual, for a third of all seeds: parts of each class that are slow, or slow at times.
pub(super) fn tempo(case: &Case, settings: &mut WorldSettings) {
    let mut random = Random::of(case.seed, "tempo");
    if random.below(3) != 0 {
        return;
    }
    let s = Seconds::new;
    let mut pick = |usual: Span, others: &[Span]| {
        let at = usize::try_from(random.below(others.len() as u64 + 1)).unwrap_or(0);
        others.get(at).copied().unwrap_or(usual)
    };
    let usual = Times::default();
    let tail = Span::Tail;
    settings.times.all = Times {
        host_boot: pick(usual.host_boot, &[Span::Between(s(5), s(80)), tail(s(20), s(80), 5)]),
        fence: pick(usual.fence, &[Span::Between(s(1), s(25)), tail(s(2), s(40), 4), Span::millis(200)]),
        map: pick(usual.map, &[Span::Between(s(1), s(8)), tail(Seconds::from_millis(20), s(30), 10)]),
        unmap: pick(usual.unmap, &[Span::Between(s(1), s(8)), tail(Seconds::from_millis(20), s(30), 10)]),
        launch: pick(usual.launch, &[Span::Between(s(1), s(10)), tail(s(1), s(50), 10)]),
        guest_boot: pick(usual.guest_boot, &[Span::Between(s(1), s(20)), tail(s(5), s(25), 5)]),
        guest_stop: pick(usual.guest_stop, &[Span::Between(s(1), s(90))]),
        latency: pick(usual.latency, &[Span::Between(Seconds::from_micros(50), Seconds::from_millis(300))]),
        disk: pick(usual.disk, &[Span::Between(Seconds::from_millis(1), s(1))]),
        commit: pick(usual.commit, &[Span::Between(Seconds::from_millis(1), s(2))]),
        ..usual
    };
}

struct Drawing<'a> {
    random: Random,
    settings: &'a WorldSettings,
    profile: Profile,
}

/// The further mishaps of a case.
pub(super) fn mishaps(case: &Case, settings: &WorldSettings) -> Vec<Mishap> {
    let random = Random::of(case.seed, "more mishaps");
    let mut drawing = Drawing { random, settings, profile: case.profile };
    let mut all = Vec::new();
    let mut at = Seconds::ZERO;
    let pause = Seconds::new(2 * RARER * case.profile.pause_s());
    loop {
        at += drawing.random.between(Seconds::from_millis(1), pause);
        if at >= Seconds::new(case.minutes * 60) {
            return all;
        }
        let number = usize::try_from(drawing.random.below(ALL.len() as u64)).unwrap_or(0);
        let (kind, text) = ALL[number];
        all.push(Mishap { kind: text, happenings: drawing.happenings(kind, at) });
    }
}

type Happenings = Vec<(Seconds, Happening)>;

fn fault(at: Seconds, fault: Fault) -> (Seconds, Happening) {
    (at, Happening::Fault(fault))
}

impl Drawing<'_> {
    fn host(&mut self) -> HostName {
        let hosts = &self.settings.declaration.hosts;
        let at = usize::try_from(self.random.below(hosts.len() as u64)).unwrap_or(0);
        hosts[at].name.clone()
    }

    fn span(&mut self, most_s: u64) -> Seconds {
        self.random.between(Seconds::from_millis(100), Seconds::new(most_s))
    }

    fn happenings(&mut self, kind: Kind, at: Seconds) -> Happenings {
        let host = self.host();
        let end = at + self.span(self.profile.longest_s());
        let mut all = vec![];
        if !matches!(kind, Kind::SitePower | Kind::ArrayForgets | Kind::CheckBlind) {
            all.extend([fault(at, Fault::Power(host.clone(), false)), fault(end, Fault::Power(host.clone(), true))]);
        }
        match kind {
            Kind::SitePower => {
                let hosts: Vec<HostName> = self.settings.declaration.hosts.iter().map(|it| it.name.clone()).collect();
                for host in hosts {
                    all.push(fault(at, Fault::Power(host.clone(), false)));
                    all.push(fault(end + self.span(30), Fault::Power(host, true)));
                }
            }
            Kind::LeaderInRecovery => {
                for _ in 0..=self.random.below(2) {
                    all.push(fault(at + self.span(20), Fault::LeaderDies));
                }
            }
            Kind::ArrayForgets => {
                let arrays = &self.settings.declaration.arrays;
                let name = self.random.pick(arrays).map(|array| array.name.clone());
                all.extend(name.map(|name| fault(at, Fault::ArrayForgets(name))));
            }
            Kind::BmcCut => {
                let (out, into) = self.way();
                all.insert(0, fault(at, Fault::Port(host.clone(), Network::Bmc, out, into)));
                all.push(fault(end, Fault::Port(host, Network::Bmc, Some(true), Some(true))));
            }
            Kind::OneWay => {
                let other = self.host();
                let network = [Network::Management, Network::Storage, Network::Bmc];
                let network = network[usize::try_from(self.random.below(3)).unwrap_or(0)];
                let (out, into) = self.way();
                let until = at + self.span(self.profile.longest_s());
                all.push(fault(at + self.span(5), Fault::Port(other.clone(), network, out, into)));
                all.push(fault(until + Seconds::new(5), Fault::Port(other, network, Some(true), Some(true))));
            }
            Kind::CheckBlind => {
                let vms = &self.settings.declaration.vms;
                if let Some(vm) = self.random.pick(vms).map(|vm| vm.name.clone()) {
                    all.push(fault(at, Fault::Unseen(vm.clone(), true)));
                    all.push(fault(at, Fault::VmDies(vm.clone())));
                    all.push(fault(end, Fault::Unseen(vm, false)));
                }
            }
            Kind::ClocksApart => {
                let (other, fast) = (self.host(), 1_000_000 + self.random.below(200_000));
                all.push(fault(at, Fault::ClockRate(other.clone(), fast)));
                all.push(fault(at, Fault::ControllerClockRate(0, 2_000_000 - fast)));
                all.push(fault(end, Fault::ClockRate(other, 1_000_000)));
                all.push(fault(end, Fault::ControllerClockRate(0, 1_000_000)));
            }
            Kind::StoreInRecovery => {
                let begins = at + self.span(15);
                let store = |at, what| fault(at, Fault::Store(what));
                let what = match self.random.below(3) {
                    0 => crate::world::StoreFault::Fails,
                    1 => crate::world::StoreFault::Flaky(500_000),
                    _ => crate::world::StoreFault::Slow(self.span(3)),
                };
                all.push(store(begins, what));
                all.push(store(begins + self.span(30), crate::world::StoreFault::None));
            }
        }
        all
    }

    /// Which way of a port is cut.
    fn way(&mut self) -> (Option<bool>, Option<bool>) {
        let ways = [(Some(false), None), (None, Some(false)), (Some(false), Some(false))];
        ways[usize::try_from(self.random.below(3)).unwrap_or(0)]
    }
}
