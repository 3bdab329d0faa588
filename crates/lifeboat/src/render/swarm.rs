//! How a swarm went.

use lifeboat_model::Seconds;
use lifeboat_sim::swarm::Outcome;

use super::{Look, count, paint::Tone, scenario, wrap::hanging};
use crate::commands::sim::{Failed, Summary};

/// `12,345,678`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn counted(number: u64, one: &str) -> String {
    let word = count(number, one);
    match word.split_once(' ') {
        Some((_, unit)) => format!("{} {unit}", grouped(number)),
        None => word,
    }
}

/// A swarm in a few lines, and each seed that failed with the line that runs it again.
pub fn summary(summary: &Summary, look: &Look) -> String {
    let tally = &summary.tally;
    let mut out = format!(
        " {} of profile {}, {} of failures each: {} in {:.1} s on {}\n\n",
        counted(tally.seeds, "seed"),
        summary.profile,
        counted(summary.minutes, "minute"),
        counted(tally.events, "event"),
        summary.took_s,
        counted(summary.threads as u64, "thread"),
    );
    out += &format!(
        "   went wrong    {}; {} of controllers\n",
        counted(tally.mishaps, "mishap"),
        counted(tally.crashes, "death"),
    );
    out += &format!(
        "   what was done {} declared failed, {} fenced, {} of VMs\n",
        counted(tally.declared, "host"),
        grouped(tally.fenced),
        counted(tally.starts, "start"),
    );
    out += &format!(
        "   came back     {} lost and back; half within {}, the slowest after {}\n\n",
        counted(tally.recovered, "VM"),
        tally.median().map_or("-".to_owned(), |span| format!("{:.1} s", span.as_f64())),
        tally.slowest.map_or("-".to_owned(), |span| Seconds::new(span.micros() / 1_000_000).to_string()),
    );
    for failed in &summary.failed {
        out += &failure(failed, look);
    }
    let verdict = match summary.failed.len() as u64 {
        0 => look.paint(Tone::Good, "ALL PROMISES KEPT"),
        bad => look.paint(Tone::Bad, &format!("{} FAILED", counted(bad, "seed"))),
    };
    out + &format!(" {verdict}\n")
}

fn failure(failed: &Failed, look: &Look) -> String {
    let head = hanging(&format!(" ✗ seed {}  ", failed.seed), &failed.failure.to_string(), look);
    format!("{head}   → {}\n\n", failed.run_again)
}

/// One seed as a timeline.
pub fn timeline(ran: &Outcome, look: &Look) -> String {
    let case = &ran.case;
    let mut out = look.paint(Tone::Strong, &format!(" Seed {}, {}", case.seed, case.profile));
    let left = case.only.as_ref().map_or(ran.mishaps, Vec::len);
    out += &look
        .paint(Tone::Faint, &format!(" · {}, {}\n\n", count(case.minutes, "minute"), count(left as u64, "mishap")));
    for line in &ran.timeline {
        out += &scenario::line(line.at.as_f64(), line.severity, &line.text, look);
    }
    out += "\n";
    match &ran.failure {
        None => out + &format!(" {}\n", look.paint(Tone::Good, "ALL PROMISES KEPT")),
        Some(failure) => {
            out += &hanging(" ✗ ", &failure.to_string(), look);
            out + &format!("   → {}\n", case.command())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_read_by_thousands() {
        let all = [0, 7, 999, 1000, 12_345_678].map(grouped);
        assert_eq!(all, ["0", "7", "999", "1,000", "12,345,678"]);
    }
}
