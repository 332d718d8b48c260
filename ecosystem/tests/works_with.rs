//! No row: the table itself.

use evenkeel_ecosystem::{readme, table};

#[test]
fn the_readme_has_the_table_that_these_tests_make() {
    let made = evenkeel_ecosystem::table().unwrap();
    let text = std::fs::read_to_string(readme()).unwrap();
    let there = table::in_text(&text).unwrap_or_else(|error| panic!("README.md: {error}"));
    assert!(
        there == made,
        "README.md has another table. `cargo run --manifest-path ecosystem/Cargo.toml --bin works-with -- \
         --write` puts this into it:\n{made}"
    );
}
