//! Lists: hosts, VMs, volumes, recoveries.

use lifeboat_client::api::{
    Desired, HostCondition, HostRow, RecoveryRow, RecoveryState, VmPhase, VmRow, VolumeIntent, VolumeRow, VolumeState,
};
use lifeboat_model::{Time, fleet::Resources};

use super::{
    Look,
    paint::Tone,
    recovery::fence_words,
    table::{Cell, Column, Table},
    when,
};

/// Hosts.
pub fn hosts(rows: &[HostRow], now: Time, look: &Look) -> String {
    if rows.is_empty() {
        return "No host is declared yet: lifeboat apply FILE\n".to_owned();
    }
    let columns = [
        Column::new("HOST"),
        Column::new("STATE"),
        Column::new("VERDICT").goes(6),
        Column::new("SINCE").right().goes(3),
        Column::new("AGENT").goes(2),
        Column::new("VMS").right(),
        Column::new("MEMORY").right(),
        Column::new("CPU").right().goes(4),
        Column::new("FENCES").goes(5).cut(),
        Column::new("NOTE").goes(1).cut(),
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let tone = match row.condition {
            HostCondition::Up => Tone::Good,
            HostCondition::Maintenance
            | HostCondition::Suspect
            | HostCondition::New
            | HostCondition::Leaving
            | HostCondition::Suspicious
            | HostCondition::HeldOut => Tone::Busy,
            HostCondition::Failed | HostCondition::Off => Tone::Bad,
        };
        table.row([
            Cell::from(row.name.as_str()),
            Cell::toned(tone, row.condition.to_string()),
            row.verdict.clone().unwrap_or_else(|| "-".to_owned()).into(),
            when::age(row.since_us, now).into(),
            agent(row, now).into(),
            row.vms.to_string().into(),
            share(&row.used, &row.capacity, "memory_mib", 1024.0, " GiB").into(),
            share(&row.used, &row.capacity, "cpu_milli", 1000.0, "").into(),
            fences(row).into(),
            note(row, now, look).into(),
        ]);
    }
    table.render(look)
}

fn note(row: &HostRow, now: Time, look: &Look) -> String {
    let note = row.note.clone().unwrap_or_default();
    match row.maintenance.as_ref().and_then(|it| it.until_us) {
        Some(at) if note.is_empty() => format!("until {}", when::clock(at, now, look)),
        Some(at) => format!("{note}; until {}", when::clock(at, now, look)),
        None => note,
    }
}

fn agent(row: &HostRow, now: Time) -> String {
    match &row.agent {
        None => "never joined".to_owned(),
        Some(agent) if agent.connected => "connected".to_owned(),
        Some(agent) => format!("lost {}", when::age(agent.heard_us, now)),
    }
}

fn share(used: &Resources, capacity: &Resources, resource: &str, unit: f64, name: &str) -> String {
    let Some(has) = capacity.get(resource) else { return "-".to_owned() };
    let used = used.get(resource).copied().unwrap_or(0);
    let say = |amount: u64| {
        let amount = amount as f64 / unit;
        if amount.fract() < 0.05 || amount >= 100.0 { format!("{amount:.0}") } else { format!("{amount:.1}") }
    };
    format!("{}/{}{name}", say(used), say(*has))
}

