//! Faults of other implementations and of the original requirements' own sketches, each as the case that showed it.
//!
//! Invariant: a name says where the fault was seen: `s2_n` is the n-th wrong sketch, `s3_` a published system and the
//! number of its issue.

use deltaic_causality::{ActorId, CausalContext, Dot, HybridLogicalClock, HybridTime};
use deltaic_crdt::*;
use deltaic_types::codec::DecodeError;

fn dot(actor: u64, seq: u64) -> Dot {
    Dot { actor: ActorId(actor), seq }
}

fn joined<C: Crdt>(left: &C, right: &C) -> C {
    let mut joined = left.clone();
    joined.join(right);
    joined
}

type Set = Causal<AddWinsSet<u64>>;
type Table = Causal<Map<u64, AddWinsSet<u64>>>;

fn used<T>(dot: Dot) -> Result<T, WriteError> {
    Err(WriteError::UsedDot { dot })
}

/// A merge that visits its own keys alone gives 1,000 here, or 1,500 in the other order.
#[test]
fn s2_1_a_merge_keeps_the_other_sides_actors() -> Result<(), WriteError> {
    let mut sites = [GCounter::default(), GCounter::default(), GCounter::default()];
    sites[0].increment(dot(1, 1), 1_000)?;
    sites[1].increment(dot(2, 1), 1_500)?;
    sites[2].increment(dot(3, 1), 800)?;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut sum = GCounter::default();
        for site in order.into_iter().chain(order) {
            sum = joined(&sites[site], &sum);
        }
        assert_eq!(sum.value(), 3_300);
    }
    Ok(())
}

/// One cart on three devices: 5 and 4 put in, 1 taken out.
#[test]
fn s2_1_a_cart_on_three_devices_has_eight() -> Result<(), WriteError> {
    let mut phone = PnCounter::default();
    let mut laptop = PnCounter::default();
    let mut tablet = PnCounter::default();
    let first = phone.increment(dot(1, 1), 5)?;
    let second = laptop.increment(dot(2, 1), 4)?;
    tablet.join(&first);
    let third = tablet.decrement(dot(3, 1), 1)?;
    for cart in [&mut phone, &mut laptop, &mut tablet] {
        for delta in [&third, &second, &first] {
            cart.join(delta);
        }
        assert_eq!(cart.value(), 8);
    }
    Ok(())
}

/// The clock of the machine steps back by an hour between two writes; the later one wins nonetheless.
#[test]
fn s2_6_a_clock_that_steps_back_loses_no_later_write() {
    let mut clock = HybridLogicalClock::new(7_200_000);
    let mut title = LwwRegister::default();
    title.set(dot(1, 1), clock.tick(7_200_000).unwrap(), 1_u64).unwrap();
    title.set(dot(1, 2), clock.tick(3_600_000).unwrap(), 2).unwrap();
    assert_eq!(title.get(), Some(&2));

    // A slow machine that has merged the write: its own comes after it.
    let mut slow = HybridLogicalClock::new(7_200_000);
    let mut copy = title.clone();
    slow.observe(copy.stamp().unwrap().time);
    copy.set(dot(2, 1), slow.tick(10).unwrap(), 3).unwrap();
    assert_eq!(joined(&title, &copy).get(), Some(&3));

    // Without the clock's help the write would be lost: it is refused.
    let late = HybridTime::new(10, 0);
    let refused = WriteError::NotLater { time: late, current: copy.stamp().unwrap().time };
    assert_eq!(copy.clone().set(dot(3, 1), late, 4), Err(refused));
    let same = copy.stamp().unwrap().time;
    assert_eq!(copy.set(dot(3, 1), same, 4), Err(WriteError::NotLater { time: same, current: same }));
}

