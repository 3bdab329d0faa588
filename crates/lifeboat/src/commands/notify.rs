//! `lifeboat notify list | test NAME`.

use clap::{Args, Subcommand};
use lifeboat_client::api::{NotifyTested, ReceiverRow};

use crate::{
    context::{self, Context},
    failure::{Exit, Failure, Outcome},
    render::{
        Look,
        paint::Tone,
        table::{Cell, Column, Table},
        when,
        wrap::hanging,
    },
};

const HELP: &str = "\
Receivers are declared in the controller's settings ([[notify]]): webhooks, Alertmanager, mail, commands, files. A test goes
out at once and counts for no rate; it says whether the other side has taken it.

Examples:
  lifeboat notify list
  lifeboat notify test ops-mail";

/// Arguments.
#[derive(Debug, Args)]
#[command(subcommand_required = true, after_help = HELP)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show who is told what, and whether they take it
    List,
    /// Send a test message to a receiver
    Test {
        /// The receiver's name
        name: String,
    },
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let client = context.client()?;
    match &arguments.what {
        What::List => context.show(&client.receivers().await?, |rows, look| list(rows, look)),
        What::Test { name } => {
            let tested = client.test_receiver(name).await?;
            if context.json() {
                context.print_json(&tested)?;
                return tested.problem.map_or(Ok(()), |_| Err(Failure::Said(Exit::Failed)));
            }
            match &tested.problem {
                None => context.print(&taken(&tested, &context.look)),
                Some(problem) => Err(Failure::new(Exit::Failed, problem.clone())
                    .advice(format!("mend it in the controller's settings or at {}, and test again", tested.target))),
            }
        }
    }
}

fn taken(tested: &NotifyTested, look: &Look) -> String {
    let mut text = hanging(" ", &format!("{} has taken the test message ({}).", tested.name, tested.target), look);
    if let Some(remark) = &tested.remark {
        text.push_str(&hanging(" ⚠ ", remark, look));
    }
    text
}

fn list(rows: &[ReceiverRow], look: &Look) -> String {
    if rows.is_empty() {
        return "Nobody is told of anything: add [[notify]] to the controller's settings\n".to_owned();
    }
    let now = context::now();
    let columns = [
        Column::new("RECEIVER"),
        Column::new("KIND"),
        Column::new("TOLD FROM"),
        Column::new("LAST TAKEN").right().goes(2),
        Column::new("WAITING").right().goes(3),
        Column::new("TO").goes(4).cut(),
        Column::new("PROBLEM").goes(1).cut(),
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let problem = row
            .problem
            .clone()
            .unwrap_or_else(|| if row.held_back { "held back by its rate".to_owned() } else { String::new() });
        let tone = if row.problem.is_some() { Tone::Bad } else { Tone::Plain };
        table.row([
            Cell::toned(tone, row.name.clone()),
            row.kind.clone().into(),
            format!("{:?}", row.severity).to_lowercase().into(),
            row.delivered_us.map_or_else(|| "-".to_owned(), |at| when::age(at, now)).into(),
            (row.waiting + row.lost).to_string().into(),
            row.target.clone().into(),
            problem.into(),
        ]);
    }
    table.render(look)
}
