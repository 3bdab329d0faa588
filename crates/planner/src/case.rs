//! One request by number: the VMs to start (jobs), what binds them, and where each may go.

use std::collections::BTreeMap;

use lifeboat_model::fleet::{HostState, RuleKind};
use lifeboat_model::plan::Request;

use crate::PlanError;
use crate::index::{Index, NONE, UNLIMITED, clamp};

/// A VM that the plan shall start.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The VM.
    pub(crate) vm: u32,
    /// Its class: 0 is the most important.
    pub(crate) class: u32,
    /// The failed host that it ran on, or [`NONE`].
    pub(crate) from: u32,
    /// When its first step may begin: the fence's end, or 0.
    pub(crate) release: u64,
    /// How many volumes it has on each array.
    pub(crate) maps: Vec<(u32, u32)>,
    /// All its volumes.
    pub(crate) volumes: u32,
    pub(crate) configure: u64,
    pub(crate) start: u64,
    /// The only host allowed, or [`NONE`].
    pub(crate) pin: u32,
    /// Hosts where it must not go.
    pub(crate) avoid: Vec<u32>,
    /// Which of [`Case::eligible`] tells the hosts that have what it requires.
    pub(crate) needs: u32,
    /// Its group among [`Case::groups`], or [`NONE`].
    pub(crate) group: u32,
    /// Its stage within that group, counting only stages that have jobs.
    pub(crate) stage: u32,
    /// The importance of its group.
    pub(crate) importance: i64,
    /// How many NUMA nodes it spans, or 0.
    pub(crate) width: u32,
    /// `(rule among `[`Case::rules`]`, set or `[`NONE`]`)`.
    pub(crate) rules: Vec<(u32, u32)>,
}

/// A dependency group with jobs.
#[derive(Clone, Debug)]
pub(crate) struct GroupRow {
    /// Its position in the fleet.
    pub(crate) at: u32,
    /// Its jobs by stage; stages without jobs are left out.
    pub(crate) stages: Vec<Vec<u32>>,
    pub(crate) delay: u64,
    pub(crate) all_or_nothing: bool,
}

/// A rule with jobs.
#[derive(Clone, Debug)]
pub(crate) struct RuleRow {
    /// Its position in the fleet.
    pub(crate) at: u32,
    pub(crate) kind: RuleKind,
    pub(crate) required: bool,
    /// Which of [`Case::places`] tells the place of a host.
    pub(crate) scope: u32,
    /// VMs that run on hosts and stay: `(vm, set)`.
    pub(crate) running: Vec<(u32, u32)>,
}

/// A request by number.
pub(crate) struct Case<'a> {
    pub(crate) index: &'a Index<'a>,
    /// Failed hosts, sorted.
    pub(crate) failed: Vec<u32>,
    /// Whether each host runs nothing from now on.
    pub(crate) gone: Vec<bool>,
    /// Whether each host is one that may take VMs.
    takes: Vec<bool>,
    pub(crate) jobs: Vec<Job>,
    /// Job-major: what a job takes of each resource.
    pub(crate) demand: Vec<i64>,
    /// The array of each volume, job by job.
    arrays: Vec<u32>,
    /// Where each job's volumes end in that list.
    arrays_end: Vec<u32>,
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) rules: Vec<RuleRow>,
    /// For each distinct set of requirements: its text, and whether each host has what they ask.
    pub(crate) eligible: Vec<Vec<bool>>,
    /// For each scope of a rule: the place of each host.
    pub(crate) places: Vec<Vec<u32>>,
    /// Lanes of each host: VMs that it starts at once.
    pub(crate) start_lanes: Vec<u32>,
    /// Lanes of each host: volumes mapped to it at once.
    pub(crate) map_lanes: Vec<u32>,
    /// Lanes of each array.
    pub(crate) array_lanes: Vec<u32>,
    /// Time of one operation of each array.
    pub(crate) remap: Vec<u64>,
    /// Number of classes.
    pub(crate) classes: usize,
}

