//! The ladder of a host: what each rung has said in a recovery, and what each would do.

use lifeboat_client::api::{FenceTest, RungRow, RungState};
use lifeboat_model::Time;

use super::{
    Look,
    paint::Tone,
    table::{Cell, Column, Table},
    when,
    wrap::hanging,
};

/// What `lifeboat fence test` found.
pub fn test(test: &FenceTest, look: &Look) -> String {
    let mut out = format!(" Fence test of {}: nothing was cut.\n", test.host);
    if !test.devices.is_empty() {
        let columns = ["DEVICE", "KIND", "POWER"].map(Column::new);
        let [name, kind, power] = columns;
        let mut table =
            Table::new([name, kind, power, Column::new("TOOK").right(), Column::new("PROBLEM").cut()]).indent(1);
        for device in &test.devices {
            let power = match device.on {
                Some(true) => "on",
                Some(false) => "off",
                None => "no answer",
            };
            let tone = if device.problem.is_some() { Tone::Bad } else { Tone::Good };
            table.row([
                Cell::from(device.name.as_str()),
                device.kind.clone().into(),
                Cell::toned(tone, power),
                device.took_s.to_string().into(),
                device.problem.clone().unwrap_or_default().into(),
            ]);
        }
        out.push('\n');
        out.push_str(&table.render(look));
    }
    out.push_str(&format!("\n If {} failed now:\n", test.host));
    for (at, rung) in test.rungs.iter().enumerate() {
        let (tone, word) = if rung.works { (Tone::Good, "would work") } else { (Tone::Bad, "would not") };
        let head = format!(" {:>2}  {:<24} ", at + 1, rung.rung);
        out.push_str(&hanging(&head, &format!("{} - {}", look.paint(tone, word), rung.said), look));
    }
    let head = format!(" {:>2}  {:<24} ", test.rungs.len() + 1, "operator's word");
    out.push_str(&hanging(&head, &format!("always possible: lifeboat recover {} --confirm-off", test.host), look));
    if !test.works() {
        let text = format!("If {} failed now, its VMs would wait for an operator's word.", test.host);
        out.push_str(&look.paint(Tone::Bad, &hanging(" ⚠ ", &text, look)));
    }
    out
}

/// What each rung of a recovery has said, a line a rung.
pub fn rungs(rungs: &[RungRow], now: Time, look: &Look) -> String {
    let columns =
        [Column::new(""), Column::new(""), Column::new("").goes(1), Column::new("").goes(2), Column::new("").cut()];
    let mut table = Table::new(columns).indent(13).without_heading();
    for rung in rungs {
        let tone = match rung.state {
            RungState::Proven => Tone::Good,
            RungState::Trying | RungState::Waiting => Tone::Busy,
            RungState::Failed | RungState::Unavailable => Tone::Bad,
        };
        let tries = if rung.tries > 1 { format!("{} tries", rung.tries) } else { String::new() };
        table.row([
            Cell::from(rung.rung.as_str()),
            Cell::toned(tone, rung.state.to_string()),
            tries.into(),
            rung.at_us.map(|at| when::clock(at, now, look)).unwrap_or_default().into(),
            rung.said.clone().unwrap_or_default().into(),
        ]);
    }
    table.render(look)
}
