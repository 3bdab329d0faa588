//! Rolling groups: which hosts can be down together for a reboot.
//!
//! A group is a set of hosts whose VMs all fit on the hosts outside it, at once, with every rule kept. Groups are found
//! greedily: each takes every host left whose VMs still find places; a host that has taken VMs of the group stays up. When
//! a group is done its VMs go back, so that every group begins with the fleet as it is.

use lifeboat_model::HostName;
use lifeboat_model::fleet::Fleet;
use serde::Serialize;

use crate::PlanError;
use crate::case::Case;
use crate::index::{Index, NONE};
use crate::room::Room;

/// Hosts in groups that can be down together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rolling {
    /// The groups, in the order of their making; every host in one of them can be emptied onto those outside.
    pub groups: Vec<Vec<HostName>>,
    /// Hosts that cannot be emptied at all as things are.
    pub stuck: Vec<HostName>,
}

/// Finds groups of hosts that can be down together. Hosts that are down already are left out; one in maintenance can be
/// emptied, and takes nothing.
///
/// # Errors
/// [`PlanError`] when the fleet has not been validated.
pub fn rolling(fleet: &Fleet) -> Result<Rolling, PlanError> {
    let index = Index::new(fleet)?;
    let case = Case::of_running(&index)?;
    let mut jobs_of = vec![Vec::new(); index.host_count()];
    for (job, row) in case.jobs.iter().enumerate() {
        jobs_of[row.from as usize].push(job);
    }
    let mut left: Vec<usize> = (0..index.host_count()).filter(|host| !case.gone[*host]).collect();
    let mut found = Rolling::default();
    let whole = Room::new(&case);
    while !left.is_empty() {
        let mut group = Group { case: &case, room: whole.clone(), receives: vec![false; index.host_count()], next: 0 };
        let (taken, others): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|host| group.empty(**host, &jobs_of[**host]));
        let names = |hosts: &[usize]| hosts.iter().map(|host| fleet.hosts[*host].name.clone()).collect::<Vec<_>>();
        if taken.is_empty() {
            found.stuck = names(&others);
            break;
        }
        found.groups.push(names(&taken));
        left = others;
    }
    Ok(found)
}

struct Group<'c, 'a> {
    case: &'c Case<'a>,
    room: Room,
    receives: Vec<bool>,
    /// Where the search for a place goes on, so that full hosts are not looked at again and again.
    next: usize,
}

impl Group<'_, '_> {
    /// Empties a host onto others, or leaves everything as it was.
    fn empty(&mut self, host: usize, jobs: &[usize]) -> bool {
        if self.receives[host] {
            return false;
        }
        let was_open = std::mem::replace(&mut self.room.open[host], false);
        let mut moved: Vec<(usize, usize, u64)> = Vec::new();
        for job in jobs {
            self.room.give_back(self.case, *job, host, nodes_of(self.case, *job));
            if let Some((to, nodes)) = self.place(*job) {
                self.room.take(self.case, *job, to, nodes);
                moved.push((*job, to, nodes));
                continue;
            }
            self.room.take(self.case, *job, host, nodes_of(self.case, *job));
            for (job, to, nodes) in moved.into_iter().rev() {
                self.room.give_back(self.case, job, to, nodes);
                self.room.take(self.case, job, host, nodes_of(self.case, job));
            }
            self.room.open[host] = was_open;
            return false;
        }
        moved.iter().for_each(|(_, to, _)| self.receives[*to] = true);
        true
    }

    fn place(&mut self, job: usize) -> Option<(usize, u64)> {
        let hosts = self.case.index.host_count();
        let fits = |host: usize| self.room.check(self.case, job, host).ok().map(|nodes| (host, nodes));
        let found = (0..hosts).map(|step| (self.next + step) % hosts).find_map(fits);
        if let Some((host, _)) = found {
            self.next = host;
        }
        found
    }
}

/// The NUMA nodes that a running VM has now.
fn nodes_of(case: &Case<'_>, job: usize) -> u64 {
    let row = &case.index.fleet.vms[case.jobs[job].vm as usize];
    if case.jobs[job].width == 0 || case.jobs[job].from == NONE {
        return 0;
    }
    let host = case.jobs[job].from as usize;
    let nodes = case.index.node_start[host + 1] - case.index.node_start[host];
    row.numa_at.iter().flatten().filter(|node| **node < nodes.min(64)).fold(0, |bits, node| bits | 1 << node)
}
