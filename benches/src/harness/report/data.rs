//! What there is to report.

use super::super::options::RunOptions;
use super::super::row::Row;
use super::super::suite::Suite;
use crate::machine::{Machine, Others};

/// Everything that a run found.
pub(in crate::harness) struct Report<'a> {
    pub(in crate::harness) machine: Machine,
    pub(in crate::harness) others: Others,
    pub(in crate::harness) options: &'a RunOptions,
    pub(in crate::harness) rows: &'a [Row],
}

impl Report<'_> {
    /// The rows of a suite, which are one after another.
    pub(super) fn rows_of(&self, suite: &Suite) -> &[Row] {
        let is_of_suite = |row: &Row| row.case.suite == suite.name;
        let begin = self.rows.iter().position(is_of_suite);
        let rows = &self.rows[begin.unwrap_or(self.rows.len())..];
        let count = rows.iter().take_while(|row| is_of_suite(row)).count();
        &rows[..count]
    }
}
