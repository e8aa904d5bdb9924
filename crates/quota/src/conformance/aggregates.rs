//! What every [`AggregateLedger`] has to hold: each change is in its value once, and the bytes say so.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    AggregateLedger, AggregateRows, Changes, Coalescer, Epoch, Key, LedgerError, Max, Monoid, NodeId, Seq,
    Sum, Time, Union,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(u64::MAX);

fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).expect("invariant: the checks' names are short")
}

fn changes<M>(node: NodeId, epoch: u64, seq: u64, rows: Vec<(Key, M)>) -> Changes<M> {
    Changes { node, epoch: Epoch(epoch), seq: Seq(seq), rows }
}

fn image<L: AggregateLedger>(ledger: &mut L) -> Vec<u8> {
    ledger.image_of_aggregates().expect("aggregates can be imaged")
}

fn sum<L: AggregateLedger>(ledger: &mut L, name: &str, of: &str) -> i128 {
    ledger.aggregate::<Sum>(&key(name), &key(of)).expect("a sum can be read").0
}

/// Runs every check; panics at the first that does not hold.
pub fn check_aggregates<L: AggregateLedger>(mut make: impl FnMut() -> L) {
    changes_of_all_kinds_are_combined(&mut make());
    a_repeat_changes_nothing_and_who_has_no_turn_is_refused(&mut make());
    what_is_not_of_its_kind_changes_nothing(&mut make());
    values_and_keys_end_somewhere(&mut make());
}

fn changes_of_all_kinds_are_combined<L: AggregateLedger>(ledger: &mut L) {
    let (sums, most, sets) = (key(""), key("most"), key("sets"));
    for name in [&sums, &most, &sets] {
        for node in [A, B] {
            assert_eq!(
                ledger.open_aggregate(name, node),
                Ok(Epoch(1)),
                "each aggregate has epochs of its own"
            );
        }
    }
    let k = key("k");
    assert_eq!(ledger.aggregate::<Sum>(&sums, &k), Ok(Sum(0)), "nothing was ever written");
    for (node, n) in [(A, i128::MAX), (B, 7)] {
        let rows = vec![(k.clone(), Sum(n)), (key(""), Sum(-1))];
        assert_eq!(ledger.combine(&sums, &changes(node, 1, 1, rows)), Ok(()));
        let rows = vec![(k.clone(), Max(Some(-(n as i64))))];
        assert_eq!(ledger.combine(&most, &changes(node, 1, 1, rows)), Ok(()));
        let rows =
            vec![(k.clone(), Union(BTreeSet::from([key("both"), Key::new(&[n as u8]).unwrap_or(key(""))])))];
        assert_eq!(ledger.combine(&sets, &changes(node, 1, 1, rows)), Ok(()));
    }
    assert_eq!(sum(ledger, "", "k"), i128::MAX.wrapping_add(7));
    assert_eq!(sum(ledger, "", ""), -2, "keys are not each other's");
    assert_eq!(ledger.aggregate::<Max<i64>>(&most, &k), Ok(Max(Some(1))));
    let all = ledger.aggregate::<Union<Key>>(&sets, &k).expect("a set can be read");
    assert_eq!(all.0.len(), 3);
    assert_eq!(sum(ledger, "", "most"), 0, "nor are aggregates");
    // One batch may name a key more than once: it is a sum.
    let twice = changes(A, 1, 2, vec![(key("new"), Sum(2)), (key("new"), Sum(3)), (key(""), Sum(1))]);
    assert_eq!(ledger.combine(&sums, &twice), Ok(()));
    assert_eq!((sum(ledger, "", "new"), sum(ledger, "", "")), (5, -1));
}

