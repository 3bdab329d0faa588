//! `lifeboat events`.

use std::{collections::VecDeque, time::Duration};

use clap::Args;
use lifeboat_client::{Client, api::EventRow};

use crate::{context::Context, failure::Outcome, render::event};

const HELP: &str = "\
Examples:
  lifeboat events                  the last 50
  lifeboat events --last 500
  lifeboat events --follow         and those to come, until Ctrl-C
  lifeboat events --after 1234     those after number 1234 (see -o json)
  lifeboat events -o json          one document a line";

/// How long to wait before a lost controller is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Go on with the events to come
    #[arg(long, short)]
    follow: bool,
    /// So many of those that have been
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    last: usize,
    /// All events after this number, instead of the last ones
    #[arg(long, value_name = "N", conflicts_with = "last")]
    after: Option<u64>,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let client = context.client()?;
    let mut seen = past(context, &client, arguments).await?;
    if !arguments.follow {
        return Ok(());
    }
    let mut stream = client.events(seen, true).await?;
    loop {
        match stream.next().await {
            Ok(Some(event)) => {
                seen = event.sequence;
                say(context, &event)?;
            }
            // The controller restarted, or another took over: go on where we were.
            Ok(None) | Err(_) => {
                tokio::time::sleep(AGAIN).await;
                stream = again(&client, seen).await?;
            }
        }
    }
}

async fn again(client: &Client, seen: u64) -> Outcome<lifeboat_client::EventStream> {
    eprintln!(" lost the controller; waiting for it");
    for _ in 0..60 {
        match client.events(seen, true).await {
            Err(error) if error.is_unreachable() => tokio::time::sleep(AGAIN).await,
            other => return Ok(other?),
        }
    }
    Ok(client.events(seen, true).await?)
}

/// Those that have been; the number of the last.
async fn past(context: &Context, client: &Client, arguments: &Arguments) -> Outcome<u64> {
    let mut seen = arguments.after.unwrap_or(0);
    let mut kept = VecDeque::new();
    let mut stream = client.events(seen, false).await?;
    while let Some(event) = stream.next().await? {
        seen = event.sequence;
        if arguments.after.is_some() {
            say(context, &event)?;
            continue;
        }
        kept.push_back(event);
        if kept.len() > arguments.last {
            kept.pop_front();
        }
    }
    for event in &kept {
        say(context, event)?;
    }
    Ok(seen)
}

fn say(context: &Context, row: &EventRow) -> Outcome {
    if context.json() { context.print_line(row) } else { context.print(&event::line(row, &context.look)) }
}
