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
