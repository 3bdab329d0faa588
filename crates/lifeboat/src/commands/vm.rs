//! `lifeboat vm`: orders for VMs.

use clap::{Args, Subcommand};
use lifeboat_client::api::{VmAction, VmRow};
use lifeboat_model::VmName;

use crate::{
    context::Context,
    failure::{Failure, Outcome},
};

const HELP: &str = "\
The order is taken and carried out from then on, also over failures: a stopped VM stays stopped, a started one is kept \
running. `disable` leaves a VM alone (it is neither restarted nor recovered, and not stopped either), `enable` takes care \
of it again.

Examples:
  lifeboat vm stop report-1
  lifeboat vm restart web-1 web-2
  lifeboat vm disable db-1        before you work on it by hand";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make VMs run, and keep them running
    Start(Vms),
    /// Stop VMs, and keep them stopped
    Stop(Vms),
    /// Stop VMs and start them where they are
    Restart(Vms),
    /// Leave VMs alone from now on
    Disable(Vms),
    /// Take care of VMs again
    Enable(Vms),
}

#[derive(Debug, Args)]
struct Vms {
    /// The VMs
    #[arg(required = true, value_name = "VM")]
    vms: Vec<VmName>,
}

/// Runs it: every VM is tried, and the first failure decides the exit code.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let (action, vms) = match &arguments.what {
        What::Start(it) => (VmAction::Start, it),
        What::Stop(it) => (VmAction::Stop, it),
        What::Restart(it) => (VmAction::Restart, it),
        What::Disable(it) => (VmAction::Disable, it),
        What::Enable(it) => (VmAction::Enable, it),
    };
    let client = context.client()?;
    let mut first: Option<Failure> = None;
    let mut rows = Vec::new();
    for vm in &vms.vms {
        match client.order(vm, action).await {
            Ok(row) => {
                if !context.json() {
                    context.print(&taken(action, &row))?;
                }
                rows.push(row);
            }
            Err(error) => {
                let unreachable = error.is_unreachable();
                if let Some(before) = first.replace(error.into()) {
                    // The last failure is told at the end; those before it here.
                    let after = first.replace(before);
                    after.map(Failure::report);
                }
                if unreachable {
                    break;
                }
            }
        }
    }
    if context.json() {
        context.print_json(&rows)?;
    }
    first.map_or(Ok(()), Err)
}

fn taken(action: VmAction, row: &VmRow) -> String {
    let now = match (&row.host, &row.why_not) {
        (_, Some(why)) => format!("{}: {why}", row.phase),
        (Some(host), None) => format!("{} on {host}", row.phase),
        (None, None) => row.phase.to_string(),
    };
    let what = match action {
        VmAction::Start => "shall run",
        VmAction::Stop => "shall not run",
        VmAction::Restart => "restarts",
        VmAction::Disable => "is left alone from now on",
        VmAction::Enable => "is taken care of again",
    };
    format!(" {} {what}; now {now}\n", row.name)
}
