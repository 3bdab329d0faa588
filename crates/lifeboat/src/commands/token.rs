//! `lifeboat token create`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lifeboat_model::HostName;

use super::file::{self, Readers};
use crate::{
    context::{Context, now},
    failure::Outcome,
    render::when,
};

const HELP: &str = "\
The token lets the agent of one host join once. It is a secret until then: carry it over a safe way, do not put it on a \
command line or into a mail.

Examples:
  lifeboat token create --host h4 --output h4.token        a file that only you may read
  lifeboat token create --host h4 | ssh h4 'umask 077; cat > /etc/lifeboat/join.token'";

/// Arguments.
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a one-time token for a host
    #[command(after_help = HELP)]
    Create {
        /// The host whose agent joins with it
        #[arg(long)]
        host: HostName,
        /// Write it to a file that only you may read, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let What::Create { host, output } = &arguments.what;
    let issued = context.client()?.create_token(host).await?;
    let Some(path) = output else {
        if context.json() {
            return context.print_json(&issued);
        }
        return context.print(&format!("{}\n", issued.token));
    };
    file::write(path, &format!("{}\n", issued.token), Readers::Owner)?;
    let until = when::ahead(issued.expires_us, now(), &context.look);
    context.print(&format!(
        " A token for {} is in {}; it is taken once, and expires {until}.\n",
        issued.host,
        path.display()
    ))
}
