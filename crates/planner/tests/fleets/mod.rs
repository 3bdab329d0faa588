//! Random small fleets that use every feature of the format, from a seed.

#![allow(dead_code, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::fleet::{
    Array, Class, Fleet, Group, Host, HostState, Limits, OneOrMany, Preference, Rule, RuleKind, Vm, Volume,
};
use lifeboat_model::plan::Request;
use lifeboat_model::{ArrayName, ClassName, GroupName, HostName, Seconds, VmName, VolumeName};

/// A small generator (SplitMix64), so that a seed means the same fleet for ever.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub fn host_name(at: u64) -> HostName {
    HostName::new(&format!("h{at}")).expect("a name")
}

pub fn vm_name(at: u64) -> VmName {
    VmName::new(&format!("v{at}")).expect("a name")
}

fn amounts(cpu: u64, memory: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([("cpu_milli".to_owned(), cpu), ("memory_mib".to_owned(), memory)])
}

fn hosts(dice: &mut Dice, count: u64, tight: bool) -> Vec<Host> {
    let room = if tight { 20 } else { 60 };
    (0..count)
        .map(|at| {
            let numa = dice.chance(30);
            let half = 4 + dice.below(room);
            let numa =
                if numa { vec![amounts(half * 500, half * 512), amounts(half * 500, half * 512)] } else { Vec::new() };
            Host {
                name: host_name(at),
                state: match dice.below(12) {
                    0 => HostState::Down,
                    1 => HostState::Maintenance,
                    _ => HostState::Up,
                },
                site: "s1".to_owned(),
                labels: if dice.chance(90) {
                    BTreeMap::from([
                        ("rack".to_owned(), format!("r{}", dice.below(3))),
                        ("cpu".to_owned(), format!("v{}", dice.below(2))),
                    ])
                } else {
                    BTreeMap::new()
                },
                capacity: amounts(half * 1000, half * 1024),
                max_volumes: dice.chance(60).then(|| 5 + dice.below(40)),
                starts: dice.chance(20).then(|| 1 + dice.below(3)),
                maps: dice.chance(20).then(|| 1 + dice.below(6)),
                numa,
                reserve: if dice.chance(10) { amounts(500, 1024) } else { BTreeMap::new() },
                spare: dice.chance(8),
            }
        })
        .collect()
}

fn vm(dice: &mut Dice, at: u64, hosts: &[Host], volumes: &mut Vec<Volume>, arrays: u64) -> Vm {
    let size = 1 + dice.below(8);
    let mut mine = Vec::new();
    for disk in 0..dice.below(6) {
        let name = VolumeName::new(&format!("v{at}-d{disk}")).expect("a name");
        let array = ArrayName::new(&format!("a{}", dice.below(arrays))).expect("a name");
        volumes.push(Volume { name: name.clone(), array, size_gib: 10 });
        mine.push(name);
    }
    let mut requires = BTreeMap::new();
    match dice.below(12) {
        0 => {
            requires.insert("cpu".to_owned(), OneOrMany::One("v1".to_owned()));
        }
        1 => {
            requires.insert("cpu".to_owned(), OneOrMany::Many(vec!["v0".to_owned(), "v1".to_owned()]));
        }
        2 => {
            requires.insert("host".to_owned(), OneOrMany::Many(vec!["h1".to_owned(), "h2".to_owned()]));
        }
        _ => {}
    }
    let host = dice.chance(90).then(|| dice.below(hosts.len() as u64));
    let width = dice.chance(30).then(|| 1 + dice.below(2) as u32);
    let nodes = host.map_or(0, |host| hosts[host as usize].numa.len());
    let numa_at = width.filter(|width| nodes >= *width as usize && dice.chance(80)).map(|width| (0..width).collect());
    Vm {
        name: vm_name(at),
        host: host.map(host_name),
        demand: amounts(size * 500, size * 512),
        class: ClassName::new(["gold", "silver", "bronze"][dice.below(3) as usize]).expect("a name"),
        volumes: mine,
        labels: BTreeMap::new(),
        requires,
        prefers: if dice.chance(15) {
            vec![Preference { label: "rack".to_owned(), value: "r1".to_owned(), weight: 3 }]
        } else {
            Vec::new()
        },
        preemptible: dice.chance(20),
        configure_s: Seconds::from_millis(dice.below(5000)),
        start_s: Seconds::from_millis(dice.below(90_000)),
        numa: width,
        numa_at,
    }
}

