//! A stack that anybody pushes on and that is taken whole.

pub(crate) use evenkeel_sync::Stack;
