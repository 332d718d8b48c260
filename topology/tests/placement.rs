//! Where each strategy puts the workers, on machines from one CPU to 256.

mod machines;

use evenkeel_topology::{CpuSet, Fence, PinError, Pinning, Placement, Plan, Reason, Topology};
use machines::{Machine, ONE, P_AND_E, TWO_CCD, TWO_SOCKETS, VM, cpus, two_times_64};

/// The masks of the workers, as the kernel writes them, with spaces between; `-` is none.
fn masks(plan: &Plan) -> String {
    let mask = |worker| {
        plan.mask(worker)
            .map_or("-".to_owned(), ToString::to_string)
    };
    let masks: Vec<_> = (0..plan.workers()).map(mask).collect();
    masks.join(" ")
}

fn place(topology: &Topology, workers: [usize; 2], pinning: &Pinning) -> Placement {
    Placement::new(topology, topology.cpus().len(), workers, pinning).unwrap()
}

/// For each strategy by its name, the masks of this many workers of both lanes.
#[track_caller]
fn assert_places(topology: &Topology, workers: usize, table: &[(&str, &str)]) {
    for (name, expected) in table {
        let pinning: Pinning = name.parse().unwrap();
        let placement = place(topology, [workers; 2], &pinning);
        assert_eq!(masks(&placement.compute), *expected, "{name}");
        let io = match pinning {
            Pinning::ComputeOnly => vec!["-"; workers].join(" "),
            _ => (*expected).to_owned(),
        };
        assert_eq!(masks(&placement.io), io, "{name}");
    }
}

#[test]
fn one_cpu_has_all() {
    let table = [
        ("auto", "0"),
        ("none", "-"),
        ("per_core", "0"),
        ("compact", "0"),
        ("scatter", "0"),
        ("compute_only", "0"),
        ("fence_cluster", "0"),
        ("fence_l3", "0"),
        ("fence_node", "0"),
        ("fence:0", "0"),
        ("[0]", "0"),
    ];
    assert_places(&ONE.topology(), 1, &table);
}

#[test]
fn two_cpus_have_one_each_or_are_a_fence() {
    let table = [
        ("auto", "0 1"),
        ("none", "- -"),
        ("per_core", "0 1"),
        ("compact", "0 1"),
        ("scatter", "0 1"),
        ("compute_only", "0 1"),
        ("fence_cluster", "0 1"),
        ("fence_l3", "0-1 0-1"),
        ("fence_node", "0-1 0-1"),
        ("fence:1", "1 1"),
        ("[1, 0]", "1 0"),
    ];
    assert_places(&VM.topology(), 2, &table);
}

#[test]
fn four_workers_on_two_dies() {
    let table = [
        ("auto", "- - - -"),
        ("none", "- - - -"),
        ("per_core", "0 1 2 3"),
        ("compact", "0 12 1 13"),
        ("scatter", "0 6 1 7"),
        ("compute_only", "0 1 2 3"),
        ("fence_cluster", "0,12 1,13 2,14 3,15"),
        ("fence_l3", "0-5,12-17 0-5,12-17 0-5,12-17 0-5,12-17"),
        ("fence_node", "0-23 0-23 0-23 0-23"),
        ("fence:6-11", "6-11 6-11 6-11 6-11"),
    ];
    assert_places(&TWO_CCD.topology(), 4, &table);
}

#[test]
fn workers_for_all_cpus_of_two_dies() {
    let desktop = TWO_CCD.topology();
    let all = |name: &str| {
        let placement = place(&desktop, [24; 2], &name.parse().unwrap());
        (0..24).map(move |worker| placement.io.mask(worker).unwrap().to_string())
    };
    let numbers = |numbers: [usize; 24]| numbers.map(|number| number.to_string());
    let first_cores = std::array::from_fn(|worker| worker);
    assert!(all("auto").eq(numbers(first_cores)));
    let in_pairs = std::array::from_fn(|worker| worker / 2 + worker % 2 * 12);
    assert!(all("compact").eq(numbers(in_pairs)));
    let dies_in_turn = |worker| worker % 2 * 6 + worker / 2 % 6 + worker / 12 * 12;
    assert!(all("scatter").eq(numbers(std::array::from_fn(dies_in_turn))));
    for die in ["0-5,12-17", "6-11,18-23"] {
        assert_eq!(all("fence_l3").filter(|mask| mask == die).count(), 12);
    }
}