/// Two writes of one millisecond, of one time, and a register that was never written: each merges the same both ways.
#[test]
fn s2_6_writes_of_one_moment_merge_in_both_orders() -> Result<(), WriteError> {
    let moment = HybridTime::new(5, 0);
    let (mut here, mut there) = (LwwRegister::default(), LwwRegister::default());
    here.set(dot(1, 1), moment, 10_u64)?;
    there.set(dot(2, 1), moment, 5)?;
    assert_eq!(joined(&here, &there).get(), Some(&5));
    assert_eq!(joined(&there, &here).get(), Some(&5));

    let unset = LwwRegister::default();
    assert_eq!(joined(&unset, &here), here);
    assert_eq!(joined(&here, &unset), here);

    // One replica twice in one moment: the clock gives two times.
    let mut clock = HybridLogicalClock::new(100);
    let (first, second) = (clock.tick(5).expect("in bounds"), clock.tick(5).expect("in bounds"));
    let mut twice = LwwRegister::default();
    let delta = twice.set(dot(1, 1), first, 1_u64)?;
    twice.set(dot(1, 2), second, 2)?;
    assert_eq!(joined(&delta, &twice).get(), Some(&2));
    Ok(())
}

/// What is concurrent with what the other has seen is new to it: "not before" and not "after".
#[test]
fn s2_7_a_delta_holds_what_is_concurrent_with_its_start() -> Result<(), WriteError> {
    let mut here = GCounter::default();
    here.increment(dot(1, 1), 1)?;
    let seen: CausalContext = [dot(2, 1), dot(2, 2)].into_iter().collect();
    assert_eq!(here.novel(&seen), here);
    Ok(())
}

/// A later delta arrives and the earlier one is lost: the context has a gap, and what is asked for by it comes.
#[test]
fn s2_8_a_delta_that_arrives_early_hides_nothing() -> Result<(), WriteError> {
    let mut here = Set::default();
    here.add(dot(1, 1), 10)?;
    let second = here.add(dot(1, 2), 20)?;
    let mut there = Set::default();
    there.join(&second);
    assert!(there.context().cut().is_empty());
    there.join(&here.novel(there.context()));
    assert_eq!(there, here);
    Ok(())
}

/// Merging is no write: who merges the same has the same, to the byte, and so does who merges again.
#[test]
fn s2_5_a_merge_is_no_write() -> Result<(), WriteError> {
    let (mut here, mut there) = (Set::default(), Set::default());
    here.add(dot(1, 1), 1)?;
    there.add(dot(2, 1), 2)?;
    let (left, right) = (joined(&here, &there), joined(&there, &here));
    assert_eq!((left.context(), left.encode()), (right.context(), right.encode()));
    assert_eq!(joined(&left, &right), left);
    Ok(())
}

/// One write on the wire, for an actor of a busy year: no more than 12 bytes.
#[test]
fn s2_10_an_increment_is_twelve_bytes_and_less_than_the_whole() -> Result<(), WriteError> {
    let (mut grow, mut both, mut bounded) =
        (GCounter::default(), PnCounter::default(), BoundedCounter::default());
    for actor in 1..100 {
        grow.increment(dot(actor, 1_000_000), 1_000_000)?;
        both.increment(dot(actor, 1_000_000), 1_000_000)?;
        bounded.mint(dot(actor, 1_000_000), 1_000_000)?;
    }
    let next = dot(99, 1_000_001);
    let deltas = [
        (grow.increment(next, 1)?.encode(), grow.encode()),
        (both.decrement(next, 1)?.encode(), both.encode()),
        (bounded.spend(next, 1)?.encode(), bounded.encode()),
    ];
    for (delta, whole) in deltas {
        assert!(delta.len() <= 12 && delta.len() * 50 < whole.len(), "{} of {}", delta.len(), whole.len());
    }
    Ok(())
}

/// "One clock dominates, take its side" drops what the other side has removed.
#[test]
fn s3_riak_79_a_context_that_is_behind_has_its_say() -> Result<(), WriteError> {
    let mut here = Set::default();
    here.add(dot(1, 1), 1)?;
    here.add(dot(1, 2), 2)?;
    let mut there = here.clone();
    let removal = there.remove(dot(2, 1), &1)?;
    assert!(there.context().includes(here.context()));
    for merged in [joined(&here, &there), joined(&there, &here), joined(&here, &removal)] {
        assert!(!merged.contains(&1) && merged.contains(&2));
    }
    // The part of a removal that names what goes is known to everybody, and still removes.
    let mut parts = here.clone();
    removal.decompose().iter().for_each(|part| parts.join(part));
    assert!(!parts.contains(&1) && parts.contains(&2));
    Ok(())
}

