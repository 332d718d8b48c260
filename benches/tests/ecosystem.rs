//! The suite `ecosystem` as a user runs it, briefly.

mod common;

#[test]
fn the_ecosystem_is_measured_or_says_what_is_missing() {
    for name in ["axum", "json", "sqlx", "client", "tonic", "quinn"] {
        let case = common::case("ecosystem", name);
        for contender in ["evenkeel", "tokio"] {
            let found = &case["contenders"][contender];
            if cfg!(feature = "ecosystem") {
                let values = &found["rounds"][0]["values"];
                let number = |name: &str| {
                    let number = values[name].as_f64();
                    number.unwrap_or_else(|| panic!("{name} of {contender}: {found}"))
                };
                assert!(number("requests") > 0.0, "{contender}: {values}");
                let latencies = ["p50", "p99", "p99.9"].map(number);
                assert!(latencies[0] > 0.0 && latencies.is_sorted(), "{values}");
            } else {
                let why = found["obstacle"].as_str().unwrap_or_default();
                assert!(why.contains("--features ecosystem"), "{found}");
            }
        }
    }
}
