//! Cases that are run and shown together.

use std::time::Duration;

use serde_json::Value;

use super::case::Case;
use super::row::Row;
use crate::machine::Fact;

#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    pub(crate) cases: fn(Form) -> &'static [Case],
    pub(crate) layout: Layout,
    /// For how long each contender is measured in each case, if nothing else is asked for.
    pub(crate) window: Duration,
    /// How many times over.
    pub(crate) rounds: u32,
    /// What a reader has to know before the numbers of these rows, which are all of this suite.
    pub(crate) facts: fn(&[Row]) -> Vec<Fact>,
    /// What follows from the numbers of these rows, which are all of this suite.
    pub(crate) conclusion: fn(&[Row]) -> Option<Conclusion>,
}

/// What a suite makes of its numbers.
#[derive(Debug)]
pub(crate) struct Conclusion {
    /// For the reader, in lines with a heading each.
    pub(crate) facts: Vec<Fact>,
    /// The same for programs.
    pub(crate) data: Value,
}

/// Which cases of a suite are meant. For most suites that is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Short,
    /// What `--long` asks for.
    Long,
}

/// How the numbers of a suite are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A line for each metric, with a column for each contender.
    Columns,
    /// The same, and then a line for each contender to be quoted, since there are many of both.
    ColumnsAndQuote,
    /// A line for each contender, with a column for each metric.
    Lines,
    /// Two tables for each condition of the cases' [`Place`](super::case::Place): the first metric
    /// of each workload, and its others, with a column for each contender.
    Conditions,
    /// A table for each operation of the cases' [`Scale`](super::case::Scale), with a line for each
    /// number of workers.
    Scale,
}

impl Suite {
    pub(crate) const fn new(
        name: &'static str,
        about: &'static str,
        cases: fn(Form) -> &'static [Case],
    ) -> Self {
        Self {
            name,
            about,
            cases,
            layout: Layout::Columns,
            window: Duration::from_secs(1),
            rounds: 3,
            facts: |_| Vec::new(),
            conclusion: |_| None,
        }
    }

    /// Whether `--long` makes a difference.
    pub(crate) fn has_long_form(&self) -> bool {
        (self.cases)(Form::Short).len() < (self.cases)(Form::Long).len()
    }
}
