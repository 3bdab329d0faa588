//! `lifeboat maintenance HOST on|off`.

use clap::{Args, ValueEnum};
use lifeboat_client::api::{HostOrdered, MaintenanceRequest};
use lifeboat_model::{HostName, Seconds};

use crate::{
    context::{self, Context},
    failure::{Exit, Failure, Outcome},
    render::{Look, when, wrap::hanging},
    span,
};

const HELP: &str = "\
A host in maintenance keeps its VMs and gets no new ones; when it fails, they are recovered as ever. `lifeboat drain HOST`
empties it as well.

Examples:
  lifeboat maintenance h7 on --note 'dimm swap'
  lifeboat maintenance h7 on --for 2h          it takes VMs again after two hours, by itself
  lifeboat maintenance h7 off";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The host
    host: HostName,
    /// Whether it is in maintenance
    #[arg(value_enum)]
    state: OnOff,
    /// Why, for other people
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// End it by itself after this: 90s, 30min, 2h, 1d
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    ends_after: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnOff {
    On,
    Off,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let on = arguments.state == OnOff::On;
    if !on && (arguments.note.is_some() || arguments.ends_after.is_some()) {
        return Err(Failure::new(Exit::BadInput, "--note and --for go with `on` only. Nothing was changed."));
    }
    let request = MaintenanceRequest { on, note: arguments.note.clone(), ends_after_s: arguments.ends_after };
    let ordered = context.client()?.maintain(&arguments.host, &request).await?;
    context.show(&ordered, said)
}

/// What came of an order for a host.
pub fn said(ordered: &HostOrdered, look: &Look) -> String {
    let host = &ordered.host;
    let already = if ordered.changed { "" } else { " already" };
    let vms = match host.vms {
        0 => "it has no VMs".to_owned(),
        1 => "its 1 VM stays".to_owned(),
        more => format!("its {more} VMs stay"),
    };
    let text = match &host.maintenance {
        Some(it) => {
            let now = context::now();
            let until = it.until_us.map(|at| format!(", until {}", when::clock(at, now, look))).unwrap_or_default();
            let note = it.note.as_ref().map(|note| format!(" (\"{note}\")")).unwrap_or_default();
            let what = match (it.draining, host.vms) {
                (false, _) => format!("is in maintenance{already}{note}{until}: it gets no new VMs, {vms}"),
                (true, 0) => format!("is empty{note}, and gets no new VMs{until}"),
                (true, left) => {
                    let left = if left == 1 { "1 VM is".to_owned() } else { format!("{left} VMs are") };
                    format!("is being emptied{already}{note}: {left} to move, and it gets no new ones{until}")
                }
            };
            format!("{} {what}.", host.name)
        }
        None if ordered.warnings.is_empty() => {
            format!(
                "{} is not in maintenance{}: it takes VMs.",
                host.name,
                if ordered.changed { " any more" } else { "" }
            )
        }
        None => format!("{} is no longer in maintenance by an order.", host.name),
    };
    let mut text = hanging(" ", &text, look);
    for warning in &ordered.warnings {
        text.push_str(&hanging(" ⚠ ", warning, look));
    }
    if let Some(it) = host.maintenance.as_ref().filter(|it| it.draining && host.vms > 0) {
        let _ = it;
        text.push_str(&format!("   → lifeboat get hosts {}\n", host.name));
    }
    text
}
