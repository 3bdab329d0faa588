//! Room for what has none: spare hosts, survivors that move, VMs of a lower class that give way.
//!
//! Tried in this order, unit by unit, the most important first: a place as things are; a spare host; a survivor moved off
//! a host that is nearly enough (the cheapest one, or a few); a survivor of a lower class that allows it stopped; a lost
//! VM of a lower class, or of the same and less important, left out instead. A host that VMs leave takes no migrants and a
//! host that takes migrants loses none, so that all of them can move at once; what was placed in the room they leave waits
//! until they have left.

use std::collections::BTreeSet;

use lifeboat_model::HostName;
use lifeboat_model::plan::{Action, Plan};

use crate::RoomMaking;
use crate::case::Case;
use crate::index::NONE;
use crate::pack::Packer;
use crate::room::{Need, Room};
use crate::settle::{self, Unit};

/// A running VM that gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leave {
    pub(crate) vm: u32,
    pub(crate) from: u32,
    /// Where it moves, with its NUMA nodes there; none: it is stopped.
    pub(crate) to: Option<(u32, u64)>,
}

/// How long a VM of so much memory takes to move, in microseconds: at 1,000 MiB/s, which a 10 Gbit/s link carries, and a
/// second for the switch.
pub(crate) fn migration_span(memory_mib: i64) -> u64 {
    1_000_000 + memory_mib.max(0) as u64 * 1_000
}

/// How long a VM is given to stop, in microseconds.
pub(crate) const STOP_SPAN: u64 = 30_000_000;

/// How many units room is made for at most.
const UNITS: usize = 256;
/// How many survivors move for one VM at most.
const TOGETHER: usize = 4;

/// What was decided to make room.
#[derive(Clone, Debug, Default)]
pub(crate) struct MadeRoom {
    pub(crate) leaves: Vec<Leave>,
    /// The jobs that wait for what leaves their host.
    pub(crate) waiting: Vec<u32>,
    /// Those of them that room was made for: they stay there.
    pinned: BTreeSet<u32>,
    receivers: BTreeSet<u32>,
    /// The least that any VM takes of each resource.
    least: Vec<i64>,
}

/// The least that any VM of the fleet takes of each resource: a host with less takes none.
fn least_demand(case: &Case<'_>) -> Vec<i64> {
    let mut least = vec![i64::MAX; case.index.resources.len()];
    for vm in 0..case.index.vm_host.len() as u32 {
        least.iter_mut().zip(case.index.demand(vm)).for_each(|(least, need)| *least = (*least).min(need));
    }
    least
}

/// The hosts that could take some VM, of those that are open.
fn roomy(packer: &Packer<'_, '_>, made: &MadeRoom) -> Vec<usize> {
    let room = &packer.assignment.room;
    let takes = |host: &usize| {
        let enough = || room.free_of(*host).iter().zip(&made.least).all(|(free, least)| *least <= 0 || free >= least);
        room.open[*host] && enough()
    };
    (0..room.open.len()).filter(takes).collect()
}

/// Places as much as can be of what has no place, the most important first.
pub(crate) fn make_room(case: &Case<'_>, packer: &mut Packer<'_, '_>, allowed: RoomMaking) -> MadeRoom {
    let mut made = MadeRoom { least: least_demand(case), ..MadeRoom::default() };
    packer.assignment.room.open_spares();
    for _ in 0..2 {
        for unit in settle::missing_units(case, &packer.assignment).into_iter().take(UNITS) {
            let before = (packer.assignment.clone(), packer.jobs_of.clone(), made.clone());
            if !place_unit(case, packer, &unit, &mut made, allowed) && unit.whole {
                (packer.assignment, packer.jobs_of, made) = before;
            }
        }
        settle::drop_useless(case, &mut packer.assignment);
        packer.refile();
    }
    drop_idle(case, packer, &mut made);
    made
}

/// Whether all jobs of a unit have a place now.
fn place_unit(
    case: &Case<'_>,
    packer: &mut Packer<'_, '_>,
    unit: &Unit,
    made: &mut MadeRoom,
    allowed: RoomMaking,
) -> bool {
    let (migrate, stop) = (allowed == RoomMaking::StopAndMigrate, allowed != RoomMaking::Never);
    for job in unit.jobs.iter().map(|job| *job as usize) {
        let placed = packer.insert(job, 1)
            || (migrate && leave_for(case, packer, job, made, false))
            || (stop && leave_for(case, packer, job, made, true))
            || displace(case, packer, job);
        if !placed {
            return false;
        }
    }
    true
}

