//! Bytes that nobody wrote: they are an error or a value, and take little memory and time.
//!
//! Invariant: what a decoder allocates is a small multiple of the bytes it was given, whatever they claim; and what it
//! gives can be merged, divided and compared.

mod subjects;

use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime, VersionVector};
use deltaic_crdt::laws::{Choices, Model};
use deltaic_crdt::*;
use deltaic_types::codec::{DecodeError, write_u64};
use subjects::*;

/// A claimed length, then bytes of one kind or any.
fn claim(choices: &mut Choices) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..choices.below(4) {
        bytes.push(choices.below(3) as u8);
    }
    let size = 1 << choices.below(15);
    let claimed = [size, size / 2, size / 3, u64::MAX, u64::from(u32::MAX), 1 << 16][choices.place(6)];
    write_u64(&mut bytes, claimed);
    let filler = choices.below(5) as u8;
    for _ in 0..size {
        bytes.push(if filler == 4 { choices.number() as u8 } else { filler });
    }
    bytes
}

fn takes_little<M: Model>() {
    for seed in 0..200 {
        let bytes = claim(&mut Choices::new(seed));
        let used = allocation_counter::measure(|| {
            let _ = M::Value::decode(&bytes);
        });
        let most = 4_096 + 64 * bytes.len() as u64;
        assert!(used.bytes_max <= most, "seed {seed}: {} for {} bytes", used.bytes_max, bytes.len());
    }
}

#[test]
fn a_claim_takes_no_more_than_its_bytes() {
    takes_little::<GCounters>();
    takes_little::<PnCounters>();
    takes_little::<Counters>();
    takes_little::<BoundedCounters>();
    takes_little::<LwwRegisters>();
    takes_little::<MvRegisters>();
    takes_little::<Maxima>();
    takes_little::<Minima>();
    takes_little::<GSets>();
    takes_little::<TwoPhaseSets>();
    takes_little::<Logs>();
    takes_little::<AddWinsSets>();
    takes_little::<RemoveWinsSets>();
    takes_little::<EnableWinsFlags>();
    takes_little::<DisableWinsFlags>();
    takes_little::<MapsOfRegisters>();
    takes_little::<MapsOfSets>();
    takes_little::<MapsOfMaps>();
    takes_little::<ValueSets>();
}

/// A context that claims all numbers of an actor is one interval, and is worked with as one.
#[test]
fn a_context_that_claims_everything_is_one_interval() {
    let mut bytes = vec![1, 1, 1, 0];
    write_u64(&mut bytes, u64::MAX - 1);
    bytes.extend([1, 7, 1, 1, 5]);
    let all: Causal<AddWinsSet<u64>> = Causal::decode(&bytes).expect("the element 7 by 1:5");
    assert_eq!(all.decompose().len(), 3, "the element, and what was removed before and after it");
    let seen: CausalContext = [Dot { actor: ActorId(1), seq: 9 }].into_iter().collect();
    assert_eq!(all.novel(&seen).context(), all.context());
    let mut other = Causal::<AddWinsSet<u64>>::default();
    other.add(Dot { actor: ActorId(1), seq: 6 }, 8).expect("fresh");
    other.join(&all);
    assert_eq!(other, all);
    let end = Dot { actor: ActorId(1), seq: u64::MAX };
    assert_eq!(other.add(end, 9), Err(WriteError::UsedDot { dot: end }));
}

