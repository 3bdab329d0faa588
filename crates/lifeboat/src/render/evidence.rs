//! What is known of a host.

use lifeboat_client::api::EvidenceView;
use lifeboat_model::{
    Time,
    liveness::{Evidence, Judgement, Saying, Verdict},
};

use super::{
    Look,
    paint::Tone,
    table::{Cell, Column, Table},
    when,
};

/// Verdict, policy, sources, earlier verdicts.
pub fn text(view: &EvidenceView, look: &Look) -> String {
    let mut text = verdict(view, look);
    let policy = &view.policy;
    let name = policy.name.map_or_else(|| "settings for all".to_owned(), |name| format!("policy {name}"));
    text.push_str(&format!(
        " Judged by the {name}: heartbeat every {}, suspect after {}, lost after {}\n",
        policy.heartbeat_s, policy.suspect_after_s, policy.lost_after_s
    ));
    if !view.evidence.is_empty() {
        text.push('\n');
        text.push_str(&sources(&view.evidence, view.now_us, look));
    }
    if !view.when_declared.is_empty() {
        let declared = view.judgement.map_or(view.now_us, |it| it.since_us);
        text.push_str(&format!("\n When it was declared failed, {}:\n", when::ago(declared, view.now_us, look)));
        text.push_str(&sources(&view.when_declared, declared, look));
    }
    if !view.earlier.is_empty() {
        let one = |it: &Judgement| format!("{} from {}", it.verdict, when::clock(it.since_us, view.now_us, look));
        let known = view.earlier.iter().filter(|it| it.since_us != Time::default());
        let earlier: Vec<String> = known.map(one).collect();
        if !earlier.is_empty() {
            text.push_str(&format!("\n Earlier: {}\n", earlier.join(" · ")));
        }
    }
    text
}

fn verdict(view: &EvidenceView, look: &Look) -> String {
    let Some(it) = view.judgement else {
        return format!(" {} has never been heard: its agent has not joined yet\n", view.host);
    };
    let tone = match it.verdict {
        Verdict::Alive => Tone::Good,
        Verdict::Suspect => Tone::Busy,
        Verdict::Hung | Verdict::Isolated | Verdict::Dead => Tone::Bad,
    };
    let since = match it.since_us {
        // Since this controller began to listen.
        at if at == Time::default() => String::new(),
        at => format!(", since {}", when::age(at, view.now_us)),
    };
    let because = view.because.clone().unwrap_or_default();
    format!(" {} is {}{since}: {because} (rule {})\n", view.host, look.paint(tone, it.verdict.word()), it.rule.name())
}

fn sources(evidence: &[Evidence], now: Time, look: &Look) -> String {
    let columns =
        [Column::new("SOURCE"), Column::new("SAYS"), Column::new("WHEN").right(), Column::new("DETAIL").goes(1).cut()];
    let mut table = Table::new(columns);
    for it in evidence {
        let tone = match it.says {
            Saying::Lives | Saying::PowerOn => Tone::Good,
            Saying::Unknown => Tone::Faint,
            Saying::Hangs | Saying::NoAgent | Saying::Silent | Saying::PowerOff => Tone::Bad,
        };
        table.row([
            Cell::from(it.source.to_string()),
            Cell::toned(tone, it.says.to_string()),
            format!("{} ago", now.since(it.at_us)).into(),
            it.detail.clone().unwrap_or_default().into(),
        ]);
    }
    table.render(look)
}
