//! Reading machines, and placing workers on them.

mod machines;

use std::io;

use evenkeel_topology::{Distance, PinError, Pinning, Plan, Topology, allowed_cpus};
use machines::{HOLES, Machine, NO_L3, TWO_CCX, TWO_SOCKETS, Tree, VM, cpus};

fn per_core(topology: &Topology, workers: usize) -> Vec<usize> {
    let plan = Plan::new(topology, 1, workers, &Pinning::PerCore).unwrap();
    assert_eq!(plan.workers(), workers);
    (0..workers)
        .map(|worker| plan.cpu(worker).unwrap())
        .collect()
}

fn steal_order(
    machine: &Machine,
    pinning: &Pinning,
    workers: usize,
    worker: usize,
) -> Vec<Vec<usize>> {
    let topology = machine.topology();
    let plan = Plan::new(&topology, workers, workers, pinning).unwrap();
    plan.steal_order(&topology, worker)
}

#[test]
fn cpus_of_a_vm_share_the_l3() {
    let vm = VM.topology();
    assert_eq!(vm.distance(0, 0), Distance::Same);
    assert_eq!(vm.distance(0, 1), Distance::L3);
    assert_eq!(
        vm.to_string(),
        "CPUs 0-1: 2 cores, 1 L3 group, 1 node, 1 package"
    );
}

#[test]
fn distance_knows_siblings_and_core_complexes() {
    let ccx = TWO_CCX.topology();
    assert_eq!(ccx.distance(3, 19), Distance::Smt);
    assert_eq!(ccx.distance(19, 3), Distance::Smt);
    assert_eq!(ccx.distance(3, 16), Distance::L3);
    assert_eq!(ccx.distance(7, 8), Distance::Node);
    assert_eq!(
        ccx.to_string(),
        "CPUs 0-31: 16 cores, 2 L3 groups, 1 node, 1 package"
    );
}

#[test]
fn distance_knows_nodes_and_a_node_may_be_memory_alone() {
    let sockets = TWO_SOCKETS.topology();
    assert_eq!(sockets.distance(0, 4), Distance::Smt);
    assert_eq!(sockets.distance(0, 2), Distance::L3);
    assert_eq!(sockets.distance(0, 1), Distance::Remote);
    assert_eq!(
        sockets.to_string(),
        "CPUs 0-7: 4 cores, 2 L3 groups, 2 nodes, 2 packages"
    );
}

#[test]
fn distances_are_ordered_from_near_to_far() {
    use Distance::{L3, Node, Remote, Same, Smt};
    assert!([Same, Smt, L3, Node, Remote].is_sorted_by(|a, b| a < b));
}

#[test]
fn holes_in_the_numbering_are_no_cpus() {
    let holes = HOLES.topology();
    assert_eq!(holes.cpus().to_string(), "0,2-3,6-7");
    assert_eq!(holes.distance(2, 3), Distance::Smt);
    assert_eq!(holes.distance(0, 7), Distance::L3);
    assert_eq!(holes.distance(0, 1), Distance::Remote);
    let error = Topology::read(HOLES.tree().root(), &cpus("0-3")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("cpu1"), "{error}");
}

#[test]
fn only_allowed_cpus_are_read() {
    let part = TWO_CCX.topology_for(&cpus("1,8,24"));
    assert_eq!(part.cpus().to_string(), "1,8,24");
    assert_eq!(part.distance(8, 24), Distance::Smt);
    assert_eq!(part.distance(1, 8), Distance::Node);
    assert_eq!(
        part.to_string(),
        "CPUs 1,8,24: 2 cores, 2 L3 groups, 1 node, 1 package"
    );
}

#[test]
fn without_an_l3_the_cpus_of_a_package_and_node_are_near() {
    let machine = NO_L3.topology();
    assert_eq!(machine.distance(0, 1), Distance::L3);
    assert_eq!(machine.distance(2, 3), Distance::L3);
    assert_eq!(machine.distance(1, 2), Distance::Remote);
}

#[test]
fn bare_cpus_are_flat() {
    let tree = Tree::empty("bare");
    tree.write("cpu/cpu0/online", "1");
    tree.write("cpu/cpu1/online", "1");
    let bare = Topology::read(tree.root(), &cpus("0-1")).unwrap();
    assert_eq!(bare, Topology::flat(&cpus("0-1")));
}

#[test]
fn names_from_before_linux_5_3_are_known() {
    let tree = Tree::empty("old");
    for cpu in ["cpu0", "cpu1"] {
        tree.write(&format!("cpu/{cpu}/topology/thread_siblings_list"), "0-1");
        tree.write(&format!("cpu/{cpu}/topology/core_siblings_list"), "0-1");
    }
    let old = Topology::read(tree.root(), &cpus("0-1")).unwrap();
    assert_eq!(old.distance(0, 1), Distance::Smt);
}

