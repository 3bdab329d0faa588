//! A plan as a picture: time to the right, a row for each host and array, as SVG that any browser shows.
//!
//! Bars that overlap in a row are put into lanes below each other: a host's starts on top, each with its VM's name where it
//! fits, what prepares them below. An array's operations are many and alike, so their lanes are thin. Only what the plan
//! touches has a row; of very large plans the first rows are drawn and the rest counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lifeboat_model::Seconds;
use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{Action, Plan, Step};

/// Rows drawn at most.
pub const MAX_ROWS: usize = 200;

const WIDTH: f64 = 1200.0;
const ARRAY: &str = "array ";
const LEFT: f64 = 130.0;
const TOP: f64 = 84.0;
const LANE: f64 = 12.0;
const THIN: f64 = 4.0;
const GAP: f64 = 6.0;
/// What a letter of a bar's text takes.
const LETTER: f64 = 5.4;

/// A bar of a row.
struct Bar {
    begin: Seconds,
    end: Seconds,
    kind: &'static str,
    text: String,
    /// What stands on it, where there is room.
    name: Option<String>,
}

/// Draws a plan.
#[must_use]
pub fn svg(fleet: &Fleet, plan: &Plan) -> String {
    let rows = rows(fleet, plan);
    let left_out = rows.len().saturating_sub(MAX_ROWS);
    let last = plan.steps.iter().map(|step| step.end_s.as_f64()).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - 20.0) / last;
    let mut body = String::new();
    let mut y = TOP;
    for (name, bars) in rows.into_iter().take(MAX_ROWS) {
        y = row(&mut body, &name, bars, scale, y);
    }
    if left_out > 0 {
        let _ = write!(body, "<text x=\"8\" y=\"{:.1}\">and {left_out} more rows</text>", y + LANE);
        y += 2.0 * LANE;
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {h:.0}\" width=\"{WIDTH}\" height=\"{h:.0}\">\n{STYLE}",
        h = y + 20.0
    );
    axis(&mut out, plan, last, scale, y);
    out.push_str(&body);
    out.push_str("</svg>\n");
    out
}

const STYLE: &str = "<style>text{font:11px sans-serif;fill:#222}.grid{stroke:#ddd}.fence{fill:#c0392b}.remap{fill:#5b8db8}\
.configure{fill:#e0b040}.start{fill:#4c9a5b}.stop{fill:#7f8c8d}.migrate{fill:#8e6bb0}text.name{font-size:9px;fill:#fff}.rto{stroke:#c0392b;stroke-dasharray:4 3}\
@media(prefers-color-scheme:dark){svg{background:#1c1f22}text{fill:#ddd}.grid{stroke:#3a3f44}}</style>\n";

fn rows(fleet: &Fleet, plan: &Plan) -> BTreeMap<String, Vec<Bar>> {
    let arrays: BTreeMap<&str, &str> =
        fleet.volumes.iter().map(|volume| (volume.name.as_str(), volume.array.as_str())).collect();
    let mut rows: BTreeMap<String, Vec<Bar>> = BTreeMap::new();
    for step in &plan.steps {
        let (kind, text) = label(step);
        let named = matches!(step.action, Action::Start { .. } | Action::Migrate { .. });
        let name = step.action.vm().filter(|_| named).map(ToString::to_string);
        let bar = |text, name| Bar { begin: step.start_s, end: step.end_s, kind, text, name };
        rows.entry(format!("host {}", step.action.host())).or_default().push(bar(text.clone(), name));
        if let Action::Remap { volume, .. } = &step.action
            && let Some(array) = arrays.get(volume.as_str())
        {
            rows.entry(format!("{ARRAY}{array}")).or_default().push(bar(text, None));
        }
    }
    rows
}

fn label(step: &Step) -> (&'static str, String) {
    match &step.action {
        Action::Fence { host } => ("fence", format!("fence {host}")),
        Action::Remap { vm, volume, .. } => ("remap", format!("volume {volume} of {vm}")),
        Action::Configure { vm, .. } => ("configure", format!("configure {vm}")),
        Action::Start { vm, .. } => ("start", format!("start {vm}")),
        Action::Stop { vm, .. } => ("stop", format!("stop {vm}")),
        Action::Migrate { vm, from, .. } => ("migrate", format!("move {vm} from {from}")),
    }
}

