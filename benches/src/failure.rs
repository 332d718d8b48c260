//! Why the program ends without success.

/// What went wrong, and so with which status the program ends.
pub(crate) enum Failure {
    /// The user asked for something that cannot be.
    Usage(String),
    /// What was asked did not work out.
    Run(String),
}
