//! `lifeboat lab`: a farm of hosts on this machine, to see what happens when they die.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lifeboat_lab::{HostStatus, Lab, LabError, LabOptions, LabStatus, Progress, VmStatus};
use lifeboat_model::{HostName, VmName};

use super::file::{self, Readers};
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render::{
        Look,
        table::{Cell, Column, Table},
    },
};

mod demo;

const HELP: &str = "\
Hosts are network namespaces and cgroups, with QEMU guests, BMCs that speak Redfish and IPMI, and storage over NBD; the \
controller and the agents are the real ones. It needs root, and takes nothing from the machine that `lab down` does not \
give back.

Examples:
  lifeboat lab up                      3 hosts, 6 VMs
  lifeboat lab status
  lifeboat lab power-off h2            and watch: lifeboat recoveries watch --wait
  lifeboat lab hang h1                 it answers ping still, and nothing else
  lifeboat lab cut h3                  its cable
  lifeboat lab power-on h2
  lifeboat lab down                    leaves nothing
The controller of a lab is reached with `export LIFEBOAT_SOCKET=…`, as `lab up` and `lab status` say.";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP, subcommand_required = true)]
pub struct Arguments {
    /// The lab's name: labs of different names stand side by side
    #[arg(long, global = true, default_value = "lab", value_name = "NAME")]
    name: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Bring a lab up
    Up(Up),
    /// Show a host dying and its VMs coming back
    Demo(demo::Arguments),
    /// Show what runs where, looked at from outside
    Status,
    /// Take the lab down: no process, namespace, cgroup or directory is left
    Down,
    /// Cut a host's power
    PowerOff {
        /// The host
        host: HostName,
    },
    /// Put a host's power on
    PowerOn {
        /// The host
        host: HostName,
    },
    /// Make a host hang: it answers ping, and nothing else
    Hang {
        /// The host
        host: HostName,
    },
    /// Let a hanging host go on
    Thaw {
        /// The host
        host: HostName,
    },
    /// Cut a host's cable
    Cut {
        /// The host
        host: HostName,
    },
    /// Mend a host's cable
    Heal {
        /// The host
        host: HostName,
    },
    /// Make a host's BMC deaf
    BmcOff {
        /// The host
        host: HostName,
    },
    /// Let a host's BMC answer again
    BmcOn {
        /// The host
        host: HostName,
    },
    /// Kill a VM's process, wherever it is
    KillVm {
        /// The VM
        vm: VmName,
    },
    /// Kill the controller
    KillController,
    /// Start the controller
    StartController,
    /// Write one trace/v1 of what the world and the controller say
    Trace {
        /// Write to a file instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Not for people: the lab's own processes
    #[command(hide = true)]
    Internal {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Up {
    /// Hosts
    #[arg(long, default_value_t = 3, value_name = "N")]
    hosts: usize,
    /// VMs
    #[arg(long, default_value_t = 6, value_name = "N")]
    vms: usize,
    /// Volumes of each VM
    #[arg(long, default_value_t = 1, value_name = "N")]
    volumes: usize,
    /// Directory for its files [default: /var/lib/lifeboat-lab/NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Do not wait until every VM answers
    #[arg(long)]
    no_wait: bool,
    /// Hosts, storage and BMCs only: no controller, no agents
    #[arg(long)]
    bare: bool,
}

/// Runs it. Before any runtime: the lab's own processes change their namespaces.
pub fn run(context: &Context, arguments: Arguments) -> Outcome {
    let open = || Ok::<Lab, Failure>(Lab::open(&arguments.name)?);
    match arguments.what {
        What::Internal { words } => Ok(lifeboat_lab::internal(&words)?),
        What::Up(up) => raise(context, arguments.name.clone(), &up),
        What::Demo(it) => demo::run(context, &arguments.name, &it),
        What::Down => down(context, &arguments.name),
        What::Status => {
            let lab = open()?;
            let socket = lab.socket();
            context.show(&lab.status()?, |view, look| status(view, &socket.display().to_string(), look))
        }
        What::PowerOff { host } => done(context, open()?.power_off(&host), &format!("{host} has no power.")),
        What::PowerOn { host } => done(context, open()?.power_on(&host), &format!("{host} has power.")),
        What::Hang { host } => done(context, open()?.hang(&host), &format!("{host} hangs.")),
        What::Thaw { host } => done(context, open()?.thaw(&host), &format!("{host} goes on.")),
        What::Cut { host } => done(context, open()?.cut(&host), &format!("The cable of {host} is cut.")),
        What::Heal { host } => done(context, open()?.heal(&host), &format!("The cable of {host} is mended.")),
        What::BmcOff { host } => done(context, open()?.bmc(&host, false), &format!("The BMC of {host} is deaf.")),
        What::BmcOn { host } => done(context, open()?.bmc(&host, true), &format!("The BMC of {host} answers.")),
        What::KillVm { vm } => kill_vm(context, &open()?, &vm),
        What::KillController => done(context, open()?.kill_controller(), "The controller is dead."),
        What::StartController => done(context, open()?.start_controller(), "The controller runs."),
        What::Trace { output } => trace(context, &open()?, output),
    }
}

fn done(context: &Context, what: Result<(), LabError>, text: &str) -> Outcome {
    what?;
    context.print(&format!(" {text}\n"))
}

/// The binary that the lab runs its parts from: this one.
pub fn this_binary() -> Outcome<PathBuf> {
    std::env::current_exe().map_err(|error| Failure::new(Exit::Failed, format!("cannot find this program: {error}")))
}

/// Tells on standard error what `lab up` is doing.
pub fn show_progress(progress: Progress) {
    match progress {
        Progress::Step(text) => eprintln!(" {text}"),
        Progress::VmAnswers { vm, answering, of } => eprintln!("   {vm} answers   {answering} of {of}"),
    }
}

fn raise(context: &Context, name: String, up: &Up) -> Outcome {
    let defaults = LabOptions::default();
    let options = LabOptions {
        name,
        dir: up.dir.clone(),
        hosts: up.hosts,
        vms: up.vms,
        volumes_per_vm: up.volumes,
        binary: this_binary()?,
        control_plane: !up.bare,
        wait_vms: defaults.wait_vms.filter(|_| !up.no_wait),
        ..defaults
    };
    let lab = Lab::up(&options, show_progress)?;
    let socket = lab.socket().display().to_string();
    context.show(&lab.status()?, |view, look| status(view, &socket, look))
}

fn down(context: &Context, name: &str) -> Outcome {
    if Lab::down(name)? {
        return context.print(&format!(" Lab {name} is taken down; nothing of it is left.\n"));
    }
    context.print(&format!(" There is no lab {name}.\n"))
}

fn kill_vm(context: &Context, lab: &Lab, vm: &VmName) -> Outcome {
    let hosts: Vec<String> = lab.kill_vm(vm)?.iter().map(ToString::to_string).collect();
    if hosts.is_empty() {
        return Err(Failure::new(Exit::Refused, format!("{vm} runs nowhere.")));
    }
    context.print(&format!(" {vm} was killed on {}.\n", hosts.join(" and ")))
}

fn trace(context: &Context, lab: &Lab, output: Option<PathBuf>) -> Outcome {
    let controller = lab.cli(&["trace"])?;
    let text = lifeboat_lab::trace::to_text(&lab.trace(&controller)?);
    match output {
        Some(path) => file::write(&path, &text, Readers::All),
        None => context.print(&text),
    }
}

fn status(view: &LabStatus, socket: &str, look: &Look) -> String {
    let controller = if view.controller { "runs" } else { "does not run" };
    let mut out = format!(" Lab {} in {}; its controller {controller}.\n\n", view.name, view.dir.display());
    let columns = ["HOST", "POWER", "CABLE", "BMC", "VM PROCESSES"].map(Column::new);
    let mut table = Table::new(columns).indent(1);
    view.hosts.iter().for_each(|host| table.row(host_row(host)));
    out.push_str(&table.render(look));
    out.push('\n');
    let mut table = Table::new(["VM", "PROCESS ON", "LAST DURABLE"].map(Column::new)).indent(1);
    view.vms.iter().for_each(|vm| table.row(vm_row(vm)));
    out.push_str(&table.render(look));
    out.push_str(&format!("\n   → export LIFEBOAT_SOCKET={socket}\n"));
    out
}

fn host_row(host: &HostStatus) -> [Cell; 5] {
    let power = match (host.power, host.hung) {
        (false, _) => "off",
        (true, true) => "on, hangs",
        (true, false) => "on",
    };
    let vms: Vec<&str> = host.vms.iter().map(|vm| vm.as_str()).collect();
    [
        host.host.as_str().into(),
        power.into(),
        if host.cut { "cut" } else { "whole" }.into(),
        if host.bmc { "answers" } else { "deaf" }.into(),
        vms.join(" ").into(),
    ]
}

fn vm_row(vm: &VmStatus) -> [Cell; 3] {
    let hosts: Vec<&str> = vm.hosts.iter().map(|host| host.as_str()).collect();
    let answer = match &vm.answer {
        Some(answer) => answer.durable.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
        None => "does not answer".to_owned(),
    };
    [vm.vm.as_str().into(), if hosts.is_empty() { "-".to_owned() } else { hosts.join(" ") }.into(), answer.into()]
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let exit = match &error {
            LabError::Unknown { .. } | LabError::NoSuch { .. } => Exit::Unknown,
            LabError::BadOption { .. } | LabError::ForeignDirectory(_) => Exit::BadInput,
            LabError::Exists { .. } | LabError::Busy { .. } | LabError::Refused { .. } => Exit::Refused,
            _ => Exit::Failed,
        };
        Self::caused(exit, &error)
    }
}
