//! What holds at every instant: lanes, volumes, capacity, array operations, NUMA nodes.

use lifeboat_model::Seconds;
use lifeboat_model::plan::Action;

use crate::Violation;
use crate::ground::Ground;
use crate::violation::Limit;
use crate::vms::first_moment;

/// Something that takes an amount from one moment until before another.
type Span = (Seconds, Seconds, u64);

/// The first moment at which spans together exceed a limit, and by then how much there is.
fn over(spans: &[Span], most: u64) -> Option<(Seconds, u64)> {
    let mut moments: Vec<(Seconds, bool, u64)> = Vec::with_capacity(spans.len() * 2);
    for (begin, end, amount) in spans.iter().filter(|span| span.0 < span.1) {
        moments.push((*begin, true, *amount));
        moments.push((*end, false, *amount));
    }
    // At one moment what ends makes room before what begins takes it.
    moments.sort_unstable();
    let mut now = 0_u64;
    for (at, begins, amount) in moments {
        now = if begins { now.saturating_add(amount) } else { now.saturating_sub(amount) };
        if begins && now > most {
            return Some((at, now));
        }
    }
    None
}

/// What happens on one host.
#[derive(Default, Clone)]
struct Load {
    starts: Vec<Span>,
    maps: Vec<Span>,
    volumes: Vec<Span>,
    /// `(from, until, VM)`.
    vms: Vec<(Seconds, Seconds, usize)>,
    /// Whether the plan brings a VM here.
    receives: bool,
}

/// Checks every limit of hosts and arrays.
pub(crate) fn check(ground: &Ground<'_>, bad: &mut Vec<Violation>) {
    let last = ground.plan.steps.iter().map(|step| step.end_s).max().unwrap_or(Seconds::ZERO) + Seconds::new(1);
    let mut loads = vec![Load::default(); ground.fleet.hosts.len()];
    let mut operations: Vec<Vec<Span>> = vec![Vec::new(); ground.fleet.arrays.len()];
    for (step, named) in ground.plan.steps.iter().zip(&ground.named) {
        let Some(host) = named.host.map(|host| host as usize) else { continue };
        match &step.action {
            Action::Start { .. } => loads[host].starts.push((step.start_s, step.end_s, 1)),
            Action::Remap { .. } => {
                loads[host].maps.push((step.start_s, step.end_s, 1));
                loads[host].volumes.push((step.start_s, last, 1));
                if let Some(array) = named.array {
                    operations[array as usize].push((step.start_s, step.end_s, 1));
                }
            }
            _ => {}
        }
    }
    for host in ground.deeds.iter().filter_map(|deeds| deeds.placed) {
        loads[host].receives = true;
    }
    for vm in 0..ground.fleet.vms.len() {
        occupy(ground, vm, last, &mut loads);
    }
    for (host, load) in loads.iter().enumerate().filter(|(host, _)| !ground.is_down(*host)) {
        host_limits(ground, host, load, bad);
    }
    for (array, spans) in ground.fleet.arrays.iter().zip(&operations) {
        if let Some((at, amount)) = over(spans, array.max_ops) {
            bad.push(Violation::ArrayOver { array: array.name.clone(), at, amount, most: array.max_ops });
        }
    }
}

/// A VM takes room where it runs until it leaves, and where it goes from its first step on.
fn occupy(ground: &Ground<'_>, vm: usize, last: Seconds, loads: &mut [Load]) {
    let volumes = ground.fleet.vms[vm].volumes.len() as u64;
    let deeds = ground.deeds(vm);
    // Where the plan brings no VM, what runs there is no matter of it.
    if let Some(host) = ground.host_of[vm].filter(|host| loads[*host].receives && !ground.is_down(*host)) {
        let until = deeds.and_then(|deeds| deeds.left).unwrap_or(last);
        loads[host].vms.push((Seconds::ZERO, until, vm));
        loads[host].volumes.push((Seconds::ZERO, until, volumes));
    }
    let Some(host) = deeds.and_then(|deeds| deeds.placed) else { return };
    let first = first_moment(ground, vm).unwrap_or(Seconds::ZERO);
    loads[host].vms.push((first, last, vm));
    if deeds.is_some_and(|deeds| !deeds.migrates.is_empty()) {
        loads[host].volumes.push((first, last, volumes));
    }
}

