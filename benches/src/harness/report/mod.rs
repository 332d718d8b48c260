//! The tables, what surrounds them, and the same as JSON.

mod ablation;
mod columns;
mod conditions;
mod data;
mod json;
mod lines;
mod quote;
mod scale;
mod table;
mod text;

pub(super) use self::data::Report;
pub(crate) use self::text::list;
pub(super) use self::text::summary;
