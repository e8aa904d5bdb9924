//! Many stores under one context, as a table has them: rows whose cells are sets, and one context for the replica.
//!
//! Invariant: a replica that sends whole rows, those that a write touched which the other has not seen, with its whole
//! context, gives what merging one map of sets under its own context gives.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_causality::{ActorId, CausalContext, Dot};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{AddWinsSet, Causal, Crdt, DotStore, Map, WriteError};

type Reference = Causal<Map<u64, AddWinsSet<u64>>>;

/// Rows, the context of all of them, and which row each write touched.
#[derive(Debug, Clone, Default)]
struct Table {
    rows: BTreeMap<u64, AddWinsSet<u64>>,
    context: CausalContext,
    touched: BTreeMap<Dot, u64>,
}

/// What one replica sends another.
struct Shipment {
    rows: BTreeMap<u64, AddWinsSet<u64>>,
    context: CausalContext,
    touched: BTreeMap<Dot, u64>,
}

impl Table {
    fn write(&mut self, row: u64, dot: Dot, add: bool, element: u64) -> Result<(), WriteError> {
        let store = self.rows.entry(row).or_default();
        let delta = if add {
            store.add(&self.context, dot, element)?
        } else {
            store.remove(&self.context, dot, &element)?
        };
        self.context.join(delta.context());
        self.touched.insert(dot, row);
        Ok(())
    }

    /// The rows that the other may lack something of, whole: what their removals left is only the context.
    fn ship(&self, seen: &CausalContext) -> Shipment {
        let touched: BTreeMap<Dot, u64> = self
            .touched
            .iter()
            .filter(|(dot, _)| !seen.contains(**dot))
            .map(|(dot, row)| (*dot, *row))
            .collect();
        let rows =
            touched.values().map(|row| (*row, self.rows.get(row).cloned().unwrap_or_default())).collect();
        Shipment { rows, context: self.context.clone(), touched }
    }

    fn receive(&mut self, shipment: Shipment) {
        for (row, theirs) in &shipment.rows {
            self.rows.entry(*row).or_default().join(&self.context, theirs, &shipment.context);
        }
        // Only when all rows are in.
        self.context.join(&shipment.context);
        self.touched.extend(shipment.touched);
    }

    fn read(&self) -> BTreeSet<(u64, u64)> {
        let rows = self.rows.iter();
        rows.flat_map(|(row, set)| set.iter().map(move |element| (*row, *element))).collect()
    }

    fn dots(&self) -> BTreeSet<Dot> {
        let mut dots = BTreeSet::new();
        for store in self.rows.values() {
            store.each_dot(&mut |dot| assert!(dots.insert(dot) && self.context.contains(dot)));
        }
        dots
    }
}

fn read(reference: &Reference) -> BTreeSet<(u64, u64)> {
    let rows = reference.iter();
    rows.flat_map(|(row, set)| set.iter().map(move |element| (*row, *element))).collect()
}

#[test]
fn one_context_serves_many_stores() {
    let mut shipped = 0;
    for seed in 0..500 {
        let mut choices = Choices::new(seed);
        let mut replicas = vec![(Table::default(), Reference::default()); 2 + choices.place(3)];
        for _ in 0..60 {
            let here = choices.place(replicas.len());
            if choices.percent(70) {
                let (table, reference) = &mut replicas[here];
                let actor = ActorId(here as u64);
                let dot = table.context.next(actor).expect("numbers do not end");
                let (row, element, add) = (choices.below(6), choices.below(4), choices.percent(60));
                table.write(row, dot, add, element).expect("a fresh dot");
                let written = reference.update(row, |set, seen| {
                    if add { set.add(seen, dot, element) } else { set.remove(seen, dot, &element) }
                });
                written.expect("a fresh dot");
            } else {
                let there = choices.place(replicas.len());
                let (theirs, their_reference) = replicas[there].clone();
                let (table, reference) = &mut replicas[here];
                let shipment = theirs.ship(&table.context);
                shipped += shipment.rows.len();
                table.receive(shipment);
                reference.join(&their_reference);
            }
            let (table, reference) = &replicas[here];
            assert_eq!(table.read(), read(reference), "seed {seed}");
            assert_eq!(&table.context, reference.context(), "seed {seed}");
            assert!(reference.store().dots().iter().eq(table.dots()), "seed {seed}");
        }
    }
    // Fewer than all six rows went each time.
    assert!(shipped > 1_000 && shipped < 500 * 60 * 3 / 10 * 6 / 2, "{shipped}");
}
