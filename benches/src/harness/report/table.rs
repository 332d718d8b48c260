//! Columns that line up.

use std::fmt::{self, Write as _};

/// Cells, to be written in columns as wide as they need.
#[derive(Default)]
pub(super) struct Table {
    pub(super) lines: Vec<Vec<String>>,
    /// Which columns hold numbers.
    pub(super) numbers: std::ops::Range<usize>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.lines.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let widths = self.lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in &self.lines {
            let mut text = String::new();
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                if self.numbers.contains(&column) {
                    write!(text, "{cell:>width$}  ")?;
                } else {
                    write!(text, "{cell:<width$}  ")?;
                }
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}
