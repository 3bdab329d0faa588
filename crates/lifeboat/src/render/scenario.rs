//! How a scenario went: a timeline, or a line of a table.

use lifeboat_brain::fleet::records::Severity;
use lifeboat_model::Seconds;
use lifeboat_sim::scenario::Report;

use super::{
    Look, count, counted,
    paint::Tone,
    table::{Cell, Column, Table},
    wrap::hanging,
};
use crate::commands::sim::Ran;

/// A scenario as a timeline, with what does not hold at its end.
pub fn timeline(file: &str, report: &Report, look: &Look) -> String {
    let mut out = hanging(" ", &look.paint(Tone::Strong, &report.about), look);
    out += &look.paint(Tone::Faint, &format!(" {file} · seed {}", report.seed));
    out += "\n\n";
    for entry in &report.timeline {
        out += &line(entry.t, entry.severity, &entry.text, look);
    }
    out += "\n";
    out += &places(report, look);
    out += &verdict(report, look);
    out
}

/// `   13.204 ⚠ h1 failed: …`: seconds since the script began, what it is, and what happened.
pub fn line(t: f64, severity: Option<Severity>, text: &str, look: &Look) -> String {
    let time = format!(" {t:>10.3} ");
    // A command of the script, a fact of the world, or what Lifeboat says.
    let (mark, tone, text) = match (severity, text.strip_prefix("> ")) {
        (None, Some(command)) => ("▶", Tone::Strong, command),
        (None, None) => ("·", Tone::Faint, text),
        (Some(Severity::Info), _) => (" ", Tone::Plain, text),
        (Some(Severity::Warning), _) => ("⚠", Tone::Busy, text),
        (Some(Severity::Critical), _) => ("‼", Tone::Bad, text),
    };
    let plain = Look { colour: false, ..look.clone() };
    let text = hanging(&format!("{time}{mark} "), text, &plain);
    let body = text.strip_prefix(&time).unwrap_or(&text).trim_end_matches('\n');
    let painted: Vec<String> = body.lines().map(|line| look.paint(tone, line)).collect();
    format!("{}{}\n", look.paint(Tone::Faint, &time), painted.join("\n"))
}

/// Where the VMs are at the end, a line a host.
fn places(report: &Report, look: &Look) -> String {
    let mut hosts: std::collections::BTreeMap<String, Vec<&str>> = std::collections::BTreeMap::new();
    for (vm, at) in &report.hosts {
        let at: Vec<String> = at.iter().map(ToString::to_string).collect();
        let key = if at.is_empty() { "nowhere".to_owned() } else { at.join(" and ") };
        hosts.entry(key).or_default().push(vm.as_str());
    }
    let mut table = Table::new([Column::new(""), Column::new("").cut()]).indent(1).without_heading();
    for (host, vms) in hosts {
        const MOST: usize = 12;
        let mut text = vms[..vms.len().min(MOST)].join(" ");
        if vms.len() > MOST {
            text += &format!(" and {} more", vms.len() - MOST);
        }
        table.row([Cell::from(host), Cell::from(text)]);
    }
    table.render(look) + "\n"
}

fn verdict(report: &Report, look: &Look) -> String {
    let after = Seconds::new(report.lasted_s.micros() / 1_000_000);
    if report.is_good() {
        let text = format!("HOLDS   all expectations and all promises, over {after}");
        return format!(" {}\n", look.paint(Tone::Good, &text));
    }
    let mut out = String::new();
    for problem in problems(report) {
        out += &hanging(" ✗ ", &problem, look);
    }
    let mut what = Vec::new();
    if !report.unmet.is_empty() {
        what.push(format!("{} not hold", does(report.unmet.len())));
    }
    if report.broken.is_some() {
        what.push("a promise is broken".to_owned());
    }
    out + &format!(" {}   {}, after {after}\n", look.paint(Tone::Bad, "FAILS"), what.join(" and "))
}

fn does(number: usize) -> String {
    counted(number, "expectation does", "expectations do")
}

/// What does not hold, a sentence each.
fn problems(report: &Report) -> Vec<String> {
    report.broken.iter().map(ToString::to_string).chain(report.unmet.iter().cloned()).collect()
}

/// Several scenarios, a line each, and below them what does not hold.
pub fn table(ran: &[Ran], look: &Look) -> String {
    let columns =
        [Column::new(""), Column::new("SCENARIO"), Column::new("LASTED").right().goes(2), Column::new("SHOWS").cut()];
    let mut table = Table::new(columns).indent(1);
    for it in ran {
        let (tone, word) = if it.report.is_good() { (Tone::Good, "holds") } else { (Tone::Bad, "FAILS") };
        let lasted = Seconds::new(it.report.lasted_s.micros() / 1_000_000).to_string();
        table.row([Cell::toned(tone, word), it.file.as_str().into(), lasted.into(), it.report.about.as_str().into()]);
    }
    let mut out = table.render(look);
    let bad: Vec<&Ran> = ran.iter().filter(|it| !it.report.is_good()).collect();
    for it in &bad {
        out += &format!("\n {}\n", look.paint(Tone::Bad, &it.file));
        for problem in problems(&it.report) {
            out += &hanging("   ✗ ", &problem, look);
        }
        out += &format!("   → lifeboat sim run {} --seed {}\n", it.file, it.report.seed);
    }
    let all = count(ran.len() as u64, "scenario");
    out + &match bad.len() {
        0 if ran.len() == 1 => format!("\n {all} holds\n"),
        0 => format!("\n {all}, all hold\n"),
        failed => {
            format!("\n {all}, {} not hold\n", if failed == 1 { "1 does".to_owned() } else { format!("{failed} do") })
        }
    }
}
