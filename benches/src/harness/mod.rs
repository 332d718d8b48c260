//! The harness, for all suites: what a case is ([`case`], [`suite`]), which are asked for
//! ([`select`]), how one is measured in a process of its own ([`process`]), the rounds over them
//! ([`mod@run`]), the verdicts ([`verdict`]), what heuristics are worth ([`ablation`]), what more
//! workers are worth ([`scaling`]), and the tables ([`report`]).

mod ablation;
mod case;
mod options;
pub(crate) mod process;
mod report;
mod row;
mod run;
mod scaling;
mod select;
mod setup;
mod suite;
mod verdict;

pub(crate) use self::case::{Bar, Case, Contender, EVENKEEL, Limit, Measurement, Metric, Template};
pub(crate) use self::case::{Condition, InChild, Place, Scale, Turn, Twin};
pub(crate) use self::options::RunOptions;
pub(crate) use self::process::{in_child, in_computing_child, measure};
pub(crate) use self::report::list;
pub(crate) use self::row::Row;
pub(crate) use self::run::run;
pub(crate) use self::setup::{Options, Setup};
pub(crate) use self::suite::{Conclusion, Form, Layout, Suite};