#[test]
fn bytes_in_another_order_or_with_nothing_in_them_are_refused() {
    type Table = Causal<Map<u64, EnableWinsFlag>>;
    let map = Err(DecodeError::Invalid("map: the order of its keys, or an empty value"));
    assert_eq!(Table::decode(&[0, 1, 7, 0]), map);
    assert_eq!(Table::decode(&[1, 1, 1, 0, 1, 2, 7, 1, 1, 1, 7, 1, 1, 2]), map);
    let dots = Err(DecodeError::Invalid("dots: their order, or a write's number"));
    assert_eq!(Table::decode(&[1, 1, 1, 0, 1, 1, 7, 2, 1, 2, 1, 1]), dots);
    assert_eq!(Table::decode(&[1, 1, 1, 0, 1, 1, 7, 1, 1, 0]), dots);
    let register = Err(DecodeError::Invalid("register: the order of its dots, or a write's number"));
    assert_eq!(Causal::<MvRegister<u64>>::decode(&[1, 1, 1, 0, 1, 2, 1, 2, 0, 1, 1, 0]), register);
    let counter = Err(DecodeError::Invalid("counter: its actors or their numbers"));
    assert_eq!(GCounter::decode(&[2, 2, 1, 1, 1, 1, 1]), counter);
    assert_eq!(GCounter::decode(&[1, 1, 0, 1]), counter);
    let set = Err(DecodeError::Invalid("set: the order of its elements, or a write's number"));
    assert_eq!(GSet::<u64>::decode(&[2, 5, 1, 1, 5, 1, 2]), set);
    assert_eq!(GSet::<u64>::decode(&[1, 5, 1, 0]), set);
    assert_eq!(TwoPhaseSet::<u64>::decode(&[1, 5, 2, 1, 1]), Err(DecodeError::UnknownTag(2)));
    assert_eq!(BoundedCounter::decode(&[1, 5, 3, 1, 1]), Err(DecodeError::UnknownTag(3)));
    assert_eq!(LwwRegister::<u64>::decode(&[2]), Err(DecodeError::UnknownTag(2)));
    assert_eq!(
        LwwRegister::<u64>::decode(&[1, 5, 1, 0, 9]),
        Err(DecodeError::Invalid("stamp: a write's number"))
    );
    assert_eq!(Counter::decode(&[2]), Err(DecodeError::UnknownTag(2)));
    assert_eq!(Max::<u64>::decode(&[1, 1, 0, 9]), Err(DecodeError::Invalid("extremum: a write's number")));
    assert_eq!(Max::<u64>::decode(&[3]), Err(DecodeError::UnknownTag(3)));
    let log = Err(DecodeError::Invalid("log: the order of its writes, or a write's number"));
    assert_eq!(Log::decode(&[2, 1, 2, 0, 1, 1, 0]), log);
    assert_eq!(Log::decode(&[2, 1, 1, 0, 1, 1, 1, 7]), log);
    assert_eq!(Log::decode(&[1, 1, 0, 0]), log);
}

/// Two writes with one dot are a fault of whoever numbered them; copies that meet still agree.
#[test]
fn one_dot_with_two_values_merges_to_one_of_them_everywhere() {
    let dot = Dot { actor: ActorId(1), seq: 1 };
    let (mut one, mut two) = (Causal::<MvRegister<u64>>::default(), Causal::<MvRegister<u64>>::default());
    one.set(dot, 10).expect("fresh");
    two.set(dot, 20).expect("fresh");
    let (mut left, mut right) = (one.clone(), two.clone());
    left.join(&two);
    right.join(&one);
    assert_eq!((&left, left.values().collect::<Vec<_>>()), (&right, vec![&20]));

    let (mut one, mut two) = (Causal::<AddWinsSet<u64>>::default(), Causal::<AddWinsSet<u64>>::default());
    one.add(dot, 10).expect("fresh");
    two.add(dot, 20).expect("fresh");
    let (mut left, mut right) = (one.clone(), two.clone());
    left.join(&two);
    right.join(&one);
    assert_eq!(left, right);

    let (mut one, mut two) = (GCounter::default(), GCounter::default());
    one.increment(dot, 10).expect("fresh");
    two.increment(dot, 20).expect("fresh");
    let (mut left, mut right) = (one.clone(), two.clone());
    left.join(&two);
    right.join(&one);
    assert_eq!((&left, left.value()), (&right, 20));

    let (mut one, mut two) = (Log::default(), Log::default());
    one.append(dot, [10]).expect("fresh");
    two.append(dot, [20]).expect("fresh");
    let (mut left, mut right) = (one.clone(), two.clone());
    left.join(&two);
    right.join(&one);
    assert_eq!((&left, left.iter().next()), (&right, Some((dot, &[20][..]))));
    assert_eq!(left.append(dot, [30]), Err(WriteError::UsedDot { dot }));
    let before = Dot { seq: 0, ..dot };
    assert_eq!(left.append(before, [30]), Err(WriteError::UsedDot { dot: before }));
    assert_eq!((left.len(), left.size()), (1, 1));
}