fn a_repeat_changes_nothing_and_who_has_no_turn_is_refused<L: AggregateLedger>(ledger: &mut L) {
    let name = key("clicks");
    let add = |epoch, seq, n| changes(A, epoch, seq, vec![(key("k"), Sum(n))]);
    assert_eq!(ledger.combine(&name, &add(1, 1, 5)), Err(LedgerError::Unopened { node: A }));
    assert_eq!(ledger.open_aggregate(&name, A), Ok(Epoch(1)));
    let gap = Err(LedgerError::Gap { sent: Seq(2), expected: Seq(1) });
    assert_eq!(ledger.combine(&name, &add(1, 2, 5)), gap);
    assert_eq!(ledger.combine(&name, &add(1, 1, 5)), Ok(()));
    assert_eq!(ledger.combine(&name, &add(1, 2, 6)), Ok(()));
    let stored = image(ledger);
    for batch in [add(1, 1, 5), add(1, 2, 6), add(1, 1, 5)] {
        assert_eq!(ledger.combine(&name, &batch), Ok(()));
        assert_eq!(image(ledger), stored, "yesterday's batch changes no byte");
    }
    assert_eq!(ledger.open_aggregate(&name, A), Ok(Epoch(2)));
    let fenced = Err(LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) });
    let stored = image(ledger);
    for seq in 1..5 {
        assert_eq!(ledger.combine(&name, &add(1, seq, 9)), fenced);
    }
    assert_eq!(image(ledger), stored, "a zombie changes no byte");
    assert_eq!(ledger.combine(&name, &add(2, 1, 7)), Ok(()));
    assert_eq!(sum(ledger, "clicks", "k"), 18);
}

fn what_is_not_of_its_kind_changes_nothing<L: AggregateLedger>(ledger: &mut L) {
    let name = key("n");
    assert_eq!(ledger.open_aggregate(&name, A), Ok(Epoch(1)));
    assert_eq!(ledger.combine(&name, &changes(A, 1, 1, vec![(key("k"), Sum(5))])), Ok(()));
    let stored = image(ledger);
    let foreign = LedgerError::Foreign { key: key("k") };
    let rows = vec![(key("j"), Max(Some(1_u64))), (key("k"), Max(Some(7)))];
    assert_eq!(ledger.combine(&name, &changes(A, 1, 2, rows)), Err(foreign.clone()));
    assert_eq!(ledger.aggregate::<Max<u64>>(&name, &key("k")), Err(foreign));
    // Bytes that are nothing at all are not stored for those who come after.
    let nothing = changes(A, 1, 2, vec![(key("l"), vec![1, 2, 3])]);
    let outcome = ledger.combine_encoded(&name, &nothing, crate::combine_bytes::<Sum>);
    assert_eq!(outcome, Err(LedgerError::Foreign { key: key("l") }));
    assert_eq!(image(ledger), stored, "a refused batch changes no byte");
    assert_eq!(ledger.combine(&name, &changes(A, 1, 2, vec![(key("k"), Sum(1))])), Ok(()));
    assert_eq!(sum(ledger, "n", "k"), 6);
}

fn values_and_keys_end_somewhere<L: AggregateLedger>(ledger: &mut L) {
    let longest = Key::new(&[0xff; Key::BYTES]).expect("invariant: a key may be so long");
    assert_eq!(ledger.open_aggregate(&longest, B), Ok(Epoch(1)));
    let part = |seq: u64, count: u64| {
        let name =
            |n: u64| Key::new(&[&n.to_be_bytes()[..], &[7; Key::BYTES - 8]].concat()).unwrap_or(key(""));
        let all = (0..count).map(|n| name(seq << 32 | n)).collect();
        changes(B, 1, seq, vec![(longest.clone(), Union::<Key>(all))])
    };
    let half = AggregateRows::VALUE_BYTES as u64 / Key::BYTES as u64 * 2 / 3;
    assert_eq!(ledger.combine(&longest, &part(1, half)), Ok(()));
    let stored = image(ledger);
    let long = LedgerError::ValueTooLong { key: longest.clone() };
    assert_eq!(ledger.combine(&longest, &part(2, half)), Err(long));
    assert_eq!(image(ledger), stored);
    assert_eq!(ledger.combine(&longest, &part(2, 1)), Ok(()));
    let found = ledger.aggregate::<Union<Key>>(&longest, &longest).expect("a set can be read");
    assert_eq!(found.0.len() as u64, half + 1);
}

/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014). A seed repeats a check exactly.
struct Turns(u64);