fn bonds(dice: &mut Dice, vms: u64) -> (Vec<Group>, Vec<Rule>) {
    let mut pool: Vec<u64> = (0..vms).collect();
    for at in (1..pool.len()).rev() {
        pool.swap(at, dice.below(at as u64 + 1) as usize);
    }
    let mut groups = Vec::new();
    let mut rest = pool.as_slice();
    while rest.len() >= 5 && dice.chance(70) {
        let (mine, others) = rest.split_at(2 + dice.below(4) as usize);
        let cut = 1 + dice.below(mine.len() as u64 - 1) as usize;
        let names = |vms: &[u64]| vms.iter().map(|vm| vm_name(*vm)).collect::<Vec<_>>();
        groups.push(Group {
            name: GroupName::new(&format!("g{}", groups.len())).expect("a name"),
            importance: dice.below(10) as i64,
            stages: vec![names(&mine[..cut]), names(&mine[cut..])],
            stage_delay_s: Seconds::new(dice.below(2) * 5),
            all_or_nothing: dice.chance(50),
        });
        rest = others;
    }
    let mut rules = Vec::new();
    while dice.chance(65) && vms >= 4 {
        let members: BTreeSet<u64> = (0..2 + dice.below(4)).map(|_| dice.below(vms)).collect();
        let members: Vec<VmName> = members.into_iter().map(vm_name).collect();
        let sets = if dice.chance(30) && members.len() > 2 {
            vec![members[..2].to_vec(), members[2..].to_vec()]
        } else {
            Vec::new()
        };
        rules.push(Rule {
            kind: if dice.chance(60) { RuleKind::Apart } else { RuleKind::Together },
            scope: ["host", "host", "rack", "zone"][dice.below(4) as usize].to_owned(),
            vms: members,
            sets,
            required: dice.chance(75),
        });
    }
    (groups, rules)
}

/// A fleet and what is asked of it.
pub fn random(seed: u64) -> (Fleet, Request) {
    let mut dice = Dice(seed);
    let (host_count, vm_count, arrays) = (2 + dice.below(9), dice.below(50), 1 + dice.below(3));
    let tight = dice.chance(40);
    let hosts = hosts(&mut dice, host_count, tight);
    let mut volumes = Vec::new();
    let vms: Vec<Vm> = (0..vm_count).map(|at| vm(&mut dice, at, &hosts, &mut volumes, arrays)).collect();
    let (groups, rules) = bonds(&mut dice, vm_count);
    let class = |name: &str, rto| Class {
        name: ClassName::new(name).expect("a name"),
        rto_s: Seconds::new(rto),
        liveness: None,
    };
    let even = dice.chance(60);
    let fleet = Fleet {
        hosts,
        volumes,
        arrays: (0..arrays)
            .map(|at| Array {
                name: ArrayName::new(&format!("a{at}")).expect("a name"),
                max_ops: 1 + dice.below(8),
                remap_s: if even { Seconds::new(12) } else { Seconds::from_millis(dice.below(15_000)) },
            })
            .collect(),
        classes: vec![class("gold", 120), class("silver", 600), class("bronze", 3600)],
        groups,
        rules,
        limits: Limits {
            starts_per_host: 1 + dice.below(2),
            maps_per_host: 1 + dice.below(4),
            fence_s: Seconds::new(15),
        },
        ..Fleet::empty()
    };
    let mut fleet = Fleet { vms, ..fleet };
    let failed: BTreeSet<u64> = (0..dice.below(3)).map(|_| dice.below(host_count)).collect();
    let mut request = Request { failed: failed.into_iter().map(host_name).collect(), ..Request::default() };
    for vm in &mut fleet.vms {
        if vm.host.is_none() && dice.chance(70) {
            request.place.insert(vm.name.clone(), dice.chance(30).then(|| host_name(dice.below(host_count))));
        }
        if dice.chance(10) {
            request.avoid.entry(vm.name.clone()).or_default().insert(host_name(dice.below(host_count)));
        }
    }
    (fleet, request)
}