/// Leaves another job out in favour of a more important one.
fn displace(case: &Case<'_>, packer: &mut Packer<'_, '_>, job: usize) -> bool {
    let mine = &case.jobs[job];
    for host in packer.nearest(job) {
        let mut others: Vec<usize> = packer.jobs_of[host].iter().map(|other| *other as usize).collect();
        others.retain(|other| {
            let row = &case.jobs[*other];
            let less = row.class > mine.class || (row.class == mine.class && row.importance < mine.importance);
            let free = row.group == NONE || {
                let group = &case.groups[row.group as usize];
                !group.all_or_nothing && row.stage as usize + 1 == group.stages.len()
            };
            less && free && row.group != mine.group
        });
        others.sort_by_key(|other| (std::cmp::Reverse(case.jobs[*other].class), packer.size(*other), *other));
        for other in others {
            let (_, nodes) = packer.lift(other);
            if let Ok(mine) = packer.assignment.room.check(case, job, host) {
                packer.put(job, host, mine);
                packer.insert(other, 1);
                return true;
            }
            packer.put(other, host, nodes);
        }
    }
    false
}

/// A survivor as something that takes room.
struct Survivor {
    vm: u32,
    demand: Vec<i64>,
    volumes: u32,
    width: u32,
    nodes: u64,
}

impl Survivor {
    fn new(case: &Case<'_>, vm: u32) -> Self {
        let row = &case.index.fleet.vms[vm as usize];
        let nodes = row.numa_at.iter().flatten().filter(|node| **node < 64).fold(0, |bits, node| bits | 1 << node);
        Self {
            vm,
            demand: case.index.demand(vm).collect(),
            volumes: row.volumes.len() as u32,
            width: row.numa.unwrap_or(0),
            nodes,
        }
    }

    fn need(&self) -> Need<'_> {
        Need { demand: &self.demand, volumes: self.volumes, width: self.width, rules: &[] }
    }

    fn size(&self) -> i64 {
        self.demand.iter().sum()
    }
}

/// Makes room for a job by moving survivors of one host, or stopping them.
fn leave_for(case: &Case<'_>, packer: &mut Packer<'_, '_>, job: usize, made: &mut MadeRoom, stop: bool) -> bool {
    let roomy = if stop { Vec::new() } else { roomy(packer, made) };
    if !stop && roomy.is_empty() {
        return false;
    }
    for most in [1, TOGETHER] {
        let mut best: Option<(i64, usize, Vec<Leave>)> = None;
        for host in packer.nearest(job) {
            if made.receivers.contains(&(host as u32)) {
                continue;
            }
            let Some((cost, leaves)) = try_host(case, packer, job, host, made, &roomy, most) else { continue };
            if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                best = Some((cost, host, leaves));
            }
        }
        let Some((_, host, leaves)) = best else { continue };
        for leave in leaves {
            apply(case, packer, &leave, 1);
            made.receivers.extend(leave.to.map(|to| to.0));
            made.leaves.push(leave);
        }
        let Ok(nodes) = packer.assignment.room.check(case, job, host) else { return false };
        packer.put(job, host, nodes);
        made.waiting.push(job as u32);
        made.pinned.insert(job as u32);
        return true;
    }
    false
}

impl MadeRoom {
    /// What a plan moves and stops.
    pub(crate) fn of_plan(case: &Case<'_>, plan: &Plan) -> Self {
        let host = |name: &HostName| case.index.hosts.get(name.as_str());
        let leaves = plan.steps.iter().filter_map(|step| {
            let vm = case.index.vm(step.action.vm()?.as_str())?;
            match &step.action {
                Action::Stop { host: from, .. } => Some(Leave { vm, from: host(from)?, to: None }),
                Action::Migrate { from, host: to, numa, .. } => {
                    let nodes = numa.iter().flatten().filter(|node| **node < 64).fold(0, |bits, node| bits | 1 << node);
                    Some(Leave { vm, from: host(from)?, to: Some((host(to)?, nodes)) })
                }
                _ => None,
            }
        });
        Self { leaves: leaves.collect(), ..Self::default() }
    }
}

/// Takes all leaves into account.
pub(crate) fn replay(case: &Case<'_>, room: &mut Room, made: &MadeRoom) {
    made.leaves.iter().for_each(|leave| shift(case, room, leave, 1));
}

/// Takes a leave into account (`sign` 1), or back (-1).
fn apply(case: &Case<'_>, packer: &mut Packer<'_, '_>, leave: &Leave, sign: i64) {
    shift(case, &mut packer.assignment.room, leave, sign);
}

