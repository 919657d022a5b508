//! Columns that line up.

use anstyle::Style;

use super::look::{Look, paint};

/// One cell: what it says, and how it looks.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Makes a cell in `style`.
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Style::new(), text)
    }
}

/// Rows whose columns line up; the last column is cut where the terminal ends.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

/// What stands between two columns.
const GAP: usize = 2;

impl Table {
    /// Makes a table whose first row is `heads`.
    pub fn with_heads(style: Style, heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|head| Cell::new(style, *head)).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the table as lines, each indented by `indent` blanks.
    pub fn draw(&self, indent: usize, look: &Look) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for row in &self.rows {
            let mut column = indent;
            let mut line = " ".repeat(indent);
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let last = index + 1 == row.len();
                let room = look.width.saturating_sub(column).max(20);
                let text = if last {
                    super::words::cut(&cell.text, room, look.glyphs.ellipsis())
                } else {
                    cell.text.clone()
                };
                let pad = if last { 0 } else { width - cell.width() + GAP };
                line.push_str(&paint(cell.style, text));
                line.push_str(&" ".repeat(pad));
                column += width + GAP;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::look::PLAIN;

    #[test]
    fn columns_line_up_and_the_last_is_cut() {
        let mut table = Table::with_heads(PLAIN, &["NAME", "WHY"]);
        table.row(["a".into(), "a reason that is much too long for this".into()]);
        table.row(["longer".into(), "short".into()]);
        let look = Look { width: 30, ..Look::plain() };
        assert_eq!(
            table.draw(2, &look),
            "  NAME    WHY\n  a       a reason that is mu…\n  longer  short\n"
        );
    }
}
