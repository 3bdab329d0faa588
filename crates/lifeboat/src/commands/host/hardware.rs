//! What a host's sources say of its hardware, as text.

use lifeboat_client::api::HardwareView;

use crate::{
    context,
    render::{
        Look,
        paint::Tone,
        table::{Cell, Column, Table},
        when,
        wrap::hanging,
    },
};

/// The view.
pub fn text(view: &HardwareView, look: &Look) -> String {
    let now = context::now();
    let mut text = match (&view.suspect, view.since_us) {
        (Some(why), since) => {
            let since = since.map(|at| format!(" since {}", when::ago(at, now, look))).unwrap_or_default();
            let said = format!("The hardware of {} is suspect{since}: {why}. It takes no new VMs.", view.host);
            hanging(" ⚠ ", &said, look) + &format!("   → when it is mended: lifeboat maintenance {} off\n", view.host)
        }
        (None, _) => format!(" Nothing is known against the hardware of {}.\n", view.host),
    };
    text.push('\n');
    if view.sources.is_empty() {
        text.push_str(" Its agent has told nothing yet.\n");
        return text;
    }
    let columns = [
        Column::new("SOURCE"),
        Column::new("SAYS"),
        Column::new("CORRECTED").right(),
        Column::new("UNCORRECTED").right(),
        Column::new("AGE").right().goes(2),
        Column::new("DETAIL").goes(1).cut(),
    ];
    let mut table = Table::new(columns);
    for seen in &view.sources {
        let reading = &seen.reading;
        let (says, tone) = match (&reading.absent, reading.faults.is_empty()) {
            (Some(_), _) => ("absent", Tone::Faint),
            (None, true) => ("no fault", Tone::Plain),
            (None, false) => ("faults", Tone::Bad),
        };
        let count = |count: u64| if reading.absent.is_some() { "-".to_owned() } else { count.to_string() };
        let detail = match &reading.absent {
            Some(why) => why.clone(),
            None if reading.faults.is_empty() => reading.detail.clone(),
            None => reading.faults.join("; "),
        };
        table.row([
            Cell::from(reading.source.to_string()),
            Cell::toned(tone, says),
            count(reading.corrected).into(),
            count(reading.uncorrected).into(),
            when::age(seen.at_us, now).into(),
            detail.into(),
        ]);
    }
    text + &table.render(look)
}
