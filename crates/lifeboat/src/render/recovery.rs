//! A recovery: how it stands, class by class, and VM by VM.

use lifeboat_client::api::{
    ClassProgress, FenceProgress, RecoveryRow, RecoveryState, RecoveryView, RecoveryVmState, Rto,
};
use lifeboat_model::Time;

use super::{
    Look, count,
    paint::Tone,
    table::{Cell, Column, Table},
    when,
    wrap::{hanging, width},
};

/// Columns of a progress bar.
const BAR: u64 = 20;

/// `power off confirmed by bmc-h2 after 2.1 s`; none while it is not sure that the host is off.
pub fn fence_words(fence: &FenceProgress) -> Option<String> {
    let by = fence.device.as_ref().map(|device| format!(" by {device}")).unwrap_or_default();
    let how = match fence.method.as_deref()? {
        "power" => format!("power off confirmed{by}"),
        "storage" => "its volumes cut at the storage".to_owned(),
        "lease" => "its lease run out, a guard beside its agent".to_owned(),
        "operator" => "off by an operator's word".to_owned(),
        other => format!("{other}{by}"),
    };
    Some(match fence.after_s {
        Some(after) => format!("{how} after {after}"),
        None => how,
    })
}

/// `███████████████░░░░`
fn bar(ready: u64, total: u64) -> String {
    let done = (ready.min(total) * BAR).checked_div(total).unwrap_or(BAR);
    let text = |times: u64, piece: &str| piece.repeat(usize::try_from(times).unwrap_or(0));
    text(done, "█") + &text(BAR - done, "░")
}

/// The recovery as a block: one line, a line a class, and what it waits for.
pub fn block(row: &RecoveryRow, now: Time, look: &Look) -> String {
    let title = format!("Recovery of {}", row.host);
    let done = format!("   {} of {} up", row.ready, count(row.total, "VM"));
    let bar = format!("   {}", bar(row.ready, row.total));
    let end = ending(row, now, look).map(|end| format!("  {end}")).unwrap_or_default();
    // Where it does not fit, the bar goes: the numbers say the same.
    let fits = look.width.is_none_or(|columns| 1 + width(&title) + width(&done) + width(&bar) + width(&end) <= columns);
    let mut out = format!(" {}{done}{}{end}\n", look.paint(Tone::Strong, &title), if fits { bar.as_str() } else { "" });
    out.push_str(&classes(&row.classes, look));
    if row.fence.waits_for.is_some() || !row.fence.mends.is_empty() {
        out.push_str(&waiting(row, now, look));
    }
    out
}

/// When it ends, or ended.
fn ending(row: &RecoveryRow, now: Time, look: &Look) -> Option<String> {
    if let Some(ended) = row.ended_us {
        let took = when::span(ended.since(row.declared_us));
        return Some(format!("{} after {took} ({})", row.state, when::clock(ended, now, look)));
    }
    match row.state {
        RecoveryState::Fencing => Some("making sure that it is off".to_owned()),
        _ => row.expected_us.map(|at| format!("last one expected {}", when::ahead(at, now, look))),
    }
}

fn classes(classes: &[ClassProgress], look: &Look) -> String {
    let [name, done, rto, state, doing] = [""; 5].map(Column::new);
    let columns = [name, done, rto, state, doing.cut()];
    let mut table = Table::new(columns).indent(3).without_heading();
    for class in classes {
        let tone = match class.rto {
            Rto::Met => Tone::Good,
            Rto::OnTrack => Tone::Plain,
            Rto::AtRisk => Tone::Busy,
            Rto::Missed => Tone::Bad,
        };
        let mut doing = class.doing.clone();
        if let Some(ready) = class.ready_s {
            doing.insert(0, format!("ready after {}", when::span(ready)));
        }
        if class.unplaced > 0 {
            doing.push(format!("{} without a place", class.unplaced));
        }
        table.row([
            Cell::from(class.class.as_str()),
            format!("{}/{}", class.ready, class.total).into(),
            format!("RTO {}", class.rto_s).into(),
            Cell::toned(tone, class.rto.to_string()),
            Cell::toned(if class.unplaced > 0 { Tone::Bad } else { Tone::Plain }, doing.join(", ")),
        ]);
    }
    table.render(look)
}

fn waiting(row: &RecoveryRow, now: Time, look: &Look) -> String {
    let mut out = String::from("\n");
    if let Some(waits_for) = &row.fence.waits_for {
        let tries =
            if row.fence.attempts > 1 { format!("; {} attempts so far", row.fence.attempts) } else { String::new() };
        out.push_str(&look.paint(Tone::Bad, &hanging("   It waits: ", &format!("{waits_for}{tries}"), look)));
        out.push_str(&hanging(
            "             ",
            "Nothing of it is started elsewhere before that: a VM must never run twice. It goes on by itself.",
            look,
        ));
    }
    if !row.fence.rungs.is_empty() {
        out.push_str("   Its ladder:\n");
        out.push_str(&super::fence::rungs(&row.fence.rungs, now, look));
    }
    for (at, mend) in row.fence.mends.iter().enumerate() {
        out.push_str(&hanging(if at == 0 { "   You can:  - " } else { "             - " }, mend, look));
    }
    out
}

/// The recovery with all its VMs: what `lifeboat get recoveries ID` shows, and the end of a watch.
pub fn whole(view: &RecoveryView, look: &Look) -> String {
    let row = &view.row;
    let mut out = format!(
        " {} was declared failed {}, verdict {}",
        row.host,
        when::ago(row.declared_us, view.now_us, look),
        row.verdict
    );
    if let Some(words) = fence_words(&row.fence) {
        out.push_str(&format!("; {words}"));
    }
    out.push_str("\n\n");
    out.push_str(&block(row, view.now_us, look));
    if row.fence.rungs.len() > 1 && row.fence.waits_for.is_none() {
        out.push_str("\n   Its ladder:\n");
        out.push_str(&super::fence::rungs(&row.fence.rungs, view.now_us, look));
    }
    if !view.vms.is_empty() {
        out.push('\n');
        out.push_str(&vms(view, look));
    }
    out
}

fn vms(view: &RecoveryView, look: &Look) -> String {
    let columns = [
        Column::new("VM"),
        Column::new("CLASS").goes(2),
        Column::new("FROM").goes(3),
        Column::new("TO"),
        Column::new("STATE"),
        Column::new("READY AFTER").right().goes(1),
        Column::new("DETAIL").cut(),
    ];
    let mut table = Table::new(columns).indent(1);
    for vm in &view.vms {
        table.row([
            Cell::from(vm.vm.as_str()),
            vm.class.as_str().into(),
            vm.from.as_str().into(),
            vm.to.as_ref().map_or("-", |host| host.as_str()).into(),
            Cell::toned(tone(vm.state), vm.state.to_string()),
            vm.ready_s.map(|span| span.to_string()).unwrap_or_default().into(),
            vm.detail.clone().unwrap_or_default().into(),
        ]);
    }
    table.render(look)
}

fn tone(state: RecoveryVmState) -> Tone {
    match state {
        RecoveryVmState::Ready => Tone::Good,
        RecoveryVmState::Unplaced => Tone::Bad,
        RecoveryVmState::Released => Tone::Faint,
        _ => Tone::Busy,
    }
}
