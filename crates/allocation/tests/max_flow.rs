//! The most that any rule could give, by a library's maximum flow, beside what the filling gives.

mod markets;

use std::collections::BTreeMap;

use deltaic_allocation::{
    Certificate, Commitment, Edge, Market, NodeId, Quantity, Side, SlotKey, Solution, Time,
};
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

/// Two providers of ten and two needs of ten, and only the first need has both. A maximum flow serves twenty. Of all
/// allocations in whole units the fairest, whose least edge is the greatest and so on, is five on each edge: the filling.
/// So none that serves more is as fair, and none has a certificate.
#[test]
fn the_fairest_allocation_is_one_and_may_serve_less_than_the_most() {
    let market = market([
        provider(1, 10, &[(3, 1), (4, 1)]),
        provider(2, 10, &[(3, 1)]),
        recipient(3, 10, &[(1, 1), (2, 1)]),
        recipient(4, 10, &[(1, 1)]),
    ]);
    let edges = market.edges();
    assert!(edges.len() == 3 && edges.iter().all(|edge| edge.weight == edges[0].weight));
    let all = (0..11_u64.pow(3)).map(|number| [number / 121, number / 11 % 11, number % 11]);
    // First to first, first to second, second to first.
    let feasible = all.filter(|[a, b, c]| a + b <= 10 && a + c <= 10);
    let ascending = |mut quantities: [u64; 3]| {
        quantities.sort_unstable();
        quantities
    };
    let fairest = feasible.clone().max_by_key(|quantities| ascending(*quantities)).unwrap();
    let solution = Solution::of(&market, Time(0));
    let filled: Vec<u64> = solution.allocations.iter().map(|given| given.quantity.0 / 1_000_000).collect();
    assert_eq!((filled, fairest), (vec![5, 5, 5], [5, 5, 5]));
    assert_eq!((given(&market), most(&market)), (15_000_000, 20_000_000));
    for more in feasible.filter(|quantities| quantities.iter().sum::<u64>() > 15) {
        let mut other = solution.clone();
        for (given, units) in other.allocations.iter_mut().zip(more) {
            given.quantity = Quantity::units(units);
        }
        other.allocations.retain(|given| !given.quantity.is_zero());
        // Whichever end of each edge is named as the bottleneck.
        for choice in 0..1_u32 << edges.len() {
            let named = edges.iter().enumerate().map(|(place, Edge { id, tier, .. })| {
                let is_need = choice >> place & 1 == 1;
                (*id, *tier, if is_need { NodeId::Need(id.need) } else { NodeId::Capacity(id.capacity) })
            });
            let certificate = Certificate { entries: named.collect() };
            assert!(certificate.check(&market, &other).is_err(), "{more:?}");
        }
    }
}

/// The half is reached: the first provider's regard is for the need that the second could serve.
#[test]
fn a_fair_filling_may_serve_hardly_more_than_half() {
    let market = market([
        provider(1, 10, &[(3, 1_000_000), (4, 1)]),
        provider(2, 10, &[(3, 1)]),
        recipient(3, 10, &[(1, 1_000_000), (2, 1)]),
        recipient(4, 10, &[(1, 1)]),
    ]);
    let (given, most) = (given(&market), most(&market));
    assert!(most == 20_000_000 && given < 10_001_000, "{given} of {most}");
}
