//! The one screen for three in the morning: the important thing first, every problem with its mend.

use lifeboat_client::api::{
    HostCondition, HostCount, Overall, RecoveryRow, RecoveryState, StatusView, VmPhase, Warning,
};

use super::{
    Look, count, counted, drilled,
    paint::Tone,
    recovery::{block, fence_words},
    when,
    wrap::hanging,
};

/// The whole screen.
pub fn screen(view: &StatusView, look: &Look) -> String {
    let mut out = headline(view, look);
    out.push('\n');
    for recovery in &view.recoveries {
        out.push_str(&block(recovery, view.now_us, look));
        out.push('\n');
    }
    out.push_str(&hanging(" Hosts   ", &hosts(view, look), look));
    out.push_str(&hanging(" VMs     ", &vms(view), look));
    if let Some(drill) = &view.drill {
        out.push_str(&hanging(" Drill   ", &drilled::line(drill, view.now_us, look), look));
    }
    for recovery in &view.recent {
        out.push_str(&hanging(" Past    ", &past(recovery, view, look), look));
    }
    for warning in &view.warnings {
        out.push_str(&warn(warning, view, look));
    }
    out
}

/// The one line that says how it is.
pub fn headline(view: &StatusView, look: &Look) -> String {
    let (word, tone) = match view.overall {
        Overall::Calm => ("ALL WELL", Tone::Good),
        Overall::Attention => ("ATTENTION", Tone::Busy),
        Overall::Recovering => ("RECOVERING", Tone::Busy),
        Overall::Stuck => ("NEEDS YOU", Tone::Bad),
    };
    let text = match view.recoveries.first() {
        None => quiet(view),
        Some(first) => failure(first, view, look),
    };
    let line = hanging(&format!(" {word:12} "), &text, look);
    // The word is painted afterwards: colours have no width.
    line.replacen(word, &look.paint(tone, word), 1)
}

fn failure(first: &RecoveryRow, view: &StatusView, look: &Look) -> String {
    let mut text = format!("{} failed {}", first.host, when::ago(first.declared_us, view.now_us, look));
    match fence_words(&first.fence) {
        Some(words) => text.push_str(&format!("; {words}")),
        None if first.fence.waits_for.is_some() => {
            text.push_str(&format!("; {} until it is surely off", count_wait(first.total)));
        }
        None => text.push_str("; making sure that it is off"),
    }
    match view.recoveries.len() {
        1 => {}
        more => text.push_str(&format!("; and {} more failed", count(more as u64 - 1, "host"))),
    }
    text
}

fn count_wait(vms: u64) -> String {
    counted(vms, "VM waits", "VMs wait")
}

fn quiet(view: &StatusView) -> String {
    let hosts: u64 = view.hosts.iter().map(|it| it.count).sum();
    let vms: u64 = view.vms.iter().map(|it| it.count).sum();
    let of = |phase| view.vms.iter().filter(|it| it.phase == phase).map(|it| it.count).sum::<u64>();
    if hosts == 0 {
        return "nothing is declared yet: lifeboat apply FILE".to_owned();
    }
    let up = |it: &&HostCount| matches!(it.condition, HostCondition::Up | HostCondition::Maintenance);
    let up: u64 = view.hosts.iter().filter(up).map(|it| it.count).sum();
    let unplaced = of(VmPhase::Unplaced);
    if unplaced > 0 {
        let has = if unplaced == 1 { "VM has no place" } else { "VMs have no place" };
        return format!("{unplaced} {has}; {} of {} running", of(VmPhase::Running), count(vms, "VM"));
    }
    if up == 0 {
        return format!(
            "none of {} is up; {} of {} running",
            count(hosts, "host"),
            of(VmPhase::Running),
            count(vms, "VM")
        );
    }
    format!("{up} of {} up, {} of {} running", count(hosts, "host"), of(VmPhase::Running), count(vms, "VM"))
}

