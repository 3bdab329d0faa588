//! Published experiments again: what others measured, and Lifeboat beside it.
//!
//! | module | experiment | how it is repeated |
//! | --- | --- | --- |
//! | [`ibm`] | Salapura and Harper, *Remote Restart for a High Performance Virtual Machine Recovery in a Cloud*, 2015: serial, parallel, and parallel with 4 disks at a time | computed: the planner makes a plan by each scheme, under the same limits |
//! | [`infn`] | the prototype of the INFN of 2007: time to recover by detection time and VMs a host | simulated: both sides of the brain in a world |
//! | [`jobs`] | the same prototype's job server, whose host is killed every 10 minutes | simulated, with clients, workers and jobs on top of the world |
//!
//! Each gives a [`Table`] and a [`plot::Chart`].

use serde::Serialize;

pub mod ibm;
pub mod infn;
pub mod jobs;
pub mod plot;

/// A table with a heading.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// What it shows, and how it came about.
    pub about: String,
    /// Titles of the columns.
    pub columns: Vec<String>,
    /// The rows, a cell a column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(about: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|title| (*title).to_owned()).collect();
        Self { about: about.into(), columns, rows: Vec::new() }
    }

    /// The table as Markdown, its columns aligned.
    #[must_use]
    pub fn markdown(&self) -> String {
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).chain(self.columns.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded =
                cells.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
                    if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                });
            format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
        };
        let rule = widths.iter().enumerate().map(|(at, width)| {
            if at == 0 { "-".repeat(*width) } else { format!("{}:", "-".repeat(width.saturating_sub(1))) }
        });
        let mut out = format!("{}\n\n{}", self.about, line(&self.columns));
        out += &format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
        self.rows.iter().for_each(|row| out += &line(row));
        out
    }
}

/// What one experiment came to.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The stem of its files' names.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its numbers.
    pub table: Table,
    /// Its picture.
    pub chart: plot::Chart,
}

/// Why an experiment could not be repeated.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// A name is not one.
    #[error("the experiment's fleet has a name that is not one")]
    Name(#[from] lifeboat_model::NameError),
    /// There is no plan.
    #[error("the experiment's fleet cannot be planned")]
    Plan(#[from] lifeboat_planner::PlanError),
    /// The world broke a promise or did not do what the experiment needs.
    #[error("the experiment went wrong in its world: {0}")]
    World(String),
}

/// All experiments, in order.
///
/// # Errors
/// When one of them cannot be repeated.
pub fn all() -> Result<Vec<Figure>, PaperError> {
    Ok(vec![ibm::over_vms()?, ibm::over_volumes()?, infn::figure()?, jobs::figure()?])
}

/// `3 min 30 s`, `47 s`.
fn span(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    if whole < 120.0 {
        return format!("{whole:.0} s");
    }
    let (hours, minutes, rest) = ((whole / 3600.0).floor(), (whole / 60.0 % 60.0).floor(), whole % 60.0);
    if hours > 0.0 { format!("{hours:.0} h {minutes:.0} min") } else { format!("{minutes:.0} min {rest:.0} s") }
}