/// Both sides have the element, each by an addition that the other side has removed: it is gone.
#[test]
fn s3_riak_82_what_both_sides_have_can_be_removed() -> Result<(), WriteError> {
    let (mut one, mut two) = (Set::default(), Set::default());
    one.add(dot(1, 1), 7)?;
    two.add(dot(2, 1), 7)?;
    let (mut left, mut right) = (two.clone(), one.clone());
    left.remove(dot(3, 1), &7)?;
    left.join(&one);
    right.remove(dot(4, 1), &7)?;
    right.join(&two);
    assert!(left.contains(&7) && right.contains(&7));
    assert!(!joined(&left, &right).contains(&7) && !joined(&right, &left).contains(&7));

    // As it was reported: the copy of the first addition is at a third, and both additions are removed by then.
    let copy = one.clone();
    one.remove(dot(1, 2), &7)?;
    one.join(&two);
    two.remove(dot(2, 2), &7)?;
    assert!(!joined(&two, &joined(&one, &copy)).contains(&7));
    Ok(())
}

#[test]
fn s3_riak_82_a_flag_and_a_map_too() -> Result<(), WriteError> {
    let (mut one, mut two) = (Causal::<EnableWinsFlag>::default(), Causal::<EnableWinsFlag>::default());
    one.enable(dot(1, 1))?;
    two.enable(dot(2, 1))?;
    let (mut left, mut right) = (two.clone(), one.clone());
    left.disable(dot(3, 1))?;
    left.join(&one);
    right.disable(dot(4, 1))?;
    right.join(&two);
    assert!(left.is_enabled() && right.is_enabled() && !joined(&left, &right).is_enabled());

    let (mut one, mut two) = (Table::default(), Table::default());
    one.update(1, |set, seen| set.add(seen, dot(1, 1), 7))?;
    two.update(1, |set, seen| set.add(seen, dot(2, 1), 7))?;
    let (mut left, mut right) = (two.clone(), one.clone());
    left.remove(dot(3, 1), &1)?;
    left.join(&one);
    right.remove(dot(4, 1), &1)?;
    right.join(&two);
    assert!(left.get(&1).is_some() && right.get(&1).is_some());
    assert!(joined(&left, &right).is_empty() && joined(&right, &left).is_empty());
    Ok(())
}

/// One dot names one write at one place: a second use is refused, and bytes that have two are no value.
#[test]
fn s3_riak_90_a_dot_is_at_one_place() -> Result<(), WriteError> {
    let mut table = Table::default();
    table.update(1, |set, seen| set.add(seen, dot(1, 1), 7))?;
    let before = table.clone();
    let again = table.update(2, |set, seen| set.add(seen, dot(1, 1), 7));
    assert_eq!((again, &table), (Err(WriteError::UsedDot { dot: dot(1, 1) }), &before));
    let again = table.update(1, |set, seen| set.add(seen, dot(1, 1), 8));
    assert_eq!((again, &table), (Err(WriteError::UsedDot { dot: dot(1, 1) }), &before));

    // A context of 1:1, and a map of the keys 1 and 2 with the element 7, both by 1:1.
    let bytes = [1, 1, 1, 0, 0, 2, 1, 1, 7, 1, 1, 1, 2, 1, 7, 1, 1, 1];
    assert_eq!(Table::decode(&bytes), Err(DecodeError::Invalid("causal value: a dot at two places")));
    let bytes = [1, 1, 1, 0, 0, 1, 1, 1, 7, 1, 1, 2];
    assert_eq!(Table::decode(&bytes), Err(DecodeError::Invalid("causal value: a dot outside its context")));
    assert_eq!(Table::decode(&before.encode()), Ok(before));
    Ok(())
}

/// A removed key comes back with the concurrent write alone, at every depth, and wherever the two meet.
#[test]
fn s3_riak_93_a_removed_key_comes_back_with_the_new_alone() -> Result<(), WriteError> {
    type Deep = Causal<Map<u64, Map<u64, MvRegister<u64>>>>;
    let mut here = Deep::default();
    here.update(1, |map, seen| map.update(2, |register| register.set(seen, dot(1, 1), 10)))?;
    here.update(1, |map, seen| map.update(3, |register| register.set(seen, dot(1, 2), 11)))?;
    let mut there = here.clone();
    let removal = here.remove(dot(1, 3), &1)?;
    let write = there.update(1, |map, seen| map.update(3, |register| register.set(seen, dot(2, 1), 12)))?;
    for merged in
        [joined(&here, &there), joined(&there, &here), joined(&here, &write), joined(&there, &removal)]
    {
        let inner = merged.get(&1).expect("the key is there");
        assert!(inner.get(&2).is_none());
        assert_eq!(inner.get(&3).expect("the new write").values().collect::<Vec<_>>(), [&12]);
    }
    Ok(())
}

