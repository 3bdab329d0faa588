//! `lifeboat host`: one host, closely.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lifeboat_model::{HostName, Seconds};

use crate::{context::Context, failure::Outcome, render::evidence, span};

mod announce;
mod hardware;

const EVIDENCE_HELP: &str = "\
Each source with what it said last and when, the verdict, and the rule that led to it. A host that was declared failed shows
also what its sources said then.

Examples:
  lifeboat host evidence h2
  lifeboat host evidence h2 -o json | jq -r .judgement.verdict";

const HARDWARE_HELP: &str = "\
The diagnostic repeats computations and compares; the others are the kernel's memory errors, rasdaemon's machine checks and
what disks say. A source that the host has not is shown as absent: it says nothing, good or bad. A host with suspect hardware
takes no new VMs, and those that it has leave it.

Examples:
  lifeboat host hardware h2
  lifeboat maintenance h2 off      when it is mended";

const ANNOUNCE_HELP: &str = "\
What becomes of its VMs is the host's policy (`on_leave`, or leaving.policy of the controller's settings): they move elsewhere
first, go down with it and wait for it, or are stopped at once and start elsewhere. This waits until nothing is waited for any
more; a host that is away then is not fenced. An agent that systemd stops while the system shuts down says so by itself.

Examples:
  lifeboat host announce reboot && reboot
  lifeboat host announce stays";

/// Arguments.
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what each source says of a host, and the verdict
    #[command(after_help = EVIDENCE_HELP)]
    Evidence {
        /// The host
        host: HostName,
    },
    /// Show what a host's sources say of its hardware
    #[command(after_help = HARDWARE_HELP)]
    Hardware {
        /// The host
        host: HostName,
    },
    /// Say, on a host itself, that it is about to shut down or reboot, and wait until it may
    #[command(after_help = ANNOUNCE_HELP)]
    Announce {
        /// What it is about to do, or that it stays after all
        #[arg(value_enum)]
        going: Going,
        /// The agent's socket
        #[arg(long, value_name = "PATH", default_value = "/run/lifeboat-agent/agent.sock")]
        agent: PathBuf,
        /// Wait no longer than this: 90s, 10min
        #[arg(long, value_name = "SPAN", default_value = "10min", value_parser = span::parse)]
        wait: Seconds,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Going {
    Shutdown,
    Reboot,
    Stays,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    match &arguments.what {
        What::Evidence { host } => {
            let view = context.client()?.evidence(host).await?;
            context.show(&view, evidence::text)
        }
        What::Hardware { host } => {
            let view = context.client()?.hardware(host).await?;
            context.show(&view, hardware::text)
        }
        What::Announce { going, agent, wait } => announce::run(context, agent, going.word(), *wait).await,
    }
}

impl Going {
    const fn word(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Reboot => "reboot",
            Self::Stays => "stays",
        }
    }
}
