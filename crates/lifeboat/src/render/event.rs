//! Events, a line each.

use lifeboat_client::api::{EventRow, Severity};

use super::{Look, paint::Tone, when};

/// `2026-11-23 12:04:31  h2 failed: …`; what matters more than usual is marked.
pub fn line(event: &EventRow, look: &Look) -> String {
    let stamp = look.paint(Tone::Faint, &when::stamp(event.time_us, look));
    let (mark, tone) = match event.severity {
        Severity::Info => (" ", Tone::Plain),
        Severity::Warning => ("⚠", Tone::Busy),
        Severity::Critical => ("‼", Tone::Bad),
    };
    let text = event.text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{stamp} {} {}\n", look.paint(tone, mark), look.paint(tone, &text))
}
