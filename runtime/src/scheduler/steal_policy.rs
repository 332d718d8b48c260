//! From whom a worker steals, and how much.
//!
//! From the nearest first; among those that are equally near, each search begins with another, so
//! that searchers spread. Half of a queue goes over, at most 32 tasks: the most that crossbeam's
//! deque moves at once.

/// The victims of one search in their order. `tiers` are those at equal distance, nearest first;
/// `turn` counts the searches.
pub(super) fn victims(tiers: &[Vec<usize>], turn: usize) -> impl Iterator<Item = usize> + '_ {
    tiers.iter().flat_map(move |tier| {
        let first = turn % tier.len().max(1);
        let (before, after) = tier.split_at(first);
        after.iter().chain(before).copied()
    })
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::victims;

    #[test]
    fn the_nearest_come_first_and_each_search_begins_with_another() {
        let tiers = [vec![1], vec![2, 3, 4], vec![]];
        let order = |turn| victims(&tiers, turn).collect::<Vec<_>>();
        assert_eq!(order(0), [1, 2, 3, 4]);
        assert_eq!(order(1), [1, 3, 4, 2]);
        assert_eq!(order(5), [1, 4, 2, 3]);
        assert_eq!(victims(&[], 7).count(), 0);
    }
}
