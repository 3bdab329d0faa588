//! Tables as wide as the terminal: the columns that matter least go first, the widest text is cut last.

use super::{
    Look,
    paint::Tone,
    wrap::{cut, width},
};

/// Columns between two columns.
const GAP: usize = 2;
/// A column that can be cut keeps at least so much.
const LEAST: usize = 16;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    right: bool,
    can_be_cut: bool,
    /// The highest goes first where the terminal is narrow; 0 never goes.
    goes: u8,
}

impl Column {
    /// A column of words that always stays.
    pub const fn new(title: &'static str) -> Self {
        Self { title, right: false, can_be_cut: false, goes: 0 }
    }

    /// The same, for numbers.
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// The same, cut where the terminal is narrow.
    pub const fn cut(mut self) -> Self {
        self.can_be_cut = true;
        self
    }

    /// The same, left out where the terminal is narrow: the higher, the earlier.
    pub const fn goes(mut self, goes: u8) -> Self {
        self.goes = goes;
        self
    }
}

/// A cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text with a tone.
    pub fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// A table with a heading line.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
    headed: bool,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new(), indent: 0, headed: true }
    }

    /// The same, so many columns from the left.
    pub fn indent(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// The same, without its heading line.
    pub fn without_heading(mut self) -> Self {
        self.headed = false;
        self
    }

    /// Adds a row, a cell a column.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// The table as lines.
    pub fn render(&self, look: &Look) -> String {
        let (kept, widths) = self.fit(look);
        let mut out = String::new();
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::toned(Tone::Faint, column.title)).collect();
        for row in std::iter::once(&titles).skip(usize::from(!self.headed)).chain(&self.rows) {
            let mut line = " ".repeat(self.indent);
            for (at, room) in kept.iter().zip(&widths) {
                let Some(cell) = row.get(*at) else { continue };
                if line.len() > self.indent {
                    line.push_str(&" ".repeat(GAP));
                }
                let text = cut(&cell.text, *room);
                let blanks = " ".repeat(room - width(&text));
                let text = look.paint(cell.tone, &text);
                line.push_str(&if self.columns[*at].right { blanks + &text } else { text + &blanks });
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// Which columns stay, and how wide they are.
    fn fit(&self, look: &Look) -> (Vec<usize>, Vec<usize>) {
        let natural = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| width(&cell.text));
            cells.max().unwrap_or(0).max(width(self.columns[at].title))
        };
        // A column that says nothing in any row is left out.
        let says = |at: &usize| self.rows.is_empty() || self.rows.iter().any(|row| !row[*at].text.is_empty());
        let mut kept: Vec<usize> = (0..self.columns.len()).filter(says).collect();
        let mut widths: Vec<usize> = kept.iter().map(|at| natural(*at)).collect();
        let Some(room) = look.width else { return (kept, widths) };
        let over = |widths: &[usize]| {
            (self.indent + widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)).saturating_sub(room)
        };
        loop {
            for (at, width) in kept.iter().zip(0..) {
                if self.columns[*at].can_be_cut {
                    let excess = over(&widths);
                    widths[width] = widths[width].saturating_sub(excess).max(LEAST.min(widths[width]));
                }
            }
            let next = (0..kept.len()).filter(|at| self.columns[kept[*at]].goes > 0);
            let next = next.max_by_key(|at| self.columns[kept[*at]].goes);
            match next {
                Some(at) if over(&widths) > 0 => {
                    kept.remove(at);
                    widths = kept.iter().map(|at| natural(*at)).collect();
                }
                _ => return (kept, widths),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn table() -> Table {
        let columns = [Column::new("NAME"), Column::new("VMS").right().goes(1), Column::new("NOTE").cut()];
        let mut table = Table::new(columns);
        table.row([Cell::from("h1"), "12".into(), "a long note about this very host".into()]);
        table.row([Cell::from("h200"), "3".into(), Cell::default()]);
        table
    }

    fn look(width: Option<usize>) -> Look {
        Look { width, colour: false, zone: TimeZone::UTC }
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            table().render(&look(None)),
            "NAME  VMS  NOTE\nh1     12  a long note about this very host\nh200    3\n"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_notes_then_loses_columns_and_no_line_is_too_long() {
        assert_eq!(table().render(&look(Some(30))), "NAME  VMS  NOTE\nh1     12  a long note about …\nh200    3\n");
        for columns in 24..80 {
            let text = table().render(&look(Some(columns)));
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}:\n{text}");
        }
        assert!(!table().render(&look(Some(24))).contains("VMS"));
    }

    #[test]
    fn a_column_that_says_nothing_is_left_out() {
        let mut table = Table::new([Column::new("A"), Column::new("B")]);
        table.row([Cell::from("x"), Cell::default()]);
        assert_eq!(table.render(&look(None)), "A\nx\n");
    }
}