fn host_limits(ground: &Ground<'_>, host: usize, load: &Load, bad: &mut Vec<Violation>) {
    let (row, limits) = (&ground.fleet.hosts[host], &ground.fleet.limits);
    let lanes = [
        (Limit::Starts, &load.starts, Some(row.starts.unwrap_or(limits.starts_per_host))),
        (Limit::Maps, &load.maps, Some(row.maps.unwrap_or(limits.maps_per_host))),
        // A host that had too many before, and to which the plan brings none, is no fault of the plan.
        (Limit::Volumes, &load.volumes, row.max_volumes.filter(|_| load.receives)),
    ];
    let mut say = |limit, found: Option<(Seconds, u64)>, most| {
        if let Some((at, amount)) = found {
            bad.push(Violation::Over { host: row.name.clone(), limit, at, amount, most });
        }
    };
    for (limit, spans, most) in lanes {
        if let Some(most) = most {
            say(limit, over(spans, most), most);
        }
    }
    if !load.receives {
        return;
    }
    for (resource, most) in &row.capacity {
        let amount = |vm: usize| ground.fleet.vms[vm].demand.get(resource).copied().unwrap_or(0);
        let spans: Vec<Span> = load.vms.iter().map(|(from, until, vm)| (*from, *until, amount(*vm))).collect();
        say(Limit::Capacity(resource.clone()), over(&spans, *most), *most);
    }
}

/// A VM of width n takes an n-th of its demand from each of n nodes, named by its start or migrate step.
pub(crate) fn check_numa(ground: &Ground<'_>, bad: &mut Vec<Violation>) {
    let mut taken: Vec<Vec<Vec<usize>>> =
        ground.fleet.hosts.iter().map(|host| vec![Vec::new(); host.numa.len()]).collect();
    let mut receives = vec![false; ground.fleet.hosts.len()];
    for (vm, row) in ground.fleet.vms.iter().enumerate() {
        let Some(host) = ground.ends_at(vm) else { continue };
        let placed = ground.deeds(vm).is_some_and(|deeds| deeds.placed.is_some());
        receives[host] |= placed;
        let Some(width) = row.numa.filter(|width| *width > 0 && !ground.fleet.hosts[host].numa.is_empty()) else {
            continue;
        };
        let named = if placed { chosen_nodes(ground, vm) } else { row.numa_at.as_deref() };
        if named.is_none() && !placed {
            continue;
        }
        let mut nodes = named.unwrap_or(&[]).to_vec();
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.len() != width as usize || nodes.iter().any(|node| *node as usize >= taken[host].len()) {
            let host = ground.fleet.hosts[host].name.clone();
            bad.push(Violation::NumaNodes { vm: row.name.clone(), host, width });
            continue;
        }
        for node in nodes {
            taken[host][node as usize].push(vm);
        }
    }
    for (host, nodes) in taken.iter().enumerate().filter(|(host, _)| receives[*host]) {
        for (node, vms) in nodes.iter().enumerate() {
            node_limits(ground, host, node, vms, bad);
        }
    }
}

/// The nodes that a VM's last start or migrate step names.
fn chosen_nodes<'a>(ground: &Ground<'a>, vm: usize) -> Option<&'a [u32]> {
    let deeds = ground.deeds(vm)?;
    let last = deeds.migrates.last().or(deeds.starts.last())?;
    match &ground.step(*last).action {
        Action::Start { numa, .. } | Action::Migrate { numa, .. } => numa.as_deref(),
        _ => None,
    }
}

fn node_limits(ground: &Ground<'_>, host: usize, node: usize, vms: &[usize], bad: &mut Vec<Violation>) {
    let row = &ground.fleet.hosts[host];
    for (resource, most) in &row.numa[node] {
        // In 27720ths, so that every width up to 12 divides evenly; wider ones are rounded down.
        const PARTS: u128 = 27_720;
        let part = |vm: &usize| {
            let vm = &ground.fleet.vms[*vm];
            let amount = u128::from(vm.demand.get(resource).copied().unwrap_or(0));
            amount * PARTS / u128::from(vm.numa.unwrap_or(1).max(1))
        };
        let sum: u128 = vms.iter().map(part).sum();
        if sum > u128::from(*most) * PARTS {
            let (host, resource) = (row.name.clone(), resource.clone());
            bad.push(Violation::NumaOver { host, node: node as u32, resource });
        }
    }
}