impl<'a> Case<'a> {
    /// Numbers a request.
    ///
    /// # Errors
    /// [`PlanError`] when the request names what is not there or a VM that runs.
    pub(crate) fn new(index: &'a Index<'a>, request: &Request) -> Result<Self, PlanError> {
        let mut failed = Vec::new();
        for name in &request.failed {
            let host = index.hosts.get(name.as_str()).ok_or_else(|| PlanError::UnknownHost(name.clone()))?;
            failed.push(host);
        }
        failed.sort_unstable();
        failed.dedup();
        let mut case = Self::bare(index, failed);
        let vms = case.vms_asked(request)?;
        case.take_jobs(vms, request)?;
        case.bind_groups();
        case.bind_rules();
        Ok(case)
    }

    /// Every VM that runs on a host that is not down, to see where else it could be.
    ///
    /// # Errors
    /// [`PlanError`] when the fleet has not been validated.
    pub(crate) fn of_running(index: &'a Index<'a>) -> Result<Self, PlanError> {
        let mut case = Self::bare(index, Vec::new());
        let runs = |vm: &u32| {
            let host = index.vm_host[*vm as usize];
            host != NONE && !case.gone[host as usize]
        };
        let vms = (0..index.vm_host.len() as u32).filter(runs).map(|vm| (vm, NONE)).collect();
        case.take_jobs(vms, &Request::default())?;
        case.bind_rules();
        Ok(case)
    }

    fn bare(index: &'a Index<'a>, failed: Vec<u32>) -> Self {
        let (fleet, limits) = (index.fleet, &index.fleet.limits);
        let mut gone: Vec<bool> = fleet.hosts.iter().map(|host| host.state == HostState::Down).collect();
        for host in &failed {
            gone[*host as usize] = true;
        }
        Self {
            index,
            takes: fleet.hosts.iter().zip(&gone).map(|(host, gone)| host.state == HostState::Up && !gone).collect(),
            gone,
            jobs: Vec::new(),
            demand: Vec::new(),
            arrays: Vec::new(),
            arrays_end: Vec::new(),
            groups: Vec::new(),
            rules: Vec::new(),
            eligible: Vec::new(),
            places: Vec::new(),
            start_lanes: fleet.hosts.iter().map(|h| lanes(h.starts.unwrap_or(limits.starts_per_host))).collect(),
            map_lanes: fleet.hosts.iter().map(|h| lanes(h.maps.unwrap_or(limits.maps_per_host))).collect(),
            array_lanes: fleet.arrays.iter().map(|array| lanes(array.max_ops)).collect(),
            remap: fleet.arrays.iter().map(|array| array.remap_s.micros()).collect(),
            classes: fleet.classes.len(),
            failed,
        }
    }

    /// The VMs that a request asks to start, each with the only host allowed or [`NONE`].
    fn vms_asked(&self, request: &Request) -> Result<Vec<(u32, u32)>, PlanError> {
        let index = self.index;
        let mut vms: Vec<(u32, u32)> = Vec::new();
        for host in &self.failed {
            vms.extend(index.vms_of.of(*host as usize).iter().map(|vm| (*vm, NONE)));
        }
        for (name, pin) in &request.place {
            let vm = index.vm(name.as_str()).ok_or_else(|| PlanError::UnknownVm(name.clone()))?;
            let at = index.vm_host[vm as usize];
            if at != NONE {
                let host = index.fleet.hosts[at as usize].name.clone();
                return Err(PlanError::Runs { vm: name.clone(), host });
            }
            let pin = match pin {
                None => NONE,
                Some(host) => index.hosts.get(host.as_str()).ok_or_else(|| PlanError::UnknownHost(host.clone()))?,
            };
            vms.push((vm, pin));
        }
        vms.sort_unstable();
        Ok(vms)
    }

