//! Columns that are as wide as what stands in them.

use std::fmt::Write;

/// Spaces between columns.
const GAP: &str = "  ";

/// Where a column's words stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A word, and how a terminal is to show it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: &'static str,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: "" }
    }
}

impl Cell {
    /// With this style: what stands between `ESC [` and `m`.
    pub(super) fn styled(text: &str, style: &'static str) -> Self {
        Self { text: text.to_owned(), style }
    }
}

/// How wide a column is.
pub(super) fn column_width(rows: &[Vec<Cell>], column: usize) -> usize {
    rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0)
}

/// How wide the rows are.
pub(super) fn width(rows: &[Vec<Cell>]) -> usize {
    let columns = rows.first().map_or(0, Vec::len);
    (0..columns).map(|column| column_width(rows, column) + GAP.len()).sum::<usize>() - GAP.len()
}

/// The rows below each other. A last column that stands left is not filled up.
pub(super) fn print(columns: &[Align], rows: &[Vec<Cell>], out: &mut String) {
    let widths: Vec<_> = (0..columns.len()).map(|column| column_width(rows, column)).collect();
    for row in rows {
        let mut line = String::new();
        for ((cell, align), width) in row.iter().zip(columns).zip(&widths) {
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let space = " ".repeat(width - cell.text.chars().count());
            let text = match cell.style {
                "" => cell.text.clone(),
                style => format!("\x1b[{style}m{}\x1b[m", cell.text),
            };
            let _ = match align {
                Align::Left => write!(line, "{text}{space}"),
                Align::Right => write!(line, "{space}{text}"),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
