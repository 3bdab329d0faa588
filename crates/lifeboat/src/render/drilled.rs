//! Drills that the controller keeps, for a person.

use lifeboat_client::api::DrillView;
use lifeboat_model::{
    Time,
    drill::{Part, Report, Slowest, slower},
};

use super::{Look, count, when, wrap::hanging};

/// Things that changed that are told, at most.
const TOLD: usize = 5;

/// The line of the status: what may fail, and what would not come back.
pub fn line(report: &Report, now: Time, look: &Look) -> String {
    let parts: Vec<String> = report.parts.iter().map(part).collect();
    let slowest = report.parts.iter().filter(|part| part.by == "host").flat_map(|part| &part.slowest);
    let slowest = slowest.max_by(|a, b| a.share().total_cmp(&b.share())).map(|it| {
        format!("; nearest to its objective is {}: {} of {} ({})", it.class, when::span(it.ready_s), it.rto_s, it.name)
    });
    let at = when::clock(report.taken_us, now, look);
    format!("{at}: {}{}", parts.join("; "), slowest.unwrap_or_default())
}

fn part(part: &Part) -> String {
    let by = &part.by;
    let Some(worst) = part.bad.first() else { return format!("any one {by} may fail") };
    let named = if by == "host" { worst.name.clone() } else { format!("{by} {}", worst.name) };
    if worst.out > 0 {
        let others = match part.incomplete {
            1 => String::new(),
            more => format!(", and {} would too", count(more - 1, &format!("other {by}"))),
        };
        return format!("{named} would leave out {}{others}", worst.who());
    }
    let late: Vec<String> =
        worst.late.iter().map(|late| format!("{} {} of {}", late.class, late.ready_s, late.rto_s)).collect();
    format!("any one {by} may fail, but {named} would make late: {}", late.join(", "))
}

/// What changed since an earlier drill; nothing where there was none.
pub fn since(view: &DrillView, look: &Look) -> String {
    let (Some(earlier), Some(last)) = (&view.earlier, &view.last) else { return String::new() };
    let mut said: Vec<String> = view.worse.iter().take(TOLD).map(ToString::to_string).collect();
    if view.worse.len() > TOLD {
        said.push(format!("and {} more", view.worse.len() - TOLD));
    }
    let healed = earlier
        .parts
        .iter()
        .filter(|old| !old.any_one_may_fail())
        .filter(|old| last.parts.iter().any(|part| part.by == old.by && part.any_one_may_fail()));
    said.extend(healed.map(|part| format!("any one {} may fail again", part.by)));
    said.extend(slower(earlier, last).into_iter().take(TOLD).map(|(old, new)| change(old, new)));
    if said.is_empty() {
        said.push("nothing of note".to_owned());
    }
    let at = when::clock(earlier.taken_us, last.taken_us, look);
    let text = format!("since {at}{}: {}.", fleet(earlier, last), said.join("; "));
    hanging(" ", &text, look)
}

fn change(old: &Slowest, new: &Slowest) -> String {
    let (sign, by) = if new.ready_s > old.ready_s {
        ("+", new.ready_s.micros() - old.ready_s.micros())
    } else {
        ("-", old.ready_s.micros() - new.ready_s.micros())
    };
    format!("{} {sign}{} ({})", new.class, when::span(lifeboat_model::Seconds::from_micros(by)), new.name)
}

/// ` (12 VMs more, 1 host fewer)`
fn fleet(earlier: &Report, last: &Report) -> String {
    let of = |before: u64, now: u64, what: &str| match now.cmp(&before) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(format!("{} more", count(now - before, what))),
        std::cmp::Ordering::Less => Some(format!("{} fewer", count(before - now, what))),
    };
    let said: Vec<String> =
        [of(earlier.vms, last.vms, "VM"), of(earlier.hosts, last.hosts, "host")].into_iter().flatten().collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}

#[cfg(test)]
pub mod tests {
    use jiff::tz::TimeZone;
    use lifeboat_model::{Seconds, drill::Case};

    use super::*;

    /// 2026-11-23 12:04:29 UTC.
    const NOW: u64 = 1_795_435_469;

    fn at(seconds_ago: u64) -> Time {
        Time::from_micros((NOW - seconds_ago) * 1_000_000)
    }

    fn look() -> Look {
        Look { width: None, colour: false, zone: TimeZone::UTC }
    }

    /// A drill of this morning, with hosts whose failure would leave so many VMs out.
    pub fn report(bad: &[(&str, u64)]) -> Report {
        let case = |(name, out): &(&str, u64)| Case {
            name: (*name).to_owned(),
            lost: 18,
            out: *out,
            named: (1..=*out).map(|at| format!("report-{at}").parse().expect("a name")).collect(),
            why: Some("no host has room: h4 comes nearest, short of 18432 memory_mib".to_owned()),
            late: Vec::new(),
        };
        let slow = |class: &str, ready_s, rto_s| Slowest {
            class: class.parse().expect("a name"),
            ready_s: Seconds::new(ready_s),
            rto_s: Seconds::new(rto_s),
            name: "h6".to_owned(),
        };
        let part = Part {
            by: "host".to_owned(),
            cases: 6,
            incomplete: bad.len() as u64,
            bad: bad.iter().map(case).collect(),
            bad_count: bad.len() as u64,
            slowest: vec![slow("gold", 40, 600), slow("silver", 190, 1200)],
        };
        Report { taken_us: at(7 * 3600), hosts: 6, vms: 215, parts: vec![part] }
    }

    #[test]
    fn a_line_says_what_may_fail_and_what_would_not_come_back() {
        let said: Vec<String> =
            [&[][..], &[("h3", 2)], &[("h3", 2), ("h5", 1)]].map(|bad| line(&report(bad), at(0), &look())).to_vec();
        insta::assert_snapshot!("drill_lines", said.join("\n"));
    }

    #[test]
    fn a_drill_tells_what_changed_since_an_earlier_one() {
        let earlier = Report { taken_us: at(3 * 86_400), vms: 203, ..report(&[]) };
        let mut last = report(&[("h3", 2)]);
        last.parts[0].slowest[1].ready_s = Seconds::new(230);
        let worse = lifeboat_model::drill::worse(&earlier, &last);
        let worse = DrillView { last: Some(last.clone()), earlier: Some(earlier.clone()), worse };
        let better = DrillView { last: Some(earlier.clone()), earlier: Some(last), worse: Vec::new() };
        let same =
            DrillView { last: Some(report(&[])), earlier: Some(Report { vms: 215, ..earlier }), worse: Vec::new() };
        let none = DrillView::default();
        insta::assert_snapshot!(
            "drills_compared",
            [worse, better, same, none].map(|view| since(&view, &look())).concat()
        );
    }
}