    fn take_jobs(&mut self, vms: Vec<(u32, u32)>, request: &Request) -> Result<(), PlanError> {
        let index = self.index;
        let mut needs = Needs::default();
        let fence = index.fleet.limits.fence_s.micros();
        for (vm, pin) in vms {
            let row = &index.fleet.vms[vm as usize];
            let from = index.vm_host[vm as usize];
            let forbidden = request.avoid.get(&row.name).into_iter().flatten();
            let mut avoid: Vec<u32> = forbidden.filter_map(|host| index.hosts.get(host.as_str())).collect();
            avoid.sort_unstable();
            let first = self.arrays.len();
            index.arrays_of(vm, &mut self.arrays)?;
            self.arrays_end.push(self.arrays.len() as u32);
            let maps = counted(&self.arrays[first..]);
            self.demand.extend(index.demand(vm));
            self.jobs.push(Job {
                vm,
                class: index.vm_class[vm as usize],
                from,
                release: if from == NONE { 0 } else { fence },
                volumes: row.volumes.len() as u32,
                maps,
                configure: row.configure_s.micros(),
                start: row.start_s.micros(),
                pin,
                avoid,
                needs: needs.number(row),
                group: NONE,
                stage: 0,
                importance: i64::MIN,
                width: row.numa.unwrap_or(0),
                rules: Vec::new(),
            });
        }
        self.eligible = needs.eligible(index);
        Ok(())
    }

    fn bind_groups(&mut self) {
        let mut seen: BTreeMap<u32, BTreeMap<u32, Vec<u32>>> = BTreeMap::new();
        for (at, job) in self.jobs.iter().enumerate() {
            let (group, stage) = self.index.group_of[job.vm as usize];
            if group != NONE {
                seen.entry(group).or_default().entry(stage).or_default().push(at as u32);
            }
        }
        for (at, stages) in seen {
            let row = &self.index.fleet.groups[at as usize];
            let stages: Vec<Vec<u32>> = stages.into_values().collect();
            for (stage, jobs) in stages.iter().enumerate() {
                for job in jobs {
                    let job = &mut self.jobs[*job as usize];
                    (job.group, job.stage) = (self.groups.len() as u32, stage as u32);
                    job.importance = row.importance;
                }
            }
            let delay = row.stage_delay_s.micros();
            self.groups.push(GroupRow { at, stages, delay, all_or_nothing: row.all_or_nothing });
        }
    }

    fn bind_rules(&mut self) {
        let mut rows: Vec<(u32, u32)> = Vec::new();
        for (at, job) in self.jobs.iter().enumerate() {
            rows.extend(self.index.rules_of.of(job.vm as usize).iter().map(|rule| (*rule, at as u32)));
        }
        rows.sort_unstable();
        rows.dedup();
        let mut scopes: BTreeMap<&str, u32> = BTreeMap::new();
        for bound in rows.chunk_by(|a, b| a.0 == b.0) {
            let at = bound[0].0;
            let rule = &self.index.fleet.rules[at as usize];
            let sets = self.sets_of(at);
            let set_of = |vm: u32| sets.get(&vm).copied().unwrap_or(NONE);
            for (_, job) in bound {
                let job = &mut self.jobs[*job as usize];
                job.rules.push((self.rules.len() as u32, set_of(job.vm)));
            }
            let stays = |vm: &u32| {
                let host = self.index.vm_host[*vm as usize];
                host != NONE && !self.gone[host as usize]
            };
            let members = rule.vms.iter().filter_map(|vm| self.index.vm(vm.as_str()));
            let running = members.filter(stays).map(|vm| (vm, set_of(vm))).collect();
            let scope = match scopes.get(rule.scope.as_str()) {
                Some(scope) => *scope,
                None => {
                    self.places.push(places(self.index, &rule.scope));
                    scopes.insert(&rule.scope, self.places.len() as u32 - 1);
                    self.places.len() as u32 - 1
                }
            };
            self.rules.push(RuleRow { at, kind: rule.kind, required: rule.required, scope, running });
        }
    }

    fn sets_of(&self, rule: u32) -> BTreeMap<u32, u32> {
        let sets = self.index.fleet.rules[rule as usize].sets.iter().enumerate();
        sets.flat_map(|(at, vms)| vms.iter().filter_map(move |vm| Some((self.index.vm(vm.as_str())?, at as u32))))
            .collect()
    }

    /// What a job takes of each resource.
    pub(crate) fn demand_of(&self, job: usize) -> &[i64] {
        let width = self.index.resources.len();
        &self.demand[job * width..(job + 1) * width]
    }