/// What a table is sent: parts in another order, writes that nobody holds, and what no row says of itself.
#[test]
fn a_part_of_a_table_that_no_table_sends_is_refused() {
    let to: VersionVector = [Dot { actor: ActorId(1), seq: 2 }].into_iter().collect();
    let row = |existence: &[u8], cells: &[u8]| [&[1, 5, 1, 1], existence, cells].concat();
    let good = row(&[1, 1, 1], &[1, 0, 2, 1, 1, 1, 7]);
    let part = |key: u8, writes: &[u8], removed: &[u8], row: &[u8]| [&[key], writes, removed, row].concat();
    let merge = |count: u8, parts: &[Vec<u8>]| {
        let mut table = Table::<u64>::new(ActorId(9));
        let before = table.digest();
        let outcome = table.merge(&[&[0, count], &parts.concat()[..]].concat(), &to);
        assert!(outcome.is_ok() || (table.digest() == before && table.cut().is_empty()));
        outcome
    };
    let one = |writes: &[u8], removed: &[u8], row: &[u8]| merge(1, &[part(7, writes, removed, row)]);
    let refused = |what| Err(DecodeError::Invalid(what));
    let none = &[0][..];
    assert_eq!(one(&[1, 1, 1], none, &good), Ok(vec![7]));

    let keys = [part(7, &[1, 1, 1], none, &good), part(6, &[1, 1, 1], none, &good)];
    assert_eq!(merge(2, &keys), refused("delta: the order of its keys"));
    assert_eq!(merge(2, &[keys[0].clone(), keys[0].clone()]), refused("delta: the order of its keys"));
    assert_eq!(one(&[2, 1, 1, 1, 2], none, &good), refused("delta: the order of a key's writes"));
    assert_eq!(one(&[1, 1, 3], none, &good), refused("delta: a write beyond its cut"));
    let removals = refused("delta: the order of its removals, or one of nothing");
    assert_eq!(one(&[1, 1, 2], &[1, 1, 2, 0, 0], &good), removals);
    let went = [1, 2, 1, 1, 1, 0, 0, 0];
    assert_eq!(one(&[1, 1, 2], &[&[1][..], &went].concat(), &good), Ok(vec![7]));
    assert_eq!(one(&[1, 1, 2], &[&[2][..], &went, &went].concat(), &good), removals);

    let beyond = refused("delta: a value of writes beyond its cut, or with one at two places");
    assert_eq!(one(&[1, 1, 1], none, &row(&[1, 1, 3], none)), beyond, "that the row is there");
    assert_eq!(one(&[1, 1, 1], none, &row(&[1, 1, 1], &[1, 0, 2, 1, 1, 3, 7])), beyond, "a cell");
    assert_eq!(one(&[1, 1, 1], none, &row(&[1, 1, 1], &[1, 0, 8, 1, 1, 3, 0])), beyond, "a write of a log");
    assert_eq!(one(&[1, 1, 1], none, &row(&[1, 1, 1], &[1, 0, 8, 1, 1, 1, 0])), Ok(vec![7]));
    assert_eq!(one(&[1, 1, 1], none, &row(&[1, 1, 1], &[1, 0, 8, 0])), refused("row: an empty cell"));
    assert_eq!(one(&[1, 1, 1], none, &[1, 5, 1, 3, 0, 0]), beyond, "its insertion");
    let far = [1, 1, 2, 1, 1, 1, 0, 9, 0];
    assert_eq!(one(&[1, 1, 2], &far, &good), beyond, "what was removed");
    let twice = [1, 0, 3, 2, 1, 1, 1, 1, 2, 1, 1, 1];
    assert_eq!(one(&[1, 1, 1], none, &row(&[1, 1, 1], &twice)), beyond, "a write at two places");

    assert_eq!(one(&[1, 1, 1], none, &row(&[1, 1, 1], &[1, 0, 2, 0])), refused("row: an empty cell"));
    assert_eq!(one(&[1, 1, 1], none, &[0, 1, 1, 1, 0]), refused("row: writes before an insertion"));
    let nothing = [1, 1, 2, 0, 1, 0, 0];
    assert_eq!(one(&[1, 1, 2], &nothing, &good), refused("row: a column of which nothing went"));
}

/// What is forgotten is not counted any more: a delta is held against the size of what there is.
#[test]
fn a_trimmed_table_is_as_large_as_what_it_sends() {
    let mut table = Table::<u64>::new(ActorId(1));
    let write = || [(0, Change::Write(vec![Exact(deltaic_types::Value::from("a long title"))]))];
    for key in 0..10 {
        table.insert(&key, HybridTime(key + 1), write()).expect("a new row");
    }
    for key in 0..9 {
        table.delete(&key, None).expect("it is there");
    }
    table.trim(&table.cut().clone());
    let mut copy = Table::<u64>::new(ActorId(2));
    copy.merge(&table.whole(), table.cut()).expect("it is whole");
    assert_eq!((copy.iter().count(), copy.whole_size()), (1, table.whole_size()));
}