/// A value that is taken from a key while another is put there: the other stays.
#[test]
fn s3_akka_a_concurrent_addition_to_a_key_is_not_lost() -> Result<(), WriteError> {
    let mut here = Table::default();
    here.update(1, |set, seen| set.add(seen, dot(1, 1), 7))?;
    let mut there = here.clone();
    here.update(1, |set, seen| set.remove(seen, dot(1, 2), &7))?;
    assert!(here.get(&1).is_none(), "the last element takes its key with it");
    there.update(1, |set, seen| set.add(seen, dot(2, 1), 8))?;
    for merged in [joined(&here, &there), joined(&there, &here)] {
        assert_eq!(merged.get(&1).expect("the key is there").iter().collect::<Vec<_>>(), [&8]);
    }
    Ok(())
}

/// A delta that came before an earlier one leaves a hole, and a hole removes nothing.
#[test]
fn s3_akka_22188_a_hole_is_no_removal() -> Result<(), WriteError> {
    let mut here = Set::default();
    let first = here.add(dot(1, 1), 1)?;
    let second = here.add(dot(1, 2), 2)?;
    let mut there = Set::default();
    there.join(&second);
    for merged in
        [joined(&there, &here), joined(&here, &there), joined(&there, &first), joined(&first, &there)]
    {
        assert!(merged.contains(&1) && merged.contains(&2));
    }
    Ok(())
}

/// A write that changes nothing has its number too, so that the next one leaves no gap.
#[test]
fn s3_akka_a_write_without_effect_leaves_no_gap() -> Result<(), WriteError> {
    let mut set = Set::default();
    set.remove(dot(1, 1), &7)?;
    set.add(dot(1, 2), 7)?;
    assert_eq!(set.context().cut().last(ActorId(1)), 2);
    Ok(())
}

/// Two that number their writes with one actor: the second is refused where the first has come, and nothing is lost
/// without a word.
#[test]
fn s3_antidote_129_an_actor_that_numbers_twice_is_found_out() -> Result<(), WriteError> {
    let mut counter = PnCounter::default();
    counter.increment(dot(1, 5), 1)?;
    assert_eq!(counter.increment(dot(1, 5), 1), used(dot(1, 5)));
    assert_eq!(counter.decrement(dot(1, 4), 1), used(dot(1, 4)));
    assert_eq!(counter.value(), 1);
    let mut rights = BoundedCounter::default();
    rights.mint(dot(1, 5), 9)?;
    assert_eq!(rights.spend(dot(1, 5), 1), used(dot(1, 5)));
    let mut flag = Causal::<DisableWinsFlag>::default();
    flag.enable(dot(1, 1))?;
    assert_eq!(flag.disable(dot(1, 1)), used(dot(1, 1)));
    let mut last = LwwRegister::default();
    last.set(dot(1, 5), HybridTime(1), 1_u64)?;
    assert_eq!(last.set(dot(1, 5), HybridTime(2), 2), used(dot(1, 5)));
    let mut counter = Counter::default();
    counter.set(dot(1, 5), HybridTime(1), 1)?;
    assert_eq!(counter.add(dot(1, 5), 1), used(dot(1, 5)));
    assert_eq!(counter.set(dot(1, 4), HybridTime(2), 1), used(dot(1, 4)));
    let mut most = Max::default();
    most.put(dot(1, 1), 1_u64)?;
    assert_eq!(most.put(dot(1, 1), 2), used(dot(1, 1)));
    let mut phases = TwoPhaseSet::default();
    phases.add(dot(1, 1), 1_u64)?;
    assert_eq!(phases.remove(dot(1, 1), &1), used(dot(1, 1)));
    Ok(())
}

