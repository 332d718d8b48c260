//! The macros' own errors: what they say, and where they point.
//!
//! Each file has many of them, since each file is a run of the compiler. Only errors that the
//! macros write themselves are here: the compiler's change from version to version.

#[test]
fn errors_point_to_what_is_wrong() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
