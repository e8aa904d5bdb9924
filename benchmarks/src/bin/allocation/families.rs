//! What the filling and the seed's rules give and serve, beside the maximum flow: 100 providers, 300 recipients, 10
//! edges each.

use std::collections::BTreeMap;

use deltaic_allocation::baseline::{Economy, Needs, Network, Run, Trace, damped_v2, rounds_v1};
use deltaic_allocation::{Market, Side, SlotKey, Solution, Time};
use petgraph::Graph;
use petgraph::algo::dinics;
use petgraph::graph::NodeIndex;

use crate::SEED;
use crate::markets::{Dice, Size, market, said};

/// Markets of each family.
const SEEDS: u64 = 5;

/// Need over capacity in percent, the least quantity, the heaviest weight. The last two show what it is that decides how
/// much is served at a load of 1: how wide quantities and weights are spread.
const FAMILIES: [(u64, u64, u64); 6] =
    [(70, 10, 99), (100, 10, 99), (130, 10, 99), (100, 50, 99), (100, 10, 1), (100, 50, 1)];

/// The sums over a family, in units.
#[derive(Debug, Default)]
struct Sums {
    given: f64,
    over: f64,
    unserved: f64,
    moved: f64,
    damping: f64,
    messages: u64,
}

impl Sums {
    fn add(&mut self, trace: &Trace) {
        let Some(last) = trace.samples.last() else { return };
        self.given += last.given - last.over;
        self.over += last.over;
        self.unserved += last.unserved;
        self.moved = self.moved.max(last.moved);
        self.damping += last.damping / SEEDS as f64;
        self.messages += trace.messages;
    }

    fn report(&self, (load, least, heaviest): (u64, u64, u64), name: &str, most: f64, capacity: f64) {
        let Self { given, over, unserved, moved, damping, messages } = self;
        println!(
            "| {:.1} | {least} to 100 | 1 to {heaviest} | {name} | {:.2} % | {:.2} % | {unserved:.0} | {moved:.1} | {damping:.2} | {messages} |",
            load as f64 / 100.0,
            given / most * 100.0,
            over / capacity * 100.0,
        );
    }
}

pub(crate) fn run() {
    println!(
        "\n{SEEDS} markets of 3,000 edges for each load; served of the maximum flow, over-allocated of all capacity."
    );
    println!(
        "The fair filling is one: each of max_min had its certificate checked, so by its rule no more can be served."
    );
    println!(
        "There is one tier, no lot, no cap, no hold: what it serves less is due to how quantities and weights spread.\n"
    );
    println!(
        "| need/capacity | quantities | recognition | rule | served | over | unserved | still moving | damping | messages |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for family in FAMILIES {
        let (load, least, heaviest) = family;
        let (mut most, mut capacity) = (0.0, 0.0);
        let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
        for seed in 0..SEEDS {
            let size = Size { providers: 100, recipients: 300, degree: 10, load, least, heaviest };
            let market = market(said(&mut Dice(SEED + seed), size, 0));
            most += most_of(&market);
            let economy = Economy::of(&market, Time(0));
            capacity += economy.capacities.iter().map(|(_, quantity)| quantity).sum::<f64>();
            sums.entry("max_min").or_default().add(&filled(&market, &economy));
            if (least, heaviest) != (10, 99) {
                // What the seed's rules do is seen with the widest quantities.
                continue;
            }
            let network = Network { seed, least: 30, most: 120, ..Network::default() };
            for (name, needs) in [("damped_v2", Needs::Stated), ("damped_v2, residual", Needs::Residual)] {
                let run = Run {
                    needs,
                    until: Time(60_000),
                    every: 300,
                    network: network.clone(),
                    ..Run::default()
                };
                sums.entry(name).or_default().add(&damped_v2(&economy, &run));
            }
            let run =
                Run { needs: Needs::Stated, until: Time(900_000), every: 90_000, network, ..Run::default() };
            sums.entry("rounds_v1").or_default().add(&rounds_v1(&economy, &run));
        }
        for (name, sums) in &sums {
            sums.report(family, name, most, capacity);
        }
    }
}

/// The filling as the trace of a run that is over at once.
fn filled(market: &Market, economy: &Economy) -> Trace {
    let solution = Solution::of(market, Time(0));
    // There is one fair filling: that this is it, and serves what it serves, is proved and not believed.
    solution.certificate().check(market, &solution).expect("invariant: the solution is fair");
    let mut received = BTreeMap::new();
    for given in &solution.allocations {
        *received.entry(given.edge.need).or_insert(0.0) += given.quantity.0 as f64 / 1e6;
    }
    let needs: BTreeMap<SlotKey, f64> =
        economy.links.iter().map(|link| (link.edge.need, economy.needs[link.need].1)).collect();
    let differences = needs.iter().map(|(slot, need)| received.get(slot).copied().unwrap_or(0.0) - need);
    let sample = deltaic_allocation::baseline::Sample {
        at: Time(0),
        given: received.values().sum(),
        over: differences.clone().map(|more| more.max(0.0)).sum(),
        unserved: differences.map(|more| (-more).max(0.0)).sum(),
        moved: 0.0,
        converged: true,
        damping: 1.0,
    };
    Trace { samples: vec![sample], ..Trace::default() }
}

/// The maximum flow, in units.
fn most_of(market: &Market) -> f64 {
    let mut graph = Graph::<(), u64>::new();
    let (source, sink) = (graph.add_node(()), graph.add_node(()));
    let mut nodes: BTreeMap<(Side, SlotKey), NodeIndex> = BTreeMap::new();
    for edge in market.edges() {
        let mut node = |side, slot| {
            *nodes.entry((side, slot)).or_insert_with(|| {
                let node = graph.add_node(());
                let quantity = market.quantity_at(side, slot, Time(0)).0;
                let (from, to) = if side == Side::Capacity { (source, node) } else { (node, sink) };
                graph.add_edge(from, to, quantity);
                node
            })
        };
        let (from, to) = (node(Side::Capacity, edge.id.capacity), node(Side::Need, edge.id.need));
        graph.add_edge(from, to, 1 << 50);
    }
    dinics(&graph, source, sink).0 as f64 / 1e6
}
