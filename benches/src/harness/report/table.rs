//! Columns that line up.

use std::fmt::{self, Write as _};
use std::iter;

/// Cells, to be written in columns as wide as they need. All lines have as many.
#[derive(Default)]
pub(super) struct Table {
    pub(super) lines: Vec<Vec<String>>,
    /// Which columns hold numbers.
    pub(super) numbers: std::ops::Range<usize>,
}

/// The space between two columns.
const GAP: usize = 2;

impl Table {
    fn widths(&self) -> Vec<usize> {
        let columns = self.lines.first().map_or(0, Vec::len);
        let cells = |column: usize| self.lines.iter().map(move |line| &line[column]);
        (0..columns).map(|column| widest(cells(column))).collect()
    }

    /// As it is, if no line is longer than this. Else with lines and columns swapped, in as many
    /// tables as that takes, each with the first line as its first column.
    pub(super) fn fit(self, width_max: usize) -> Vec<Self> {
        let widths = self.widths();
        if widths.iter().sum::<usize>() + GAP * widths.len() <= width_max + GAP {
            return vec![self];
        }
        let Some((headings, mut lines)) = self.lines.split_first() else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        while !lines.is_empty() {
            let mut width = widest(headings.iter());
            let fitting = lines.iter().take_while(|line| {
                width += GAP + widest(line.iter());
                width <= width_max
            });
            let (part, rest) = lines.split_at(fitting.count().max(1));
            tables.push(Self::swapped(headings, part));
            lines = rest;
        }
        tables
    }

    fn swapped(headings: &[String], lines: &[Vec<String>]) -> Self {
        let columns = || iter::once(headings).chain(lines.iter().map(Vec::as_slice));
        let line = |index: usize| columns().map(|column| column[index].clone()).collect();
        Self {
            lines: (0..headings.len()).map(line).collect(),
            numbers: 1..1 + lines.len(),
        }
    }
}

fn widest<'a>(cells: impl Iterator<Item = &'a String>) -> usize {
    cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for line in &self.lines {
            let mut text = String::new();
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                if self.numbers.contains(&column) {
                    write!(text, "{cell:>width$}")?;
                } else {
                    write!(text, "{cell:<width$}")?;
                }
                text.extend([' '; GAP]);
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&[&str]]) -> Table {
        let cells = |line: &&[&str]| line.iter().map(ToString::to_string).collect();
        Table {
            lines: lines.iter().map(cells).collect(),
            numbers: 1..lines[0].len(),
        }
    }

    fn texts(tables: &[Table]) -> Vec<String> {
        tables.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_that_fits_stays_as_it_is() {
        let fitted = table(&[&["", "one", "two"], &["a", "1", "22"]]).fit(11);
        assert_eq!(texts(&fitted), ["   one  two\na    1   22\n"]);
    }

    #[test]
    fn one_that_does_not_fit_is_swapped_and_split() {
        let lines: [&[&str]; 4] = [
            &["", "one", "two"],
            &["a", "1", "22"],
            &["b", "3", "4"],
            &["c", "5", "6"],
        ];
        let fitted = table(&lines).fit(10);
        assert_eq!(
            texts(&fitted),
            [
                "      a  b\none   1  3\ntwo  22  4\n",
                "     c\none  5\ntwo  6\n"
            ]
        );
        // A column that is too wide by itself is there all the same.
        assert_eq!(table(&lines).fit(1).len(), 3);
    }
}
