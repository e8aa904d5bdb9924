//! The most that any rule could give, by a library's maximum flow, beside what the filling gives.

mod markets;

use std::collections::BTreeMap;

use deltaic_allocation::{Commitment, Market, Side, SlotKey, Solution, Time};
use markets::{Dice, Shape, market, provider, random_market, recipient};
use petgraph::Graph;
use petgraph::algo::dinics;
use petgraph::graph::NodeIndex;

/// The maximum flow from capacities to needs over the market's edges, in millionths.
fn most(market: &Market) -> u64 {
    let mut graph = Graph::<(), u64>::new();
    let (source, sink) = (graph.add_node(()), graph.add_node(()));
    let mut nodes: BTreeMap<(Side, SlotKey), NodeIndex> = BTreeMap::new();
    for edge in market.edges() {
        let mut ends = [source, sink];
        for (place, (side, slot)) in
            [(Side::Capacity, edge.id.capacity), (Side::Need, edge.id.need)].into_iter().enumerate()
        {
            ends[place] = *nodes.entry((side, slot)).or_insert_with(|| {
                let node = graph.add_node(());
                let quantity = market.quantity_at(side, slot, Time(0)).0;
                match side {
                    Side::Capacity => graph.add_edge(source, node, quantity),
                    Side::Need => graph.add_edge(node, sink, quantity),
                };
                node
            });
        }
        graph.add_edge(ends[0], ends[1], 1 << 50);
    }
    dinics(&graph, source, sink).0
}

fn given(market: &Market) -> u64 {
    let solution = Solution::of(market, Time(0));
    assert_eq!(solution.certificate().check(market, &solution), Ok(()));
    solution.allocations.iter().map(|given| given.quantity.0).sum()
}

/// A filling leaves nothing idle beside an unmet need, so it is at least half of the most.
#[test]
fn a_filling_is_between_half_of_the_most_and_the_most() {
    for (seed, slots) in (0..200).zip([1, 2, 3].into_iter().cycle()) {
        let shape = Shape { participants: 10, slots, lots: false, extras: false };
        let market = random_market(&mut Dice(seed), shape);
        let (given, most) = (given(&market), most(&market));
        assert!(given <= most && most <= 2 * given, "seed {seed}: {given} of {most}");
    }
}

/// A hundred providers, three hundred recipients, ten of each recipient's edges, need over capacity of 0.7, 1 and 1.3.
#[test]
fn needs_are_served_to_97_percent_of_the_most_and_all_of_it_off_the_critical_load() {
    for (load, least) in [(7, 9_950), (10, 9_700), (13, 9_950)] {
        let mut dice = Dice(load);
        let mut said: Vec<Commitment> = Vec::new();
        let mut recognised: Vec<Vec<(u64, u64)>> = vec![Vec::new(); 100];
        for owner in 0..300 {
            let mut providers: Vec<u64> = (0..100).collect();
            dice.shuffle(&mut providers);
            let weights: Vec<(u64, u64)> =
                providers[..10].iter().map(|to| (*to, 1 + dice.below(99))).collect();
            for (to, _) in &weights {
                recognised[*to as usize].push((100 + owner, 1 + dice.below(99)));
            }
            said.push(recipient(100 + owner, (10 + dice.below(91)) * load / 10, &weights));
        }
        let need: u64 = said.iter().map(|said| said.needs[0].quantity.0 / 1_000_000).sum();
        let capacity = need * 10 / load;
        let parts: Vec<u64> = (0..100).map(|_| 10 + dice.below(91)).collect();
        let sum: u64 = parts.iter().sum();
        for (owner, part) in (0..).zip(parts) {
            said.push(provider(owner, part * capacity / sum, &recognised[owner as usize]));
        }
        let market = market(said);
        let (given, most) = (given(&market), most(&market));
        assert!(given <= most && given * 10_000 >= most * least, "{load}: {given} of {most}");
    }
}