fn shift(case: &Case<'_>, room: &mut Room, leave: &Leave, sign: i64) {
    let survivor = Survivor::new(case, leave.vm);
    room.change(case, &survivor.need(), leave.from as usize, survivor.nodes, sign);
    if let Some((to, nodes)) = leave.to {
        room.change(case, &survivor.need(), to as usize, nodes, -sign);
    }
}

/// The cheapest survivors of a host, up to `most`, whose leaving lets the job in; everything is left as it was. They move
/// to some of the roomy hosts, or, where there are none, are stopped.
fn try_host(
    case: &Case<'_>,
    packer: &mut Packer<'_, '_>,
    job: usize,
    host: usize,
    made: &MadeRoom,
    roomy: &[usize],
    most: usize,
) -> Option<(i64, Vec<Leave>)> {
    let stop = roomy.is_empty();
    let mut survivors: Vec<Survivor> = case.index.vms_of.of(host).iter().map(|vm| Survivor::new(case, *vm)).collect();
    survivors.retain(|survivor| may_leave(case, job, survivor.vm, made, stop));
    survivors.sort_by_key(|survivor| (survivor.size(), survivor.vm));
    if most > 1 {
        survivors.reverse();
    }
    let mut leaves: Vec<Leave> = Vec::new();
    let (mut cost, mut enough) = (0, false);
    for survivor in &survivors {
        let to = if stop { None } else { Some(destination(case, packer, survivor, host, made, roomy)) };
        if matches!(to, Some(None)) {
            continue;
        }
        let leave = Leave { vm: survivor.vm, from: host as u32, to: to.flatten() };
        apply(case, packer, &leave, 1);
        leaves.push(leave);
        cost += survivor.size();
        enough = packer.assignment.room.check(case, job, host).is_ok();
        if enough {
            break;
        }
        if leaves.len() == most {
            let Some(last) = leaves.pop() else { break };
            apply(case, packer, &last, -1);
            cost -= survivor.size();
        }
    }
    for leave in leaves.iter().rev() {
        apply(case, packer, leave, -1);
    }
    enough.then_some((cost, leaves))
}

/// Whether a survivor may be moved, or stopped, for a job. One that rules bind stays; one of a group is not stopped.
fn may_leave(case: &Case<'_>, job: usize, vm: u32, made: &MadeRoom, stop: bool) -> bool {
    let row = &case.index.fleet.vms[vm as usize];
    let lower = case.index.vm_class[vm as usize] > case.jobs[job].class;
    let free = case.index.rules_of.of(vm as usize).is_empty();
    let known_nodes = row.numa.is_none() || row.numa_at.is_some();
    let stoppable = row.preemptible && lower && case.index.group_of[vm as usize].0 == NONE;
    free && known_nodes && (!stop || stoppable) && made.leaves.iter().all(|leave| leave.vm != vm)
}

/// Where a survivor can move: the tightest host that has room and that nothing leaves.
fn destination(
    case: &Case<'_>,
    packer: &Packer<'_, '_>,
    survivor: &Survivor,
    from: usize,
    made: &MadeRoom,
    roomy: &[usize],
) -> Option<(u32, u64)> {
    let row = &case.index.fleet.vms[survivor.vm as usize];
    let room = &packer.assignment.room;
    let mut best: Option<(i64, u32, u64)> = None;
    for host in roomy.iter().copied().filter(|host| *host != from && room.open[*host]) {
        let Ok(nodes) = room.check_need(case, &survivor.need(), host) else { continue };
        let target = &case.index.fleet.hosts[host];
        let eligible = row.requires.iter().all(|(label, values)| {
            let has =
                if label == "host" { Some(target.name.as_str()) } else { target.labels.get(label).map(String::as_str) };
            has.is_some_and(|has| values.accepts(has))
        });
        let leaving = made.leaves.iter().any(|leave| leave.from as usize == host);
        let left: i64 = room.free_of(host).iter().zip(&survivor.demand).map(|(free, need)| (free - need) >> 8).sum();
        if eligible && !leaving && best.is_none_or(|(least, ..)| left < least) {
            best = Some((left, host as u32, nodes));
        }
    }
    best.map(|(_, host, nodes)| (host, nodes))
}