    /// The array of each of a job's volumes.
    pub(crate) fn arrays_of(&self, job: usize) -> &[u32] {
        let first = job.checked_sub(1).map_or(0, |before| self.arrays_end[before]);
        &self.arrays[first as usize..self.arrays_end[job] as usize]
    }

    /// Whether a host may take VMs at all.
    pub(crate) fn takes(&self, host: usize) -> bool {
        self.takes[host]
    }

    /// Whether a host may ever take a job, its room and rules aside.
    pub(crate) fn may_go(&self, job: &Job, host: usize) -> bool {
        self.eligible[job.needs as usize][host]
            && (job.pin == NONE || job.pin as usize == host)
            && self.takes[host]
            && job.avoid.binary_search(&(host as u32)).is_err()
    }

    /// When all of a job's volumes could be there, were nothing else going on, on a host with so many lanes.
    pub(crate) fn map_span(&self, job: &Job, lanes: u32) -> u64 {
        let mut span = 0;
        let (mut work, mut same, mut longest) = (0_u64, true, 0);
        for (array, count) in &job.maps {
            let each = self.remap[*array as usize];
            same &= longest == 0 || longest == each;
            longest = longest.max(each);
            work = work.saturating_add(each.saturating_mul(u64::from(*count)));
            span = span.max(u64::from(count.div_ceil(self.array_lanes[*array as usize])).saturating_mul(each));
        }
        let rounds = u64::from(job.volumes.div_ceil(lanes.max(1)));
        let packed = if same { rounds.saturating_mul(longest) } else { work.div_ceil(u64::from(lanes.max(1))) };
        span.max(longest).max(packed)
    }
}

/// How often each array comes, the arrays in rising order.
fn counted(arrays: &[u32]) -> Vec<(u32, u32)> {
    let mut counts: Vec<(u32, u32)> = Vec::new();
    for array in arrays {
        match counts.binary_search_by_key(array, |count| count.0) {
            Ok(at) => counts[at].1 += 1,
            Err(at) => counts.insert(at, (*array, 1)),
        }
    }
    counts
}

fn lanes(most: u64) -> u32 {
    u32::try_from(most).unwrap_or(u32::MAX).max(1)
}

/// The place of each host: its own number, or that of its label's value. Hosts without the label are one place.
fn places(index: &Index<'_>, scope: &str) -> Vec<u32> {
    if scope == "host" {
        return (0..index.host_count() as u32).collect();
    }
    let mut numbers: BTreeMap<Option<&String>, u32> = BTreeMap::new();
    let mut place = Vec::with_capacity(index.host_count());
    for host in &index.fleet.hosts {
        let next = numbers.len() as u32;
        place.push(*numbers.entry(host.labels.get(scope)).or_insert(next));
    }
    place
}

/// Distinct requirements, so that each is compared with the hosts' labels once.
#[derive(Default)]
struct Needs<'a> {
    numbers: BTreeMap<Vec<(&'a str, &'a [String])>, u32>,
}

impl<'a> Needs<'a> {
    fn number(&mut self, vm: &'a lifeboat_model::fleet::Vm) -> u32 {
        let key = vm.requires.iter().map(|(label, value)| (label.as_str(), value.values())).collect();
        let next = self.numbers.len() as u32;
        *self.numbers.entry(key).or_insert(next)
    }

    fn eligible(&self, index: &Index<'_>) -> Vec<Vec<bool>> {
        let mut all = vec![Vec::new(); self.numbers.len()];
        for (key, at) in &self.numbers {
            let fits = |host: &lifeboat_model::fleet::Host| {
                key.iter().all(|(label, values)| {
                    let has = if *label == "host" {
                        Some(host.name.as_str())
                    } else {
                        host.labels.get(*label).map(String::as_str)
                    };
                    has.is_some_and(|has| values.iter().any(|value| value == has))
                })
            };
            all[*at as usize] = index.fleet.hosts.iter().map(fits).collect();
        }
        all
    }
}

/// Room of a host that a recovery leaves alone.
pub(crate) fn reserve(index: &Index<'_>, host: usize, resource: usize) -> i64 {
    let row = &index.fleet.hosts[host].reserve;
    let amount = row.get(index.resources[resource]).map_or(0, |amount| clamp(*amount));
    amount.min(UNLIMITED)
}