impl Turns {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A node of one aggregate, and every batch that it ever sent.
struct Node<M> {
    name: Key,
    id: NodeId,
    coalescer: Coalescer<M>,
    sent: Vec<Changes<M>>,
}

impl<M: Monoid + std::fmt::Debug> Node<M> {
    fn begin<L: AggregateLedger>(ledger: &mut L, name: &Key, id: NodeId) -> Self {
        let epoch = ledger.open_aggregate(name, id).expect("an epoch can be opened");
        Self { name: name.clone(), id, coalescer: Coalescer::new(id, epoch, 3), sent: Vec::new() }
    }

    /// One step: a change, and messages that are lost, doubled, late, or whose answer is lost; now and then a start anew
    /// in a new epoch. What is stored is then the combination of what `stored` has.
    fn step<L: AggregateLedger>(
        &mut self,
        ledger: &mut L,
        turns: &mut Turns,
        at: u64,
        change: &M,
        stored: &mut BTreeMap<Key, M>,
    ) {
        let of = key(["", "a", "ab"][turns.below(3) as usize]);
        self.coalescer.add(Time(at), &of, change);
        if turns.below(15) == 0 {
            // What was not written is lost, and known to be; what was under way is written or not.
            if let Some(batch) = self.coalescer.flush_all().filter(|_| turns.below(2) == 0) {
                self.deliver(ledger, &batch, stored);
            }
            let sent = std::mem::take(&mut self.sent);
            *self = Self { sent, ..Self::begin(ledger, &self.name, self.id) };
            return;
        }
        let Some(batch) = self.coalescer.flush(Time(at)) else { return };
        match turns.below(6) {
            0 => {}
            1 => self.deliver(ledger, &batch, stored),
            times => {
                (0..=times % 2).for_each(|_| self.deliver(ledger, &batch, stored));
                self.coalescer.acknowledged(batch.seq);
            }
        }
        // Somewhere one of those sent before comes out again.
        if let Some(late) = self.sent.get(turns.below(self.sent.len() as u64 + 1) as usize) {
            let before = image(ledger);
            let _ = ledger.combine(&self.name, late);
            assert_eq!(image(ledger), before, "a late batch changes no byte");
        }
    }

    fn deliver<L: AggregateLedger>(
        &mut self,
        ledger: &mut L,
        batch: &Changes<M>,
        stored: &mut BTreeMap<Key, M>,
    ) {
        assert_eq!(ledger.combine(&self.name, batch), Ok(()));
        if self.sent.last() != Some(batch) {
            for (key, change) in &batch.rows {
                stored.entry(key.clone()).or_insert_with(M::zero).combine(change);
            }
            self.sent.push(batch.clone());
        }
    }

    fn finish<L: AggregateLedger>(&mut self, ledger: &mut L, stored: &mut BTreeMap<Key, M>) {
        while let Some(batch) = self.coalescer.flush_all() {
            self.deliver(ledger, &batch, stored);
            self.coalescer.acknowledged(batch.seq);
        }
    }
}

/// Two nodes each write a sum, a maximum and a union through a network that loses, doubles and delays, and start anew now
/// and then. Every change that was ever written is in the values once.
pub fn check_aggregates_in_any_order<L: AggregateLedger>(ledger: &mut L, seed: u64, steps: u64) {
    let mut turns = Turns(seed);
    run(ledger, &mut turns, "sums", steps, |n| Sum(i128::from(n) - 20));
    run(ledger, &mut turns, "most", steps, |n| Max(Some(n as i64 - 20)));
    run(ledger, &mut turns, "sets", steps, |n| Union(BTreeSet::from([n])));
}

fn run<L: AggregateLedger, M: Monoid + std::fmt::Debug>(
    ledger: &mut L,
    turns: &mut Turns,
    name: &str,
    steps: u64,
    change: impl Fn(u64) -> M,
) {
    let mut stored = BTreeMap::new();
    let mut nodes = [A, B].map(|id| Node::begin(ledger, &key(name), id));
    for at in 0..steps {
        let change = change(turns.below(41));
        nodes[turns.below(2) as usize].step(ledger, turns, at, &change, &mut stored);
    }
    for node in &mut nodes {
        node.finish(ledger, &mut stored);
    }
    for (of, value) in stored {
        assert_eq!(ledger.aggregate::<M>(&key(name), &of), Ok(value), "{name} of {of}");
    }
}