fn fences(row: &HostRow) -> String {
    if row.fences.is_empty() {
        return "none".to_owned();
    }
    let one = |fence: &lifeboat_client::api::FenceRow| {
        let bad = fence.checked.as_ref().is_some_and(|check| check.problem.is_some());
        format!("{}{}", fence.name, if bad { " (does not answer)" } else { "" })
    };
    row.fences.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// VMs.
pub fn vms(rows: &[VmRow], now: Time, look: &Look) -> String {
    if rows.is_empty() {
        return "No VM is declared yet: lifeboat apply FILE\n".to_owned();
    }
    let columns = [
        Column::new("VM"),
        Column::new("CLASS").goes(2),
        Column::new("GROUP").goes(4),
        Column::new("HOST"),
        Column::new("STATE"),
        Column::new("SINCE").right().goes(3),
        Column::new("WANTED").goes(1),
        Column::new("WHY NOT").cut(),
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let tone = match row.phase {
            VmPhase::Running => Tone::Good,
            VmPhase::Stopped | VmPhase::Disabled => Tone::Faint,
            VmPhase::Lost | VmPhase::Unplaced | VmPhase::Paused => Tone::Bad,
            _ => Tone::Busy,
        };
        let wanted = match (row.enabled, row.desired) {
            (false, _) => "disabled",
            (true, Desired::Running) => "running",
            (true, Desired::Stopped) => "stopped",
        };
        table.row([
            Cell::from(row.name.as_str()),
            row.class.as_str().into(),
            row.group.as_ref().map_or("", |group| group.as_str()).into(),
            row.host.as_ref().map_or("-", |host| host.as_str()).into(),
            Cell::toned(tone, row.phase.to_string()),
            when::age(row.since_us, now).into(),
            wanted.into(),
            row.why_not.clone().unwrap_or_default().into(),
        ]);
    }
    table.render(look)
}

/// Volumes.
pub fn volumes(rows: &[VolumeRow], now: Time, look: &Look) -> String {
    if rows.is_empty() {
        return "No volume is declared yet: lifeboat apply FILE\n".to_owned();
    }
    let columns = [
        Column::new("VOLUME"),
        Column::new("ARRAY").goes(2),
        Column::new("SIZE").right().goes(3),
        Column::new("VM"),
        Column::new("MAPPED TO"),
        Column::new("STATE"),
        Column::new("SINCE").right().goes(1),
        Column::new("PROBLEM").cut(),
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let tone = match row.state {
            VolumeState::Settled => Tone::Good,
            VolumeState::Failing => Tone::Bad,
            VolumeState::Moving | VolumeState::Unknown => Tone::Busy,
        };
        let state = match (&row.intent, row.state) {
            (VolumeIntent::Mapped { host }, VolumeState::Moving | VolumeState::Failing) => {
                format!("{} to {host}", row.state)
            }
            (VolumeIntent::Unmapped, VolumeState::Moving | VolumeState::Failing) => format!("{} away", row.state),
            _ => row.state.to_string(),
        };
        table.row([
            Cell::from(row.name.as_str()),
            row.array.as_str().into(),
            format!("{} GiB", row.size_gib).into(),
            row.vm.as_ref().map_or("-", |vm| vm.as_str()).into(),
            row.host.as_ref().map_or("-", |host| host.as_str()).into(),
            Cell::toned(tone, state),
            when::age(row.since_us, now).into(),
            row.problem.clone().unwrap_or_default().into(),
        ]);
    }
    table.render(look)
}

/// Recoveries.
pub fn recoveries(rows: &[RecoveryRow], now: Time, look: &Look) -> String {
    if rows.is_empty() {
        return "There has been no recovery.\n".to_owned();
    }
    let columns = [
        Column::new("ID").right(),
        Column::new("HOST"),
        Column::new("STATE"),
        Column::new("FAILED"),
        Column::new("VMS UP").right(),
        Column::new("NO PLACE").right().goes(2),
        Column::new("TOOK").right(),
        Column::new("FENCE").goes(1).cut(),
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let tone = match row.state {
            RecoveryState::Complete | RecoveryState::Withdrawn => Tone::Good,
            RecoveryState::Incomplete => Tone::Bad,
            RecoveryState::Fencing | RecoveryState::Recovering => Tone::Busy,
        };
        let took = row.ended_us.map_or_else(
            || format!("{} so far", when::age(row.declared_us, now)),
            |ended| when::span(ended.since(row.declared_us)),
        );
        let unplaced = if row.unplaced > 0 { row.unplaced.to_string() } else { String::new() };
        let fence = fence_words(&row.fence).or_else(|| row.fence.waits_for.as_ref().map(|it| format!("waits: {it}")));
        table.row([
            Cell::from(row.id.to_string()),
            row.host.as_str().into(),
            Cell::toned(tone, row.state.to_string()),
            when::ago(row.declared_us, now, look).into(),
            format!("{}/{}", row.ready, row.total).into(),
            unplaced.into(),
            took.into(),
            fence.unwrap_or_default().into(),
        ]);
    }
    table.render(look)
}