#[test]
fn two_sockets_of_64_cores() {
    let server = two_times_64().topology();
    let table = [
        ("auto", "- - - - -"),
        ("per_core", "0 1 2 3 4"),
        ("compact", "0 128 1 129 2"),
        ("scatter", "0 64 8 72 16"),
        ("compute_only", "0 1 2 3 4"),
        ("fence_cluster", "0,128 1,129 2,130 3,131 4,132"),
        (
            "fence_l3",
            "0-7,128-135 0-7,128-135 0-7,128-135 0-7,128-135 0-7,128-135",
        ),
        (
            "fence_node",
            "0-63,128-191 0-63,128-191 0-63,128-191 0-63,128-191 0-63,128-191",
        ),
    ];
    assert_places(&server, 5, &table);

    // With a worker for each CPU, each group has as many workers as CPUs.
    for (name, groups, cpus) in [
        ("fence_cluster", 128, 2),
        ("fence_l3", 16, 16),
        ("fence_node", 2, 128),
    ] {
        let placement = place(&server, [256; 2], &name.parse().unwrap());
        let mut masks: Vec<_> = (0..256)
            .map(|worker| placement.io.mask(worker).unwrap())
            .collect();
        masks.sort_unstable_by_key(|mask| mask.as_slice()[0]);
        let groups_found: Vec<_> = masks.chunk_by(|a, b| a == b).collect();
        assert_eq!(groups_found.len(), groups, "{name}");
        let are_full = |group: &&[&CpuSet]| group.len() == cpus && group[0].len() == cpus;
        assert!(groups_found.iter().all(are_full), "{name}");
    }
    // The first 16 of scattered workers have an L3 each.
    let scattered = place(&server, [16; 2], &Pinning::Scatter);
    let mut l3: Vec<_> = (0..16)
        .map(|worker| scattered.io.cpu(worker).unwrap() / 8)
        .collect();
    l3.sort_unstable();
    assert!(l3.into_iter().eq(0..16));
}

#[test]
fn p_cores_come_before_e_cores_and_a_module_of_these_is_a_cluster() {
    let table = [
        ("per_core", "0 2 4 5 6"),
        ("compact", "0 1 2 3 4"),
        ("scatter", "0 2 4 8 5"),
        ("compute_only", "0 2 4 5 6"),
        ("fence_cluster", "0-1 2-3 4-7 4-7 4-7"),
        ("fence_l3", "0-11 0-11 0-11 0-11 0-11"),
    ];
    assert_places(&P_AND_E.topology(), 5, &table);
    let all = place(&P_AND_E.topology(), [12; 2], &Pinning::Auto);
    assert_eq!(masks(&all.io), "0 2 4 5 6 7 8 9 10 11 1 3");
}

#[test]
fn a_container_with_three_of_64_cpus() {
    const HOST: Machine = Machine {
        name: "host",
        cores: &["3,35", "5,37", "6,38", "9,41"],
        clusters: &[],
        l3: &["0-7,32-39", "8-15,40-47"],
        packages: &["0-63"],
        nodes: &["0-63"],
    };
    let container = HOST.topology_for(&cpus("5,9,37"));
    let table = [
        ("auto", "5 9 37"),
        ("per_core", "5 9 37"),
        ("compact", "5 37 9"),
        ("scatter", "5 9 37"),
        ("compute_only", "5 9 37"),
        ("fence_cluster", "5,37 9 5,37"),
        ("fence_l3", "5,37 9 5,37"),
        ("fence_node", "5,9,37 5,9,37 5,9,37"),
        ("fence:9,37", "9,37 9,37 9,37"),
    ];
    assert_places(&container, 3, &table);
    // The CPUs of the host are not the container's.
    let fence = Pinning::Fence(Fence::Cpus(vec![5, 6]));
    let error = Placement::new(&container, 3, [3; 2], &fence).unwrap_err();
    let allowed = cpus("5,9,37");
    assert_eq!(error, PinError::NotAllowed { cpu: 6, allowed });
}

