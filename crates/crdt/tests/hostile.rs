//! Bytes that nobody wrote: they are an error or a value, and take little memory and time.
//!
//! Invariant: what a decoder allocates is a small multiple of the bytes it was given, whatever they claim; and what it
//! gives can be merged, divided and compared.

mod subjects;

use deltaic_causality::{ActorId, CausalContext, Dot};
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
}
