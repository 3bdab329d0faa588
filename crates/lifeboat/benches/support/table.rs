//! Tables in Markdown, as `docs/benchmarks.md` has them.

/// A table as text, its columns as wide as their widest cell; all but the first are set to the right.
pub fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count(), 3]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<String>| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, width)| match column {
        0 => "-".repeat(*width),
        _ => format!("{}:", "-".repeat(width - 1)),
    });
    let mut text = line(head.iter().map(|cell| (*cell).to_owned()).collect());
    text.push_str(&line(rule.collect()));
    rows.iter().for_each(|row| text.push_str(&line(row.clone())));
    text
}

/// `met` or `missed`, for a figure that shall not be above its target.
pub fn verdict(figure: f64, target: f64) -> String {
    if figure <= target { "met" } else { "**missed**" }.to_owned()
}