/// An increment that arrives twice, by itself and within the whole, counts once.
#[test]
fn s3_defradb_5274_an_increment_counts_once() -> Result<(), WriteError> {
    let mut here = Counter::default();
    let mut there = Counter::default();
    for seq in 1..=3 {
        let delta = here.add(dot(1, seq), 5)?;
        there.join(&delta);
        there.join(&delta);
        there.join(&here);
    }
    assert_eq!((here.value(), there.value()), (15, 15));
    Ok(())
}

/// A write that has seen one of two concurrent values replaces that one and not the other.
#[test]
fn s3_topgun_54_a_write_replaces_what_it_saw() -> Result<(), WriteError> {
    let mut here = Causal::<MvRegister<u64>>::default();
    let mut there = here.clone();
    here.set(dot(1, 1), 1)?;
    there.set(dot(2, 1), 2)?;
    let blind = here.set(dot(1, 2), 3)?;
    there.join(&blind);
    assert_eq!(there.values().collect::<Vec<_>>(), [&3, &2]);
    Ok(())
}

/// Values that are equal have equal bytes, whatever way they came.
#[test]
fn s3_calimero_3909_bytes_do_not_tell_the_way() -> Result<(), WriteError> {
    let mut deltas = Vec::new();
    let mut sum = PnCounter::default();
    for (actor, amount) in [(3, 5), (1, -2), (2, 0), (1, 4)] {
        let seq = deltas.len() as u64 + 1;
        deltas.push(sum.add(dot(actor, seq), amount)?);
    }
    let mut reversed = PnCounter::default();
    deltas.iter().rev().for_each(|delta| reversed.join(delta));
    assert_eq!((reversed.value(), reversed.encode()), (7, sum.encode()));
    Ok(())
}

/// A key that both sides hold, one by a new write and one by a removal and a write after it: both writes stay, at a third
/// that merges them in any order and again.
#[test]
fn s3_crdts_35_an_entry_of_both_sides_keeps_what_each_wrote() -> Result<(), WriteError> {
    let mut here = Table::default();
    here.update(1, |set, seen| set.add(seen, dot(1, 1), 10))?;
    let old = here.clone();
    let mut there = here.clone();
    here.update(1, |set, seen| set.add(seen, dot(1, 2), 11))?;
    there.remove(dot(2, 1), &1)?;
    there.update(1, |set, seen| set.add(seen, dot(2, 2), 12))?;
    for order in [[&here, &there, &old], [&there, &old, &here], [&old, &here, &there]] {
        let mut third = Table::default();
        for copy in order.into_iter().chain(order) {
            third.join(copy);
        }
        assert_eq!(third.get(&1).expect("the key is there").iter().collect::<Vec<_>>(), [&11, &12]);
    }
    Ok(())
}

/// A nested value that the other side wrote to goes together with a new key, which the first side then removes.
#[test]
fn s3_yrs_607_a_removal_beside_a_removed_nested_value_is_kept() -> Result<(), WriteError> {
    let mut one = Table::default();
    one.update(1, |set, seen| set.add(seen, dot(1, 1), 10))?;
    let mut two = one.clone();
    one.join(&two.update(1, |set, seen| set.add(seen, dot(2, 1), 11))?);
    let mut step = two.update(2, |set, seen| set.add(seen, dot(2, 2), 20))?;
    step.join(&two.remove(dot(2, 3), &1)?);
    one.join(&step);
    two.join(&one.remove(dot(1, 2), &2)?);
    assert!(one.is_empty() && two.is_empty());
    assert_eq!(one, two);
    Ok(())
}

/// Removals of two replicas meet at a third that has seen neither element: no key is left behind.
#[test]
fn s3_yrs_607_merged_removals_leave_no_ghost() -> Result<(), WriteError> {
    let mut here = Table::default();
    for key in 0..4 {
        here.update(key, |set, seen| set.add(seen, dot(1, key + 1), key))?;
    }
    let mut there = here.clone();
    let mut removals = here.remove(dot(1, 5), &0)?;
    removals.join(&there.remove(dot(2, 1), &2)?);
    removals.join(&there.remove(dot(2, 2), &3)?);
    let mut third = Table::default();
    third.join(&removals);
    third.join(&joined(&here, &there));
    assert_eq!(third.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [1]);
    Ok(())
}