#[test]
fn a_file_that_makes_no_sense_is_named() {
    let tree = VM.tree();
    tree.write("cpu/cpu1/topology/core_cpus_list", "one");
    let error = Topology::read(tree.root(), &VM.cpus()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(
        error.to_string().contains("cpu1/topology/core_cpus_list"),
        "{error}"
    );
}

#[test]
fn no_numa_is_one_node() {
    let tree = VM.tree();
    tree.remove("node");
    assert_eq!(
        Topology::read(tree.root(), &VM.cpus()).unwrap(),
        VM.topology()
    );
}

#[test]
fn this_machine_is_readable() {
    let topology = Topology::detect();
    assert_eq!(topology.cpus(), &allowed_cpus());
    for cpu in topology.cpus().iter() {
        assert_eq!(topology.distance(cpu, cpu), Distance::Same);
    }
}

#[test]
fn auto_pins_only_where_the_cpus_are_its_own() {
    let vm = VM.topology();
    let auto = |parallelism, workers| Plan::new(&vm, parallelism, workers, &Pinning::Auto).unwrap();
    let pinned = auto(2, 2);
    assert!(pinned.is_pinned());
    assert_eq!(
        (pinned.cpu(0), pinned.cpu(1), pinned.cpu(2)),
        (Some(0), Some(1), None)
    );
    for (parallelism, workers) in [(1, 2), (1, 1), (2, 1), (2, 3)] {
        let plan = auto(parallelism, workers);
        assert!(!plan.is_pinned(), "{parallelism} {workers}");
        assert_eq!((plan.workers(), plan.cpu(0)), (workers, None));
    }
}

#[test]
fn none_pins_nothing() {
    let plan = Plan::new(&VM.topology(), 2, 2, &Pinning::None).unwrap();
    assert!(!plan.is_pinned());
    assert_eq!(plan.workers(), 2);
}

#[test]
fn per_core_takes_cores_before_siblings() {
    let ccx = TWO_CCX.topology();
    assert_eq!(per_core(&ccx, 16), (0..16).collect::<Vec<_>>());
    assert_eq!(per_core(&ccx, 18)[16..], [16, 17]);
    assert_eq!(per_core(&HOLES.topology(), 5), [0, 2, 6, 3, 7]);
}

#[test]
fn per_core_keeps_few_workers_on_one_node() {
    assert_eq!(
        per_core(&TWO_SOCKETS.topology(), 8),
        [0, 2, 1, 3, 4, 6, 5, 7]
    );
}

#[test]
fn per_core_starts_again_where_the_cpus_end() {
    assert_eq!(per_core(&VM.topology(), 5), [0, 1, 0, 1, 0]);
    assert_eq!(per_core(&Topology::flat(&cpus("3,9")), 3), [3, 9, 3]);
}

#[test]
fn custom_goes_by_the_list() {
    let pinning = Pinning::Custom(vec![7, 2, 2]);
    let plan = Plan::new(&HOLES.topology(), 1, 4, &pinning).unwrap();
    let cpus: Vec<_> = (0..4).map(|worker| plan.cpu(worker).unwrap()).collect();
    assert_eq!(cpus, [7, 2, 2, 7]);
}

#[test]
fn custom_names_the_cpu_that_is_not_allowed() {
    let pinning = Pinning::Custom(vec![0, 7]);
    let error = Plan::new(&VM.topology(), 2, 1, &pinning).unwrap_err();
    assert_eq!(
        error,
        PinError::NotAllowed {
            cpu: 7,
            allowed: VM.cpus()
        }
    );
    assert!(
        error
            .to_string()
            .starts_with("CPU 7 is not in the allowed set 0-1;"),
        "{error}"
    );
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("CPU 7"));
}

#[test]
fn custom_needs_a_cpu() {
    let error = Plan::new(&VM.topology(), 2, 2, &Pinning::Custom(Vec::new())).unwrap_err();
    assert_eq!(error, PinError::Empty);
}

#[test]
fn unpinned_workers_steal_from_all_alike() {
    assert_eq!(steal_order(&TWO_CCX, &Pinning::None, 4, 1), [[0, 2, 3]]);
}

#[test]
fn a_lone_worker_steals_from_nobody() {
    assert!(steal_order(&VM, &Pinning::PerCore, 1, 0).is_empty());
}

#[test]
fn pinned_workers_steal_from_the_nearest_first() {
    let order = steal_order(&TWO_CCX, &Pinning::PerCore, 32, 0);
    let l3 = [1, 2, 3, 4, 5, 6, 7, 17, 18, 19, 20, 21, 22, 23].to_vec();
    let node = (8..16).chain(24..32).collect();
    assert_eq!(order, [vec![16], l3, node]);

    // Workers 0 to 7 are on the CPUs 0, 2, 1, 3, 4, 6, 5, 7; the even ones are a node.
    let order = steal_order(&TWO_SOCKETS, &Pinning::PerCore, 8, 2);
    assert_eq!(order, [vec![6], vec![3, 7], vec![0, 1, 4, 5]]);
}

#[test]
fn workers_on_one_cpu_are_as_near_as_siblings() {
    let pinning = Pinning::Custom(vec![0, 0, 16, 1]);
    assert_eq!(steal_order(&TWO_CCX, &pinning, 4, 0), [vec![1, 2], vec![3]]);
}

#[test]
fn every_worker_steals_from_every_other_one() {
    for machine in [VM, TWO_CCX, TWO_SOCKETS, HOLES, NO_L3] {
        let topology = machine.topology();
        let workers = 2 * machine.cpus().len() - 1;
        let plan = Plan::new(&topology, 1, workers, &Pinning::PerCore).unwrap();
        for worker in 0..workers {
            let mut order = plan.steal_order(&topology, worker).concat();
            order.push(worker);
            order.sort_unstable();
            assert_eq!(order, (0..workers).collect::<Vec<_>>(), "{}", machine.name);
        }
    }
}
