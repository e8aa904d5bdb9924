//! Weighted max-min fair filling: all edges rise at the pace of their weights until a node is full; then its edges
//! stop and the others rise on.
//!
//! Invariant: the node that is full first is always filled next, ties by its place, so the result is a function of the
//! set of nodes and edges: no order of arrival takes part. A node is filled to the last millionth: what does not
//! divide goes by largest remainder, ties by the edge's place. No node is ever given more than it has: a node that is
//! filled at level `t` gives an edge of weight `w` at most `w t` rounded up, and since no other node is full below `t`,
//! the other end has that much.
//!
//! After "Data Networks" (Bertsekas, Gallager, 1992), section 6.5.2. Exact levels would have denominators that grow
//! with every node; here each node is exact upon the whole numbers that those before it left. Along an edge that is at
//! most one millionth for each edge of the node, which is the tolerance of the certificate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Level;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// The most nodes that bound an edge: both slots, what each exchanges at the most with the other, and a guarantee.
pub(crate) const ENDS: usize = 5;

/// An edge as the filling sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// The nodes that bound it; [`NONE`] for none.
    pub(crate) nodes: [u32; ENDS],
    /// At least 1.
    pub(crate) weight: u64,
    /// At least 1.
    pub(crate) lot: u64,
}

impl Way {
    pub(crate) fn ends(&self) -> impl Iterator<Item = usize> {
        self.nodes.into_iter().filter(|node| *node != NONE).map(|node| node as usize)
    }
}

/// What an edge got, and which node stopped it at which level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    pub(crate) quantity: u64,
    pub(crate) node: u32,
    pub(crate) level: Level,
}