/// Numbers beyond 2^53 count exactly, and those beyond 64 bits are refused before anything changes.
#[test]
fn s3_loro_counters_are_whole_numbers_to_the_end() -> Result<(), WriteError> {
    let mut counter = PnCounter::default();
    counter.add(dot(1, 1), i64::MAX)?;
    counter.add(dot(1, 2), i64::MAX)?;
    counter.add(dot(1, 3), 1)?;
    assert_eq!(counter.value(), i128::from(u64::MAX));
    let before = counter.clone();
    assert_eq!(counter.add(dot(1, 4), 1), Err(WriteError::Overflow { amount: 1 }));
    assert_eq!(counter, before);
    // Extremes of others merge, and the sum is still exact.
    let mut others = before.clone();
    for actor in 2..6 {
        others.decrement(dot(actor, 1), u64::MAX)?;
    }
    assert_eq!(joined(&before, &others).value(), before.value() - 4 * i128::from(u64::MAX));
    let mut grow = GCounter::default();
    grow.increment(dot(1, 1), u64::MAX)?;
    grow.increment(dot(2, 1), u64::MAX)?;
    assert_eq!(grow.value(), 2 * u128::from(u64::MAX));
    let mut rights = BoundedCounter::default();
    rights.mint(dot(1, 1), u64::MAX)?;
    assert_eq!(rights.mint(dot(1, 2), 1), Err(WriteError::Overflow { amount: 1 }));
    rights.mint(dot(2, 1), u64::MAX)?;
    rights.transfer(dot(2, 2), ActorId(1), u64::MAX)?;
    assert_eq!((rights.rights(ActorId(1)), rights.rights(ActorId(2))), (u64::MAX, 0));
    Ok(())
}

/// A removal is forgotten while an addition that it must beat is on its way: it is refused until the addition's author is
/// known to have seen it; afterwards the late copies of both change nothing.
#[test]
fn s3_corrosion_541_what_is_forgotten_does_not_come_back() -> Result<(), WriteError> {
    let mut here = Causal::<RemoveWinsSet<u64>>::default();
    let added = here.add(dot(1, 1), 7)?;
    let mut there = here.clone();
    let removed = here.remove(dot(1, 2), &7)?;
    let in_flight = there.add(dot(2, 1), 7)?;
    there.join(&removed);
    // What the other has acknowledged includes its own addition, which has not come here.
    assert_eq!(here.forget(dot(1, 3), &there.context().cut()), Err(WriteError::Unseen));
    here.join(&in_flight);
    let forgotten = here.forget(dot(1, 3), &there.context().cut())?;
    assert_eq!((here.contains(&7), here.known()), (false, 0));
    there.join(&forgotten);
    for late in [&added, &removed, &in_flight] {
        here.join(late);
        there.join(late);
    }
    assert_eq!((here.known(), &there), (0, &here));
    here.add(dot(1, 4), 7)?;
    assert!(here.contains(&7));
    Ok(())
}

/// An addition that lost to a removal counts again when another replaces that removal. Two that would each bring the
/// other back are not forgotten while one of them is still on its way.
#[test]
fn a_removal_is_not_forgotten_before_the_additions_it_beat() -> Result<(), WriteError> {
    let mut here = Causal::<RemoveWinsSet<u64>>::default();
    let mut there = here.clone();
    let removed_here = here.remove(dot(1, 1), &7)?;
    let removed_there = there.remove(dot(2, 1), &7)?;
    let added_here = here.add(dot(1, 2), 7)?;
    let added_there = there.add(dot(2, 2), 7)?;
    here.join(&removed_there);
    there.join(&removed_here);
    assert!(!here.contains(&7) && !there.contains(&7));
    // Each removal is stable where it came to: what is still on its way there had seen it.
    here.forget(dot(1, 3), &[dot(2, 1)].into_iter().collect())?;
    there.forget(dot(2, 3), &[dot(1, 1)].into_iter().collect())?;
    assert_eq!((here.known(), there.known()), (1, 1));
    here.join(&added_there);
    there.join(&added_here);
    assert!(here.contains(&7) && there.contains(&7));
    Ok(())
}