/// Forgets leaves from hosts where in the end no job waits for them, and closes hosts that search must not touch.
fn drop_idle(case: &Case<'_>, packer: &mut Packer<'_, '_>, made: &mut MadeRoom) {
    made.waiting.retain(|job| packer.assignment.host[*job as usize] != NONE);
    made.pinned.retain(|job| packer.assignment.host[*job as usize] != NONE);
    let needed: BTreeSet<u32> = made.waiting.iter().map(|job| packer.assignment.host[*job as usize]).collect();
    let (kept, idle): (Vec<Leave>, Vec<Leave>) = made.leaves.iter().partition(|leave| needed.contains(&leave.from));
    // Without its leaves a host may hold what was placed there by chance since: then they stay.
    let mut idle_hosts: BTreeSet<u32> = idle.iter().map(|leave| leave.from).collect();
    idle_hosts.retain(|host| packer.jobs_of[*host as usize].is_empty());
    for leave in &idle {
        if idle_hosts.contains(&leave.from) {
            apply(case, packer, leave, -1);
        }
    }
    made.leaves = kept;
    made.leaves.extend(idle.into_iter().filter(|leave| !idle_hosts.contains(&leave.from)));
    made.leaves.sort_by_key(|leave| (leave.from, leave.vm));
    let from: BTreeSet<u32> = made.leaves.iter().map(|leave| leave.from).collect();
    for host in from {
        made.waiting.extend(packer.jobs_of[host as usize].iter().copied());
        packer.assignment.room.open[host as usize] = false;
    }
    made.waiting.sort_unstable();
    made.waiting.dedup();
    let early = fit_at_once(case, &packer.assignment.host, &made.waiting);
    made.waiting.retain(|job| !early.contains(job));
    packer.assignment.room.close_spares();
}

/// Of jobs on hosts that VMs leave, those that fit while all are still there, the most important first.
fn fit_at_once(case: &Case<'_>, host_of: &[u32], jobs: &[u32]) -> BTreeSet<u32> {
    let mut room = Room::new(case);
    room.open_spares();
    let mut jobs = jobs.to_vec();
    jobs.sort_by_key(|job| {
        (case.jobs[*job as usize].class, std::cmp::Reverse(case.jobs[*job as usize].importance), *job)
    });
    let mut fit = BTreeSet::new();
    for job in jobs {
        let host = host_of[job as usize] as usize;
        let row = &case.jobs[job as usize];
        let nodes = row.width > 0 && !case.index.fleet.hosts[host].numa.is_empty();
        let need = Need { demand: case.demand_of(job as usize), volumes: row.volumes, width: 0, rules: &[] };
        if !nodes && room.check_need(case, &need, host).is_ok() {
            room.change(case, &need, host, 0, -1);
            fit.insert(job);
        }
    }
    fit
}

/// When each leave happens, `(begin, end)`: one at a time for each host that it touches.
pub(crate) fn times(case: &Case<'_>, made: &MadeRoom) -> Vec<(u64, u64)> {
    let mut busy = vec![0_u64; case.index.host_count()];
    let memory = case.index.resources.iter().position(|name| *name == "memory_mib");
    made.leaves
        .iter()
        .map(|leave| {
            let Some((to, _)) = leave.to else { return (0, STOP_SPAN) };
            let mib = memory.and_then(|at| case.index.demand(leave.vm).nth(at)).unwrap_or(0);
            let begin = busy[leave.from as usize].max(busy[to as usize]);
            let end = begin + migration_span(mib);
            busy[leave.from as usize] = end;
            busy[to as usize] = end;
            (begin, end)
        })
        .collect()
}

/// From when jobs may begin on the hosts that survivors leave for them.
#[derive(Default)]
pub(crate) struct Held {
    /// `(host, moment)` of each job that waits there; empty when none does.
    waits: Vec<(u32, u64)>,
    pinned: BTreeSet<u32>,
}

impl Held {
    pub(crate) fn new(case: &Case<'_>, host_of: &[u32], made: &MadeRoom) -> Self {
        if made.leaves.is_empty() {
            return Self::default();
        }
        let times = times(case, made);
        let mut waits = vec![(NONE, 0); case.jobs.len()];
        for job in &made.waiting {
            let host = host_of[*job as usize];
            let ends = made.leaves.iter().zip(&times).filter(|(leave, _)| leave.from == host).map(|(_, time)| time.1);
            waits[*job as usize] = (host, ends.max().unwrap_or(0));
        }
        Self { waits, pinned: made.pinned.clone() }
    }

    /// Whether no job waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// The moment from which a job may begin on a host.
    pub(crate) fn begin(&self, job: usize, host: usize) -> u64 {
        self.waits.get(job).filter(|wait| wait.0 as usize == host).map_or(0, |wait| wait.1)
    }

    /// Whether room was made for a job where it is: then it stays there.
    pub(crate) fn is_pinned(&self, job: u32) -> bool {
        self.pinned.contains(&job)
    }
}