/// Fills the ways from what the nodes have free, which it takes off. `O(E log V)`.
pub(crate) fn fill(free: &mut [u64], ways: &[Way]) -> Vec<Filled> {
    let mut filled = vec![Filled { quantity: 0, node: NONE, level: Level::ZERO }; ways.len()];
    let mut weights = vec![0_u64; free.len()];
    let mut starts = vec![0_usize; free.len() + 1];
    for way in ways {
        for node in way.ends() {
            weights[node] += way.weight;
            starts[node + 1] += 1;
        }
    }
    for node in 0..free.len() {
        starts[node + 1] += starts[node];
    }
    let mut next = starts.clone();
    let mut at = vec![0_u32; starts[free.len()]];
    for (place, way) in ways.iter().enumerate() {
        for node in way.ends() {
            at[next[node]] = place as u32;
            next[node] += 1;
        }
    }
    // A key never stands above its node's level, so the least key that is its node's level is the least level.
    let mut keys: Vec<Level> = Vec::with_capacity(free.len());
    keys.extend((0..free.len()).map(|node| Level { quantity: free[node], weight: weights[node].max(1) }));
    let waiting = (0..free.len()).filter(|node| weights[*node] > 0);
    let mut heap: BinaryHeap<Reverse<(Level, u32)>> =
        waiting.map(|node| Reverse((keys[node], node as u32))).collect();
    let mut shares: Vec<(u32, u64, u64)> = Vec::new();
    while let Some(Reverse((key, place))) = heap.pop() {
        let node = place as usize;
        if weights[node] == 0 {
            continue;
        }
        let level = Level { quantity: free[node], weight: weights[node] };
        if level != key {
            keys[node] = level;
            heap.push(Reverse((level, place)));
            continue;
        }
        shares.clear();
        for way in at[starts[node]..starts[node + 1]].iter().copied() {
            if filled[way as usize].node == NONE {
                let product = u128::from(level.quantity) * u128::from(ways[way as usize].weight);
                let weight = u128::from(level.weight);
                shares.push((way, (product / weight) as u64, (product % weight) as u64));
            }
        }
        let missing = level.quantity - shares.iter().map(|(_, share, _)| share).sum::<u64>();
        if missing > 0 {
            shares.sort_unstable_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(&b.0)));
            shares.iter_mut().take(missing as usize).for_each(|(_, share, _)| *share += 1);
        }
        for (way, quantity, _) in &shares {
            let way = *way as usize;
            filled[way] = Filled { quantity: *quantity, node: place, level };
            for end in ways[way].ends() {
                free[end] =
                    free[end].checked_sub(*quantity).expect("invariant: no node is full below this level");
                weights[end] -= ways[way].weight;
                let risen = Level { quantity: free[end], weight: weights[end].max(1) };
                if end != node && weights[end] > 0 && risen < keys[end] {
                    keys[end] = risen;
                    heap.push(Reverse((risen, end as u32)));
                }
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn way(nodes: &[u32], weight: u64) -> Way {
        let mut ends = [NONE; ENDS];
        ends[..nodes.len()].copy_from_slice(nodes);
        Way { nodes: ends, weight, lot: 1 }
    }

    fn quantities(free: &mut [u64], ways: &[Way]) -> Vec<u64> {
        fill(free, ways).into_iter().map(|filled| filled.quantity).collect()
    }

    #[test]
    fn what_does_not_divide_goes_by_largest_remainder_and_then_by_place() {
        let star = |weights: [u64; 3]| {
            [way(&[0, 1], weights[0]), way(&[0, 2], weights[1]), way(&[0, 3], weights[2])]
        };
        assert_eq!(quantities(&mut [10, 99, 99, 99], &star([1, 1, 1])), [4, 3, 3]);
        assert_eq!(quantities(&mut [11, 99, 99, 99], &star([1, 1, 1])), [4, 4, 3]);
        // 4.54, 2.72 and 2.72.
        assert_eq!(quantities(&mut [10, 99, 99, 99], &star([5, 3, 3])), [4, 3, 3]);
        // The second is full at 1: the others rise on.
        let mut free = [10, 99, 1, 99];
        assert_eq!(quantities(&mut free, &star([1, 1, 1])), [5, 1, 4]);
        assert_eq!(free, [0, 94, 0, 95]);
    }

    /// All ways rise together, in steps to the next node that is full, in floating-point numbers.
    fn risen(free: &[u64], ways: &[Way]) -> Vec<f64> {
        let mut rest: Vec<f64> = free.iter().map(|free| *free as f64).collect();
        let mut given = vec![0.0; ways.len()];
        let mut active: Vec<usize> = (0..ways.len()).collect();
        while !active.is_empty() {
            let weight = |node: usize| -> f64 {
                let through = active.iter().filter(|way| ways[**way].ends().any(|end| end == node));
                through.map(|way| ways[*way].weight as f64).sum()
            };
            let weights: Vec<f64> = (0..rest.len()).map(weight).collect();
            let levels =
                (0..rest.len()).filter(|node| weights[*node] > 0.0).map(|node| rest[node] / weights[node]);
            let step = levels.fold(f64::MAX, f64::min);
            for way in &active {
                given[*way] += step * ways[*way].weight as f64;
            }
            for node in 0..rest.len() {
                rest[node] -= step * weights[node];
            }
            active.retain(|way| ways[*way].ends().all(|end| rest[end] > 1e-3));
        }
        given
    }

    proptest! {
        #[test]
        fn a_filling_is_what_rises_together(
            free in prop::collection::vec(0_u64..1_000_000_000, 9),
            edges in prop::collection::btree_map((0_u32..4, 4_u32..8), (1_u64..50, any::<bool>()), 1..16),
        ) {
            let gated = |nodes: (u32, u32), gate: bool| if gate { vec![nodes.0, nodes.1, 8] } else { vec![nodes.0, nodes.1] };
            let ways: Vec<Way> =
                edges.into_iter().map(|(nodes, (weight, gate))| way(&gated(nodes, gate), weight)).collect();
            let expected = risen(&free, &ways);
            for (quantity, expected) in quantities(&mut free.clone(), &ways).into_iter().zip(expected) {
                // Each node's rounding moves an edge by a few millionths, and the next node's from there.
                prop_assert!((quantity as f64 - expected).abs() < 1_000.0, "{} {}", quantity, expected);
            }
        }
    }
}
