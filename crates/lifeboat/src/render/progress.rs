//! A running recovery where there is no terminal: one line for each thing that changed.

use lifeboat_client::api::{RecoveryView, RecoveryVmState};

use super::{Look, count, recovery::fence_words, when};

/// What is different between two views of one recovery, a line each, with the time of day first. Without a view before,
/// it begins with what is so.
pub fn changes(before: Option<&RecoveryView>, after: &RecoveryView, look: &Look) -> Vec<String> {
    let row = &after.row;
    let mut lines = Vec::new();
    if before.is_none() {
        let when = when::ago(row.declared_us, after.now_us, look);
        lines.push(format!("{} failed {when}: {} to bring back", row.host, count(row.total, "VM")));
    }
    let fence_before = before.map(|view| &view.row.fence);
    if let Some(words) = fence_words(&row.fence)
        && fence_before.is_none_or(|fence| fence.method.is_none())
    {
        lines.push(format!("{} is surely off: {words}", row.host));
    }
    if let Some(waits_for) = &row.fence.waits_for
        && fence_before.is_none_or(|fence| fence.waits_for.as_ref() != Some(waits_for))
    {
        lines.push(format!("waits: {waits_for}"));
        lines.extend(row.fence.mends.iter().map(|mend| format!("  you can: {mend}")));
    }
    vms(before, after, &mut lines);
    if let Some(ended) = row.ended_us
        && before.is_none_or(|view| view.row.ended_us.is_none())
    {
        let took = when::span(ended.since(row.declared_us));
        let left = if row.unplaced > 0 { format!(", {} without a place", row.unplaced) } else { String::new() };
        lines.push(format!("{} after {took}: {} of {} up{left}", row.state, row.ready, count(row.total, "VM")));
    }
    let clock = when::clock(after.now_us, after.now_us, look);
    lines.iter().map(|line| format!("{clock}  {line}")).collect()
}

fn vms(before: Option<&RecoveryView>, after: &RecoveryView, lines: &mut Vec<String>) {
    let already = before.map_or(0, |view| view.row.ready);
    let mut ready = already;
    for vm in &after.vms {
        let was = before.and_then(|view| view.vms.iter().find(|it| it.vm == vm.vm));
        if was.is_some_and(|was| was.state == vm.state && was.to == vm.to) {
            continue;
        }
        let to = vm.to.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        match vm.state {
            RecoveryVmState::Ready => {
                ready += 1;
                let after_s = vm.ready_s.map(|span| format!(" after {span}")).unwrap_or_default();
                let of = after.row.total;
                lines.push(format!("{} ({}) is up{to}{after_s}   {ready} of {of}", vm.vm, vm.class));
            }
            RecoveryVmState::Unplaced => {
                let why = vm.detail.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                lines.push(format!("{} ({}) has no place{why}", vm.vm, vm.class));
            }
            RecoveryVmState::Starting => lines.push(format!("{} ({}) starts{to}", vm.vm, vm.class)),
            RecoveryVmState::Released => lines.push(format!("{} ({}) is no longer wanted", vm.vm, vm.class)),
            RecoveryVmState::Waiting | RecoveryVmState::Remapping | RecoveryVmState::Configuring => {}
        }
    }
}