fn hosts(view: &StatusView, look: &Look) -> String {
    if view.hosts.is_empty() {
        return "none declared".to_owned();
    }
    let one = |it: &HostCount| {
        let words = match it.condition {
            HostCondition::Up => "up",
            HostCondition::Maintenance => "in maintenance",
            HostCondition::HeldOut => "held out",
            HostCondition::Suspicious => "with bad hardware",
            HostCondition::Leaving => "leaving",
            HostCondition::Suspect => "suspect",
            HostCondition::Failed => "failed",
            HostCondition::Off => "off",
            HostCondition::New => "not joined yet",
        };
        let named = it.named.iter().take(5).map(|host| {
            let note = host.note.as_ref().map(|note| format!(", \"{note}\"")).unwrap_or_default();
            let until = host.until_us.map(|at| format!(" until {}", when::clock(at, view.now_us, look)));
            format!("{}{note}, {}{}", host.host, when::age(host.since_us, view.now_us), until.unwrap_or_default())
        });
        let named: Vec<String> = named.collect();
        let rest = it.count.saturating_sub(named.len() as u64);
        let more = if rest > 0 { format!("; {rest} more") } else { String::new() };
        match named.is_empty() {
            true => format!("{} {words}", it.count),
            false => format!("{} {words} ({}{more})", it.count, named.join("; ")),
        }
    };
    view.hosts.iter().map(one).collect::<Vec<_>>().join(" · ")
}

fn vms(view: &StatusView) -> String {
    let of =
        |phases: &[VmPhase]| view.vms.iter().filter(|it| phases.contains(&it.phase)).map(|it| it.count).sum::<u64>();
    let on_the_way = [VmPhase::Starting, VmPhase::Configuring, VmPhase::Remapping, VmPhase::Waiting];
    let parts = [
        (of(&[VmPhase::Running]), "running"),
        (of(&on_the_way), "on their way"),
        (of(&[VmPhase::Lost]), "lost with their host, waiting"),
        (of(&[VmPhase::Unplaced]), "without a place"),
        (of(&[VmPhase::Paused]), "paused"),
        (of(&[VmPhase::Stopping]), "stopping"),
        (of(&[VmPhase::Stopped]), "stopped by their owners"),
        (of(&[VmPhase::Disabled]), "disabled"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    if parts.is_empty() { "none declared".to_owned() } else { parts.join(" · ") }
}

fn past(recovery: &RecoveryRow, view: &StatusView, look: &Look) -> String {
    let ended = recovery.ended_us.unwrap_or(recovery.declared_us);
    let took = when::span(ended.since(recovery.declared_us));
    let (host, when) = (&recovery.host, when::ago(recovery.declared_us, view.now_us, look));
    match recovery.state {
        RecoveryState::Withdrawn => format!("{host} was lost {when}, and came back after {took} with its VMs"),
        _ if recovery.ready == recovery.total => {
            let all =
                if recovery.total == 1 { "its one VM".to_owned() } else { format!("all its {} VMs", recovery.total) };
            format!("{host} failed {when}: {all} up after {took}")
        }
        _ => format!(
            "{host} failed {when}: {} of {} up after {took}, {} without a place (lifeboat get recoveries {})",
            recovery.ready,
            count(recovery.total, "VM"),
            recovery.unplaced,
            recovery.id
        ),
    }
}

fn warn(warning: &Warning, view: &StatusView, look: &Look) -> String {
    let since = |at| format!(" (since {}, {})", when::clock(at, view.now_us, look), when::age(at, view.now_us));
    let since = warning.since_us.map(since).unwrap_or_default();
    let mend = warning.mend.as_ref().map(|mend| format!("    → {mend}")).unwrap_or_default();
    let text = hanging(" ⚠ ", &format!("{}{since}", warning.text), look);
    let text = match look.width {
        // On its own line where a terminal would break it.
        Some(columns) if !mend.is_empty() && text.trim_end().chars().count() + mend.chars().count() > columns => {
            text + &hanging("     → ", warning.mend.as_deref().unwrap_or_default(), look)
        }
        _ => format!("{}{mend}\n", text.trim_end()),
    };
    text.replacen('⚠', &look.paint(Tone::Busy, "⚠"), 1)
}
