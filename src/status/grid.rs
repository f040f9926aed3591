//! Columns that are as wide as what stands in them.

use std::fmt::Write;

use super::WIDTH;
use super::words::shorten;

/// Spaces between columns.
const GAP: &str = "  ";
/// What is left at least of a name.
const NAME_LEAST: usize = 8;

/// Styles.
pub(super) const RED: &str = "31";
pub(super) const GREEN: &str = "32";
pub(super) const YELLOW: &str = "33";

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

    /// At most so many characters of it.
    pub(super) fn shorten(&mut self, most: usize) {
        self.text = shorten(&self.text, most);
    }

    /// Another word in its place.
    pub(super) fn say(&mut self, text: String) {
        self.text = text;
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

/// Shortens what stands in these columns until the rows take at most [`WIDTH`] columns of the screen: the widest
/// gives way first.
pub(super) fn fit(rows: &mut [Vec<Cell>], names: &[usize]) {
    let mut widths: Vec<_> = names.iter().map(|column| column_width(rows, *column)).collect();
    for _ in WIDTH..width(rows) {
        if let Some(widest) = widths.iter_mut().max().filter(|width| **width > NAME_LEAST) {
            *widest -= 1;
        }
    }
    for row in rows {
        for (column, width) in names.iter().zip(&widths) {
            row[*column].shorten(*width);
        }
    }
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