/// Draws a row from `top` on, and says where the next one begins.
fn row(out: &mut String, name: &str, bars: Vec<Bar>, scale: f64, top: f64) -> f64 {
    let high = if name.starts_with(ARRAY) { THIN } else { LANE };
    let _ = write!(out, "<text x=\"8\" y=\"{:.1}\">{name}</text>", top + LANE - 2.0);
    let (starts, others): (Vec<Bar>, Vec<Bar>) = bars.into_iter().partition(|bar| bar.kind == "start");
    let below = lanes(out, starts, scale, top, high);
    let bottom = lanes(out, others, scale, below, high).max(top + LANE) + GAP;
    let _ = writeln!(
        out,
        "<line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
        y = bottom - GAP / 2.0
    );
    bottom
}

/// Draws bars in as many lanes as they need from `top` on, and says where these end.
fn lanes(out: &mut String, mut bars: Vec<Bar>, scale: f64, top: f64, high: f64) -> f64 {
    bars.sort_by_key(|bar| (bar.begin, bar.end));
    let mut lanes: Vec<Seconds> = Vec::new();
    for bar in &bars {
        let lane = lanes.iter().position(|free| *free <= bar.begin).unwrap_or(lanes.len());
        if lane == lanes.len() {
            lanes.push(bar.end);
        }
        lanes[lane] = bar.end;
        draw(out, bar, scale, top + lane as f64 * high, high);
    }
    top + lanes.len() as f64 * high
}

fn draw(out: &mut String, bar: &Bar, scale: f64, y: f64, high: f64) {
    let x = LEFT + bar.begin.as_f64() * scale;
    // What follows at once is told apart by a gap.
    let wide = ((bar.end.as_f64() - bar.begin.as_f64()) * scale - 0.6).max(1.0);
    let _ = write!(
        out,
        "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" rx=\"1.5\"><title>{}, {} to {}</title></rect>",
        bar.kind,
        high - high / 6.0,
        bar.text,
        bar.begin,
        bar.end
    );
    if let Some(name) = bar.name.as_ref().filter(|name| name.len() as f64 * LETTER + 6.0 <= wide) {
        let _ = write!(out, "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x + 3.0, y + 8.2);
    }
}

/// Time marks, the classes' ready times (dashed), and what the colours mean.
fn axis(out: &mut String, plan: &Plan, last: f64, scale: f64, bottom: f64) {
    let steps = [1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 21_600.0, 86_400.0];
    let step = steps.into_iter().find(|step| last / step <= 14.0).unwrap_or(last / 10.0);
    let mut at = 0.0;
    while at <= last {
        let x = LEFT + at * scale;
        let said = Seconds::from_f64(at).unwrap_or(Seconds::ZERO);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>",
            TOP - 6.0
        );
        // The last mark would be cut off at the picture's edge.
        if x + said.to_string().len() as f64 * LETTER < WIDTH {
            let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{said}</text>", x + 2.0, TOP - 8.0);
        }
        at += step;
    }
    let mut x = 8.0;
    for kind in ["fence", "remap", "configure", "start", "stop", "migrate"] {
        let _ = write!(
            out,
            "<rect class=\"{kind}\" x=\"{x:.0}\" y=\"8\" width=\"10\" height=\"10\"/><text x=\"{:.0}\" y=\"17\">{kind}</text>",
            x + 14.0
        );
        x += 80.0;
    }
    ready_marks(out, plan, scale, bottom);
}

/// A line where each class is ready. Classes that are ready together share one; names that would cover each other are
/// put below each other.
fn ready_marks(out: &mut String, plan: &Plan, scale: f64, bottom: f64) {
    let mut marks: BTreeMap<Seconds, Vec<&str>> = BTreeMap::new();
    for class in plan.summary.classes.iter().filter(|class| class.vms > 0) {
        marks.entry(class.ready_s).or_default().push(class.name.as_str());
    }
    for (at, (ready, classes)) in marks.into_iter().enumerate() {
        let x = LEFT + ready.as_f64() * scale;
        let _ = writeln!(
            out,
            "<line class=\"rto\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"24\" y2=\"{:.1}\"/><line class=\"rto\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/><text x=\"{:.1}\" y=\"{}\" text-anchor=\"end\">{} ready {ready}</text>",
            TOP - 18.0,
            x - 3.0,
            34 + 12 * (at % 3),
            classes.join(", ")
        );
    }
}
