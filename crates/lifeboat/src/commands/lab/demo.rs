//! `lifeboat lab demo`: a host dies before your eyes, and its VMs come back.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;
use lifeboat_client::{
    Client,
    api::{RecoveryView, VmRow},
};
use lifeboat_lab::{
    Lab, LabOptions,
    monitor::{self, Outage},
};
use lifeboat_model::{HostName, Time, VmName};

use super::{show_progress, this_binary};
use crate::{
    commands::{wait_for, watch},
    context::{Context, now},
    failure::{Exit, Failure, Outcome},
    render::{
        rows,
        table::{Cell, Column, Table},
    },
};

const HELP: &str = "\
Brings up a farm of 3 hosts and 6 VMs on this machine, cuts a host's power, shows the recovery as it runs, and ends with a \
table of every VM. Exits with 0 only if every VM is back and nothing that was durable was lost. Needs root. \
In a terminal the farm stays up for you to try more; otherwise, or with --down, it is taken down.";

/// How long the outside may take to see every VM again after the recovery has ended.
const SEEN_AGAIN: Duration = Duration::from_secs(30);
/// The name of the demo's monitor.
const MONITOR: &str = "demo";
/// How long everything is watched while nothing happens, so that there is a before.
const BEFORE: Duration = Duration::from_secs(2);

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Hosts
    #[arg(long, default_value_t = 3, value_name = "N")]
    hosts: usize,
    /// VMs
    #[arg(long, default_value_t = 6, value_name = "N")]
    vms: usize,
    /// Take the farm down at the end, in a terminal too
    #[arg(long)]
    down: bool,
}

/// Runs it.
pub fn run(context: &Context, name: &str, arguments: &Arguments) -> Outcome {
    let options = LabOptions {
        name: name.to_owned(),
        hosts: arguments.hosts,
        vms: arguments.vms,
        binary: this_binary()?,
        ..LabOptions::default()
    };
    let stays = context.terminal && !arguments.down;
    context.print(&format!(" A farm of {} hosts and {} VMs on this machine\n", options.hosts, options.vms))?;
    Lab::down(name)?;
    let lab = Lab::up(&options, show_progress)?;
    let shown = show(context, &lab);
    if stays {
        context.print(&next_steps(&lab))?;
    } else {
        Lab::down(name)?;
        context.print(" The farm is taken down; nothing of it is left.\n")?;
    }
    shown
}

/// The show itself, on a farm that is up.
fn show(context: &Context, lab: &Lab) -> Outcome {
    let client = Client::unix(lab.socket());
    let before = wait_for(async { Ok(client.vms().await?) })?;
    let hosts = wait_for(async { Ok(client.hosts().await?) })?;
    context.print("\n")?;
    context.print(&rows::hosts(&hosts, now(), &context.look))?;
    context.print("\n")?;
    context.print(&rows::vms(&before, now(), &context.look))?;

    let victim = busiest(lab, &before)?;
    lab.monitor(MONITOR)?;
    std::thread::sleep(BEFORE);
    let cut = now();
    lab.power_off(&victim)?;
    context.print(&format!("\n {victim}'s power is cut.\n\n"))?;

    let views = wait_for(async {
        let mut views = Vec::new();
        for id in watch::running(&client, true).await? {
            views.push(watch::recovery(context, &client, id).await?);
        }
        Ok(views)
    })?;
    let outages = seen_again(lab, cut)?;
    let after = wait_for(async { Ok(client.vms().await?) })?;
    context.print(&account(context, &before, &after, &outages))?;
    judge(context, lab, &outages, &views)
}

/// The host with the most VMs: its loss shows the most.
fn busiest(lab: &Lab, vms: &[VmRow]) -> Outcome<HostName> {
    let count = |host: &HostName| vms.iter().filter(|vm| vm.host.as_ref() == Some(host)).count();
    let host = lab.hosts().iter().max_by_key(|host| (count(host), std::cmp::Reverse(host.as_str().to_owned())));
    host.cloned().ok_or_else(|| Failure::new(Exit::Failed, "The farm has no hosts."))
}