/// A flag that was switched off stays off when older copies come, by whatever way, and an enabling one that the switch
/// did not see stays on though a third replica has seen both.
#[test]
fn s3_sal_an_enable_wins_flag_on_crossed_ways() -> Result<(), WriteError> {
    let mut one = Causal::<EnableWinsFlag>::default();
    one.enable(dot(1, 1))?;
    let old = one.clone();
    let mut two = one.clone();
    two.disable(dot(2, 1))?;
    let mut three = joined(&two, &old);
    assert!(!three.is_enabled() && !joined(&old, &two).is_enabled());

    one.enable(dot(1, 2))?;
    three.join(&one);
    assert!(three.is_enabled());
    two.join(&three);
    assert!(two.is_enabled() && joined(&two, &old).is_enabled());
    two.disable(dot(2, 2))?;
    for copy in [&one, &three, &old] {
        assert!(!joined(&two, copy).is_enabled() && !joined(copy, &two).is_enabled());
    }
    Ok(())
}

/// An offline removal is applied where its author's cut is held, and removes what that cut holds.
#[test]
fn an_offline_removal_removes_what_its_author_saw() -> Result<(), WriteError> {
    let mut here = Set::default();
    here.add(dot(1, 1), 7)?;
    let basis = here.context().cut();
    let again = here.add(dot(1, 2), 7)?;
    assert!(again.context().contains(dot(1, 1)), "an addition replaces those it has seen");
    here.remove_seen(dot(1, 3), &7, &basis)?;
    assert!(here.contains(&7));

    let mut elsewhere = here.clone();
    elsewhere.add(dot(2, 1), 8)?;
    let ahead = elsewhere.context().cut();
    assert_eq!(here.remove_seen(dot(1, 4), &8, &ahead), Err(WriteError::Unseen));
    here.join(&elsewhere);
    here.remove_seen(dot(1, 4), &8, &ahead)?;
    assert!(!here.contains(&8) && here.contains(&7));
    assert!(!joined(&elsewhere, &here).contains(&8));
    Ok(())
}

/// Each message says what to do.
#[test]
fn errors_say_what_to_do() -> Result<(), WriteError> {
    let mut rights = BoundedCounter::default();
    rights.mint(dot(1, 1), 2)?;
    let mut phases = TwoPhaseSet::default();
    phases.add(dot(1, 1), 1_u64)?;
    phases.remove(dot(1, 2), &1)?;
    let errors = [
        (rights.spend(dot(1, 2), 3).unwrap_err(), "3 asked for and 2 at hand: obtain rights"),
        (rights.transfer(dot(2, 1), ActorId(1), 1).unwrap_err(), "1 asked for and 0 at hand"),
        (phases.add(dot(1, 3), 1).unwrap_err(), "use an add-wins set"),
        (WriteError::Unseen, "repeat it when they have come"),
        (WriteError::UsedDot { dot: dot(1, 0) }, "write 1:0 was made before"),
        (WriteError::NotLater { time: HybridTime(1), current: HybridTime(2) }, "let the clock observe"),
        (WriteError::Overflow { amount: 9 }, "9 more would leave"),
    ];
    for (error, part) in errors {
        assert!(error.to_string().contains(part), "{error}");
    }
    Ok(())
}

/// A number of 0 names no write.
#[test]
fn no_write_has_the_number_zero() {
    let zero = dot(1, 0);
    let used = WriteError::UsedDot { dot: zero };
    assert_eq!(GCounter::default().increment(zero, 1), Err(used));
    assert_eq!(Counter::default().set(zero, HybridTime(1), 1), Err(used));
    assert_eq!(BoundedCounter::default().mint(zero, 1), Err(used));
    assert_eq!(LwwRegister::default().set(zero, HybridTime(1), 1_u64), Err(used));
    assert_eq!(Max::default().put(zero, 1_u64), Err(used));
    assert_eq!(GSet::default().add(zero, 1_u64), Err(used));
    assert_eq!(TwoPhaseSet::default().add(zero, 1_u64), Err(used));
    assert_eq!(TwoPhaseSet::default().remove(zero, &1_u64), Err(used));
    assert_eq!(Set::default().add(zero, 1), Err(used));
    assert_eq!(Causal::<MvRegister<u64>>::default().set(zero, 1), Err(used));
}
