//! Rolling groups, for a person.

use lifeboat_planner::rolling::Rolling;

use super::{Look, count, paint::Tone, wrap::hanging};

/// The groups, a line each.
pub fn text(found: &Rolling, look: &Look) -> String {
    let hosts = found.groups.iter().map(Vec::len).sum::<usize>() + found.stuck.len();
    if hosts == 0 {
        return "No host is up: there is nothing to empty.\n".to_owned();
    }
    let rounds = found.groups.len() as u64;
    let mut out = match rounds {
        0 => String::new(),
        _ => hanging(" ", &format!("{} for {}:", count(rounds, "round"), count(hosts as u64, "host")), look),
    };
    let wide = rounds.to_string().len();
    for (at, group) in found.groups.iter().enumerate() {
        let names: Vec<&str> = group.iter().map(|host| host.as_str()).collect();
        out.push_str(&hanging(&format!("   {:>wide$}  ", at + 1), &names.join(" "), look));
    }
    if !found.stuck.is_empty() {
        let names: Vec<&str> = found.stuck.iter().map(|host| host.as_str()).collect();
        out.push_str(&format!(" {}\n", look.paint(Tone::Bad, "cannot be emptied as things are:")));
        out.push_str(&hanging("   ", &names.join(" "), look));
        out.push_str("     → lifeboat plan explain VM --fail HOST says what keeps a VM where it is\n");
    }
    out
}