/// What the outside has seen since the cut, once every VM answers again or the time is over.
fn seen_again(lab: &Lab, cut: Time) -> Outcome<Vec<Outage>> {
    let start = Instant::now();
    loop {
        let outages = monitor::outages(&monitor::read(lab, MONITOR)?, cut);
        if outages.iter().all(|outage| outage.is_back) || start.elapsed() > SEEN_AGAIN {
            return Ok(outages);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The table at the end.
fn account(context: &Context, before: &[VmRow], after: &[VmRow], outages: &[Outage]) -> String {
    let host = |vms: &[VmRow], name: &VmName| {
        let vm = vms.iter().find(|vm| vm.name == *name);
        vm.and_then(|vm| vm.host.clone()).map_or("-".to_owned(), |host| host.to_string())
    };
    let numbers = |numbers: &[u64]| match numbers {
        [] => "-".to_owned(),
        numbers => numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
    };
    let columns = ["VM", "CLASS", "FROM", "TO", "SECONDS AWAY", "LAST BEFORE", "FIRST AFTER", "LOST"];
    let mut table = Table::new(columns.map(Column::new)).indent(1);
    for outage in outages {
        let class = before.iter().find(|vm| vm.name == outage.vm).map_or(String::new(), |vm| vm.class.to_string());
        let away = outage.down.map(|down| format!("{:.1}", down.as_f64()));
        let lost = if outage.is_back { outage.lost.to_string() } else { "not back".to_owned() };
        table.row([
            Cell::from(outage.vm.as_str()),
            class.into(),
            host(before, &outage.vm).into(),
            host(after, &outage.vm).into(),
            away.unwrap_or_else(|| "-".to_owned()).into(),
            numbers(&outage.before).into(),
            numbers(&outage.after).into(),
            lost.into(),
        ]);
    }
    table.render(&context.look)
}

/// Whether every VM is back, nothing durable was lost, and nobody else wrote.
fn judge(context: &Context, lab: &Lab, outages: &[Outage], recoveries: &[RecoveryView]) -> Outcome {
    let mut wrong = Vec::new();
    if outages.len() != lab.vms().len() {
        wrong.push(format!("Only {} of {} VMs were seen at all.", outages.len(), lab.vms().len()));
    }
    for outage in outages {
        if !outage.is_back {
            wrong.push(format!("{} is not back.", outage.vm));
        }
        if outage.lost > 0 {
            wrong.push(format!("{} lost {} writes that were durable.", outage.vm, outage.lost));
        }
        if outage.foreign_writer {
            wrong.push(format!("{} saw another writer on its volume.", outage.vm));
        }
    }
    if recoveries.is_empty() || recoveries.iter().any(|view| view.row.ready != view.row.total) {
        wrong.push("The recovery did not bring every VM back.".to_owned());
    }
    if !wrong.is_empty() {
        return Err(Failure::new(Exit::Failed, "The demo did not end as it should.").lines(wrong));
    }
    context.print("\n Every VM is back, and nothing that was durable was lost.\n")
}

fn next_steps(lab: &Lab) -> String {
    let binary = std::env::current_exe().ok();
    let lifeboat = binary.as_deref().map_or("lifeboat".to_owned(), |path| shorter(path).display().to_string());
    let socket = lab.socket();
    let name = match lab.name() {
        "lab" => String::new(),
        name => format!(" --name {name}"),
    };
    format!(
        "\n The farm stays up. Try:\n\
         \x20  export LIFEBOAT_SOCKET={}\n\
         \x20  {lifeboat} status\n\
         \x20  {lifeboat} events --follow\n\
         \x20  {lifeboat} lab{name} power-on HOST      its agent asks before it starts anything\n\
         \x20  {lifeboat} lab{name} hang HOST          frozen: it answers ping still, and is fenced\n\
         \x20  {lifeboat} lab{name} cut HOST           its cable: it lives, and is fenced\n\
         \x20  {lifeboat} plan --fail HOST             what would happen\n\
         \x20  {lifeboat} lab{name} down               leaves nothing\n",
        socket.display()
    )
}

/// A path as one would type it from here.
fn shorter(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}
