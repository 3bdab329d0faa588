//! The list of checks of VMs.

use lifeboat_client::api::{CheckRow, CheckState};
use lifeboat_model::{Time, health::CheckStatus, spec::CheckFrom};

use super::{
    Look,
    paint::Tone,
    table::{Cell, Column, Table},
    when,
};

/// Checks, one row for each VM of each.
pub fn list(rows: &[CheckRow], now: Time, look: &Look) -> String {
    if rows.is_empty() {
        return "No check is declared, or none has a VM: lifeboat apply FILE\n".to_owned();
    }
    let columns = [
        Column::new("CHECK"),
        Column::new("VM"),
        Column::new("KIND").goes(2),
        Column::new("FROM").goes(1),
        Column::new("STATE"),
        Column::new("SINCE").right().goes(3),
        Column::new("RESTARTS").right().goes(4),
        Column::new("LAST SEEN").cut(),
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let warns = row.last.as_ref().is_some_and(|last| last.status == CheckStatus::Warning);
        let tone = match row.state {
            CheckState::Ok if warns => Tone::Busy,
            CheckState::Ok => Tone::Good,
            CheckState::Pending => Tone::Faint,
            CheckState::SoftFailure | CheckState::Unknown => Tone::Busy,
            CheckState::HardFailure | CheckState::Held => Tone::Bad,
        };
        let state = match row.state {
            CheckState::SoftFailure => format!("{} {}/{}", row.state, row.failures, row.failures_allowed),
            CheckState::Ok if warns => "warning".to_owned(),
            state => state.to_string(),
        };
        let from = if row.from == CheckFrom::Agent { "agent" } else { "controller" };
        table.row([
            Cell::from(row.name.as_str()),
            row.vm.as_str().into(),
            row.kind.as_str().into(),
            from.into(),
            Cell::toned(tone, state),
            when::age(row.since_us, now).into(),
            if row.restarts > 0 { format!("{}/{}", row.restarts, row.restarts_allowed) } else { String::new() }.into(),
            seen(row, now).into(),
        ]);
    }
    table.render(look)
}

/// What was seen last, with what was measured; why nothing is looked at now.
fn seen(row: &CheckRow, now: Time) -> String {
    let mut parts = Vec::new();
    if let Some(note) = &row.note {
        parts.push(note.clone());
    }
    if let Some(last) = &row.last {
        let age = row.looked_us.map(|at| format!(" ({} ago)", when::age(at, now))).unwrap_or_default();
        let values: Vec<String> = last.performance.iter().take(3).map(ToString::to_string).collect();
        let values = if values.is_empty() { String::new() } else { format!(" [{}]", values.join(" ")) };
        parts.push(format!("{}{values}{age}", last.output));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use lifeboat_model::{
        CheckName, VmName,
        health::{CheckReport, Performance},
    };

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    fn row(vm: &str, state: CheckState, status: CheckStatus, output: &str) -> CheckRow {
        CheckRow {
            name: CheckName::new("web").expect("a name"),
            vm: VmName::new(vm).expect("a name"),
            kind: "http".to_owned(),
            from: CheckFrom::Controller,
            state,
            since_us: at(9_000),
            failures: 0,
            failures_allowed: 3,
            restarts: 0,
            restarts_allowed: 3,
            looked_us: Some(at(9_990)),
            last: Some(CheckReport::new(status, output)),
            note: None,
        }
    }

    #[test]
    fn each_state_of_a_check_is_told_in_words() {
        let measured = Performance {
            label: "time".to_owned(),
            value: "0.004".to_owned(),
            unit: "s".to_owned(),
            warning: String::new(),
            critical: String::new(),
        };
        let mut well = row("web-1", CheckState::Ok, CheckStatus::Ok, "HTTP OK");
        well.last.as_mut().expect("a report").performance.push(measured);
        let warns = row("web-2", CheckState::Ok, CheckStatus::Warning, "slow");
        let soft =
            CheckRow { failures: 2, ..row("web-3", CheckState::SoftFailure, CheckStatus::Critical, "no answer") };
        let held = CheckRow {
            restarts: 3,
            note: Some("it was restarted 3 times within an hour and fails again".to_owned()),
            ..row("web-4", CheckState::Held, CheckStatus::Critical, "no answer")
        };
        let unknown = row("web-5", CheckState::Unknown, CheckStatus::Unknown, "there is no plugin check_htp");
        let pending = CheckRow {
            looked_us: None,
            last: None,
            note: Some("the VM is not up".to_owned()),
            from: CheckFrom::Agent,
            ..row("web-6", CheckState::Pending, CheckStatus::Ok, "")
        };
        let look = Look { width: None, colour: false, zone: TimeZone::UTC };
        insta::assert_snapshot!(list(&[well, warns, soft, held, unknown, pending], at(10_000), &look));
    }
}