#[test]
fn a_fence_needs_a_cpu() {
    let fence = Pinning::Fence(Fence::Cpus(Vec::new()));
    let error = Placement::new(&VM.topology(), 2, [2; 2], &fence).unwrap_err();
    assert_eq!(error, PinError::Empty);
}

#[test]
fn auto_says_why() {
    let vm = VM.topology();
    let auto = |parallelism, workers| {
        let placement = Placement::new(&vm, parallelism, [workers, 1], &Pinning::Auto).unwrap();
        (placement.io.is_pinned(), placement.reason)
    };
    assert_eq!(auto(2, 2), (true, Some(Reason::OwnCpus)));
    assert_eq!(auto(1, 1), (false, Some(Reason::Quota)));
    assert_eq!(auto(2, 1), (false, Some(Reason::OtherNumber)));
    assert_eq!(place(&vm, [2; 2], &Pinning::PerCore).reason, None);
}

#[test]
fn compute_workers_are_beside_the_io_workers_and_go_round_once_more() {
    let vm = VM.topology();
    let compute = |workers, pinning| masks(&place(&vm, workers, &pinning).compute);
    assert_eq!(compute([2, 3], Pinning::PerCore), "0 1 0");
    assert_eq!(compute([1, 2], Pinning::PerCore), "0 0");
    assert_eq!(compute([1, 2], Pinning::ComputeOnly), "0 1");
    assert_eq!(compute([2, 1], Pinning::Custom(vec![1, 0])), "1");
}

#[test]
fn workers_of_a_fence_are_nearest_to_each_other() {
    let topology = TWO_CCD.topology();
    let order = |name: &str, worker| {
        let placement = place(&topology, [24; 2], &name.parse().unwrap());
        placement.io.steal_order(&topology, worker)
    };
    let first_die: Vec<_> = (1..6).chain(12..18).collect();
    let second_die: Vec<_> = (6..12).chain(18..24).collect();
    assert_eq!(
        order("fence_l3", 0),
        [first_die.clone(), second_die.clone()]
    );
    assert_eq!(order("fence_node", 0), [(1..24).collect::<Vec<_>>()]);
    assert_eq!(order("compute_only", 0), [(1..24).collect::<Vec<_>>()]);
    let rest_of_die = [1, 2, 3, 4, 5, 13, 14, 15, 16, 17].to_vec();
    let by_cluster = order("fence_cluster", 0);
    assert_eq!(by_cluster, [vec![12], rest_of_die, second_die]);
    let sockets = TWO_SOCKETS.topology();
    let by_node = place(&sockets, [8; 2], &Pinning::Fence(Fence::Node));
    // Workers 0, 1, 4 and 5 are of the first node.
    let order = by_node.io.steal_order(&sockets, 1);
    assert_eq!(order, [vec![0, 4, 5], vec![2, 3, 6, 7]]);
}

#[test]
fn names_are_read_back() {
    for name in [
        "auto",
        "none",
        "per_core",
        "compact",
        "scatter",
        "compute_only",
        "fence_cluster",
        "fence_l3",
        "fence_node",
        "fence:0-3,8",
        "[0, 2]",
    ] {
        assert_eq!(name.parse::<Pinning>().unwrap().to_string(), name);
    }
    for text in ["", "numa", "fence:x", "[]", "[0,", "[a]", "Auto"] {
        let error = text.parse::<Pinning>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{text:?} is no strategy")),
            "{error}"
        );
        assert!(error.contains("\"fence_l3\""), "{error}");
    }
}
