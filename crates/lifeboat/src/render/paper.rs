//! A published experiment, as a table.

use lifeboat_sim::paper::Figure;

use super::{Look, paint::Tone, wrap::hanging};

/// Its heading, how it came about, and its table.
pub fn text(figure: &Figure, look: &Look) -> String {
    let mut out = format!(" {}\n", look.paint(Tone::Strong, figure.title));
    // A long sentence is read by nobody on one line, whatever it is read on.
    let narrow = Look { width: Some(look.width.unwrap_or(100).min(100)), ..look.clone() };
    out += &hanging(" ", &figure.table.about, &narrow);
    out.push('\n');
    let table = &figure.table;
    let width = |at: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(at)).chain(table.columns.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    for (number, row) in std::iter::once(&table.columns).chain(&table.rows).enumerate() {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells
            .map(|(at, (cell, width))| if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        let line = format!("   {}", cells.collect::<Vec<_>>().join("  "));
        out += &if number == 0 { look.paint(Tone::Faint, line.trim_end()) } else { line.trim_end().to_owned() };
        out.push('\n');
    }
    out
}
