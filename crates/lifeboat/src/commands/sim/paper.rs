//! `lifeboat sim paper`: published experiments again, and Lifeboat beside them.

use std::path::PathBuf;

use clap::Args;
use lifeboat_sim::paper::{self, Figure, Table};
use serde::Serialize;

use crate::{
    commands::file::{self, Readers},
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
Repeats what others have published: the restart of a failed host's VMs serially, in parallel, and in parallel with four
disks at a time (Salapura and Harper, 2015); the prototype of the INFN of 2007, by detection time; and its 200 jobs in six
hours while the job server's host is killed every ten minutes. Each table says what was computed and what was simulated.

Examples:
  lifeboat sim paper
  lifeboat sim paper --out papers        tables as papers.md, and a picture (SVG) of each";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Write the tables and pictures into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The same as -o json
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    title: &'a str,
    #[serde(flatten)]
    table: &'a Table,
}

/// Runs it.
pub fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let figures = paper::all().map_err(|error| Failure::caused(Exit::Failed, &error))?;
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot make the folder {}: {error}", folder.display()))
        })?;
        for figure in &figures {
            file::write(&folder.join(format!("{}.svg", figure.name)), &figure.chart.svg(), Readers::All)?;
        }
        file::write(&folder.join("papers.md"), &markdown(&figures), Readers::All)?;
    }
    if arguments.json || context.json() {
        let document = |figure: &'static str, title: &'static str, table| Document { name: figure, title, table };
        let all: Vec<Document<'_>> =
            figures.iter().map(|figure| document(figure.name, figure.title, &figure.table)).collect();
        return context.print_json(&all);
    }
    let mut text =
        figures.iter().map(|figure| render::paper::text(figure, &context.look)).collect::<Vec<_>>().join("\n");
    if let Some(folder) = &arguments.out {
        text += &format!("\n Tables and pictures are in {}\n", folder.display());
    }
    context.print(&text)
}

/// All tables as one document.
fn markdown(figures: &[Figure]) -> String {
    let mut out = "# Published experiments, repeated\n\nWritten by `lifeboat sim paper`.\n".to_owned();
    for figure in figures {
        out += &format!(
            "\n## {}\n\n{}\n![{}]({}.svg)\n",
            figure.title,
            figure.table.markdown(),
            figure.title,
            figure.name
        );
    }
    out
}
