//! CPU quotas, in groups that the test makes where it may. Where it may not, it says so and ends.

#![cfg(target_os = "linux")]

mod groups;

use evenkeel_topology::{QuotaGroups, allowed_cpus, parallelism};
use groups::{Group, join};

/// What a child does that the test starts; nothing else.
#[test]
fn in_a_child() {
    if join() {
        let quota = QuotaGroups::of_process().quota();
        let cpus = quota.map(|quota| (quota.cpus * 100.0).round());
        println!("found: {} {}", parallelism(), cpus.unwrap_or(0.0));
    }
}

#[test]
fn quotas_count_in_whole_cpus_and_those_of_the_groups_above_too() {
    let above = Group::at_the_root();
    let made = above.and_then(|above| above.inner().map(|inner| (above, inner)));
    // In this order, since the last is removed first.
    let (above, inner) = match made {
        Ok(groups) => groups,
        Err(error) => return eprintln!("skipped: no group can be made here: {error}"),
    };
    let cpus = allowed_cpus().len();
    let table = [
        (None, None, cpus, 0),
        (None, Some(20_000), 1, 20),
        (None, Some(150_000), 1, 150),
        (None, Some(200_000), cpus.min(2), 200),
        (Some(100_000), None, 1, 100),
        (Some(100_000), Some(50_000), 1, 50),
        (Some(200_000), Some(150_000), 1, 150),
    ];
    for (quota_above, quota, workers, percent) in table {
        // The group above may not have less than one below it, so both are reset first.
        inner.set_quota(None).unwrap();
        above.set_quota(None).unwrap();
        above.set_quota(quota_above).unwrap();
        inner.set_quota(quota).unwrap();
        let found = inner.found_by("in_a_child");
        assert_eq!(
            found,
            format!("{workers} {percent}"),
            "{quota_above:?}, {quota:?}"
        );
    }
}
