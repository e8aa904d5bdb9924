//! Each type reads what its specification over events says, whatever way the events came.
//!
//! Invariant: the specifications are about events and what their authors had seen; nothing of the types' own states is in
//! them.

mod history;

use std::collections::{BTreeMap, BTreeSet};

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_crdt::laws::{Choices, Write};
use deltaic_crdt::*;
use history::{Event, Known, Situation, Specification, compare};

const HISTORIES: u64 = 2_000;

/// A change that is now and then too large.
fn amount(choices: &mut Choices) -> i64 {
    match choices.below(20) {
        0 => i64::MAX,
        1 => i64::MIN,
        n => n.cast_signed() - 10,
    }
}

struct GrowingCounter;

impl Specification for GrowingCounter {
    type Value = GCounter;
    type Operation = u64;
    type Reading = u128;

    fn choose(choices: &mut Choices, _: &Situation) -> u64 {
        if choices.percent(5) { u64::MAX - 50 } else { choices.below(20) }
    }

    fn apply(value: &mut GCounter, amount: &u64, write: Write) -> Result<GCounter, WriteError> {
        value.increment(write.dot, *amount)
    }

    fn read(value: &GCounter) -> u128 {
        value.value()
    }

    fn specify(known: &Known<'_, u64>) -> u128 {
        known.iter().map(|(_, event)| u128::from(event.operation)).sum()
    }

    fn refuses(known: &Known<'_, u64>, amount: &u64, write: Write) -> bool {
        let own = known.iter().filter(|(_, event)| event.write.dot.actor == write.dot.actor);
        let total: u128 = own.map(|(_, event)| u128::from(event.operation)).sum();
        total + u128::from(*amount) > u128::from(u64::MAX)
    }
}

struct UpAndDown;

impl Specification for UpAndDown {
    type Value = PnCounter;
    type Operation = i64;
    type Reading = i128;

    fn choose(choices: &mut Choices, _: &Situation) -> i64 {
        amount(choices)
    }

    fn apply(value: &mut PnCounter, amount: &i64, write: Write) -> Result<PnCounter, WriteError> {
        value.add(write.dot, *amount)
    }

    fn read(value: &PnCounter) -> i128 {
        value.value()
    }

    fn specify(known: &Known<'_, i64>) -> i128 {
        known.iter().map(|(_, event)| i128::from(event.operation)).sum()
    }

    fn refuses(known: &Known<'_, i64>, amount: &i64, write: Write) -> bool {
        let own = known.iter().filter(|(_, event)| event.write.dot.actor == write.dot.actor);
        let same = own.map(|(_, event)| event.operation).filter(|other| (*other < 0) == (*amount < 0));
        let total: u128 = same.chain([*amount]).map(|n| u128::from(n.unsigned_abs())).sum();
        total > u128::from(u64::MAX)
    }
}

#[derive(Debug, Clone)]
enum Settable {
    Add(i64),
    Set(i64),
}

struct SettableCounter;

/// The last `set` among events.
fn last_set<'a>(events: impl Iterator<Item = &'a Event<Settable>>) -> Option<(u64, Dot, i64)> {
    let set = |event: &Event<Settable>| match event.operation {
        Settable::Set(base) => Some((event.write.time.0, event.write.dot, base)),
        Settable::Add(_) => None,
    };
    events.filter_map(set).max()
}

impl Specification for SettableCounter {
    type Value = Counter;
    type Operation = Settable;
    type Reading = i128;

    fn choose(choices: &mut Choices, _: &Situation) -> Settable {
        let amount = amount(choices) / 4;
        if choices.percent(15) { Settable::Set(amount) } else { Settable::Add(amount) }
    }

    fn apply(value: &mut Counter, operation: &Settable, write: Write) -> Result<Counter, WriteError> {
        match operation {
            Settable::Add(amount) => value.add(write.dot, *amount),
            Settable::Set(base) => value.set(write.dot, write.time, *base),
        }
    }

    fn read(value: &Counter) -> i128 {
        value.value()
    }

    fn specify(known: &Known<'_, Settable>) -> i128 {
        let last = last_set(known.iter().map(|(_, event)| event));
        let added = known.iter().filter_map(|(_, event)| match event.operation {
            Settable::Add(amount) => {
                let seen = known.iter().filter(|(place, _)| event.sees.contains(place));
                (last_set(seen.map(|(_, event)| event)) == last).then_some(i128::from(amount))
            }
            Settable::Set(_) => None,
        });
        last.map_or(0, |(_, _, base)| i128::from(base)) + added.sum::<i128>()
    }

    fn refuses(known: &Known<'_, Settable>, operation: &Settable, write: Write) -> bool {
        let Settable::Add(amount) = *operation else { return false };
        let last = last_set(known.iter().map(|(_, event)| event));
        let same = known.iter().filter_map(|(_, event)| match event.operation {
            Settable::Add(other)
                if (other < 0) == (amount < 0) && event.write.dot.actor == write.dot.actor =>
            {
                let seen = known.iter().filter(|(place, _)| event.sees.contains(place));
                (last_set(seen.map(|(_, event)| event)) == last).then_some(other)
            }
            _ => None,
        });
        same.chain([amount]).map(|n| u128::from(n.unsigned_abs())).sum::<u128>() > u128::from(u64::MAX)
    }
}

#[derive(Debug, Clone)]
enum Rights {
    Mint(u64),
    Spend(u64),
    Send(ActorId, u64),
}

struct Bounded;

/// What an actor has by these events.
fn rights<'a>(events: impl Iterator<Item = &'a Event<Rights>>, actor: ActorId) -> i128 {
    let change = |event: &Event<Rights>| {
        let own = event.write.dot.actor == actor;
        match event.operation {
            Rights::Mint(amount) if own => i128::from(amount),
            Rights::Spend(amount) if own => -i128::from(amount),
            Rights::Send(to, amount) => i128::from(amount) * (i128::from(to == actor) - i128::from(own)),
            _ => 0,
        }
    };
    events.map(change).sum()
}

fn balance<'a>(events: impl Iterator<Item = &'a Event<Rights>>) -> i128 {
    let change = |event: &Event<Rights>| match event.operation {
        Rights::Mint(amount) => i128::from(amount),
        Rights::Spend(amount) => -i128::from(amount),
        Rights::Send(..) => 0,
    };
    events.map(change).sum()
}

impl Specification for Bounded {
    type Value = BoundedCounter;
    type Operation = Rights;
    type Reading = (i128, Vec<u64>);

    fn choose(choices: &mut Choices, situation: &Situation) -> Rights {
        let amount = choices.below(12);
        match choices.below(4) {
            0 => Rights::Mint(amount),
            1 => Rights::Send(ActorId(1 + choices.below(situation.replicas)), amount),
            _ => Rights::Spend(amount),
        }
    }

    fn apply(
        value: &mut BoundedCounter,
        operation: &Rights,
        write: Write,
    ) -> Result<BoundedCounter, WriteError> {
        match operation {
            Rights::Mint(amount) => value.mint(write.dot, *amount),
            Rights::Spend(amount) => value.spend(write.dot, *amount),
            Rights::Send(to, amount) => value.transfer(write.dot, *to, *amount),
        }
    }

    fn read(value: &BoundedCounter) -> (i128, Vec<u64>) {
        (value.value(), (1..5).map(|actor| value.rights(ActorId(actor))).collect())
    }

    fn specify(known: &Known<'_, Rights>) -> (i128, Vec<u64>) {
        let events = || known.iter().map(|(_, event)| event);
        let balance = balance(events());
        assert!(balance >= 0, "below zero where all that came before is known");
        let rights = (1..5).map(|actor| rights(events(), ActorId(actor)));
        (balance, rights.map(|rights| u64::try_from(rights).expect("no rights below zero")).collect())
    }

    fn refuses(known: &Known<'_, Rights>, operation: &Rights, write: Write) -> bool {
        let (Rights::Spend(amount) | Rights::Send(_, amount)) = *operation else { return false };
        i128::from(amount) > rights(known.iter().map(|(_, event)| event), write.dot.actor)
    }

    /// The bound holds over all writes of all partitions, at every moment.
    fn check_world(events: &[Event<Rights>]) {
        assert!(balance(events.iter()) >= 0);
    }
}

struct LastWriter;

impl Specification for LastWriter {
    type Value = LwwRegister<u64>;
    type Operation = u64;
    type Reading = Option<u64>;

    fn choose(choices: &mut Choices, _: &Situation) -> u64 {
        choices.below(100)
    }

    fn apply(value: &mut Self::Value, written: &u64, write: Write) -> Result<Self::Value, WriteError> {
        value.set(write.dot, write.time, *written)
    }

    fn read(value: &Self::Value) -> Option<u64> {
        value.get().copied()
    }

    /// Of the writes that no other had seen the one of the greatest time: one that was seen never wins.
    fn specify(known: &Known<'_, u64>) -> Option<u64> {
        let standing = known.standing(|_| true, |later, place, _| later.sees.contains(&place));
        standing
            .into_iter()
            .max_by_key(|event| (event.write.time, event.write.dot))
            .map(|event| event.operation)
    }
}

struct MultiValue;

impl Specification for MultiValue {
    type Value = Causal<MvRegister<u64>>;
    type Operation = Option<u64>;
    type Reading = BTreeMap<Dot, u64>;

    fn choose(choices: &mut Choices, _: &Situation) -> Option<u64> {
        (!choices.percent(20)).then(|| choices.below(100))
    }

    fn apply(
        value: &mut Self::Value,
        written: &Option<u64>,
        write: Write,
    ) -> Result<Self::Value, WriteError> {
        match written {
            Some(written) => value.set(write.dot, *written),
            None => value.clear(write.dot),
        }
    }

    fn read(value: &Self::Value) -> BTreeMap<Dot, u64> {
        value.iter().map(|(dot, value)| (dot, *value)).collect()
    }

    fn specify(known: &Known<'_, Option<u64>>) -> BTreeMap<Dot, u64> {
        let standing = known.standing(Option::is_some, |later, place, _| later.sees.contains(&place));
        standing.into_iter().filter_map(|event| Some((event.write.dot, event.operation?))).collect()
    }
}

struct Extremes;

impl Specification for Extremes {
    type Value = Max<i64>;
    type Operation = i64;
    type Reading = Option<i64>;

    fn choose(choices: &mut Choices, _: &Situation) -> i64 {
        amount(choices)
    }

    fn apply(value: &mut Self::Value, written: &i64, write: Write) -> Result<Self::Value, WriteError> {
        value.put(write.dot, *written)
    }

    fn read(value: &Self::Value) -> Option<i64> {
        value.get().copied()
    }

    fn specify(known: &Known<'_, i64>) -> Option<i64> {
        known.iter().map(|(_, event)| event.operation).max()
    }
}

struct Least;

impl Specification for Least {
    type Value = Min<i64>;
    type Operation = i64;
    type Reading = Option<i64>;

    fn choose(choices: &mut Choices, _: &Situation) -> i64 {
        amount(choices)
    }

    fn apply(value: &mut Self::Value, written: &i64, write: Write) -> Result<Self::Value, WriteError> {
        value.put(write.dot, *written)
    }

    fn read(value: &Self::Value) -> Option<i64> {
        value.get().copied()
    }

    fn specify(known: &Known<'_, i64>) -> Option<i64> {
        known.iter().map(|(_, event)| event.operation).min()
    }
}

struct Growing;

impl Specification for Growing {
    type Value = GSet<u64>;
    type Operation = u64;
    type Reading = BTreeSet<u64>;

    fn choose(choices: &mut Choices, _: &Situation) -> u64 {
        choices.below(10)
    }

    fn apply(value: &mut Self::Value, element: &u64, write: Write) -> Result<Self::Value, WriteError> {
        value.add(write.dot, *element)
    }

    fn read(value: &Self::Value) -> BTreeSet<u64> {
        assert!(value.iter().all(|element| value.contains(element)) && value.len() == value.iter().count());
        value.iter().copied().collect()
    }

    fn specify(known: &Known<'_, u64>) -> BTreeSet<u64> {
        known.iter().map(|(_, event)| event.operation).collect()
    }
}

/// A write to a set. A removal says which writes its author had seen, or all that the replica had.
#[derive(Debug, Clone)]
enum Member {
    Add(u64),
    Remove(u64),
    RemoveSeen(u64, VersionVector),
    Forget(VersionVector),
}

impl Member {
    fn added(&self) -> Option<u64> {
        if let Self::Add(element) = self { Some(*element) } else { None }
    }

    fn removed(&self) -> Option<u64> {
        if let Self::Remove(element) | Self::RemoveSeen(element, _) = self { Some(*element) } else { None }
    }
}

/// Whether the removal's author had seen the event.
fn removal_saw(removal: &Event<Member>, place: usize, event: &Event<Member>) -> bool {
    match &removal.operation {
        Member::RemoveSeen(_, cut) => cut.contains(event.write.dot),
        _ => removal.sees.contains(&place),
    }
}

struct TwoPhases;

/// Whether somebody removed the element who had it.
fn removed_for_ever(known: &Known<'_, Member>, element: u64) -> bool {
    known.iter().any(|(_, removal)| {
        let mut adds = known.iter().filter(|(_, event)| event.operation.added() == Some(element));
        removal.operation.removed() == Some(element) && adds.any(|(place, _)| removal.sees.contains(&place))
    })
}

impl Specification for TwoPhases {
    type Value = TwoPhaseSet<u64>;
    type Operation = Member;
    type Reading = BTreeSet<u64>;

    fn choose(choices: &mut Choices, _: &Situation) -> Member {
        let element = choices.below(8);
        if choices.percent(30) { Member::Remove(element) } else { Member::Add(element) }
    }

    fn apply(value: &mut Self::Value, operation: &Member, write: Write) -> Result<Self::Value, WriteError> {
        match operation {
            Member::Add(element) => value.add(write.dot, *element),
            Member::Remove(element) | Member::RemoveSeen(element, _) => value.remove(write.dot, element),
            Member::Forget(_) => Ok(TwoPhaseSet::default()),
        }
    }

    fn read(value: &Self::Value) -> BTreeSet<u64> {
        value.iter().copied().collect()
    }

    fn specify(known: &Known<'_, Member>) -> BTreeSet<u64> {
        let added = known.iter().filter_map(|(_, event)| event.operation.added());
        added.filter(|element| !removed_for_ever(known, *element)).collect()
    }

    fn refuses(known: &Known<'_, Member>, operation: &Member, _: Write) -> bool {
        operation.added().is_some_and(|element| removed_for_ever(known, element))
    }
}

struct AddWins;

impl Specification for AddWins {
    type Value = Causal<AddWinsSet<u64>>;
    type Operation = Member;
    type Reading = BTreeSet<u64>;

    fn choose(choices: &mut Choices, situation: &Situation) -> Member {
        let element = choices.below(4);
        match choices.below(4) {
            0 => Member::Remove(element),
            1 => Member::RemoveSeen(element, situation.cut.clone()),
            _ => Member::Add(element),
        }
    }

    fn apply(value: &mut Self::Value, operation: &Member, write: Write) -> Result<Self::Value, WriteError> {
        match operation {
            Member::Add(element) => value.add(write.dot, *element),
            Member::RemoveSeen(element, cut) => value.remove_seen(write.dot, element, cut),
            Member::Remove(element) => value.remove(write.dot, element),
            Member::Forget(_) => Err(WriteError::Unseen),
        }
    }

    fn read(value: &Self::Value) -> BTreeSet<u64> {
        assert!(value.iter().all(|element| value.contains(element)) && value.len() == value.iter().count());
        value.iter().copied().collect()
    }

    /// There by an addition that no removal of the element, and no other addition of it, had seen.
    fn specify(known: &Known<'_, Member>) -> BTreeSet<u64> {
        let standing = known.standing(
            |operation| operation.added().is_some(),
            |later, place, event| {
                let element = event.operation.added();
                let removes = later.operation.removed() == element && removal_saw(later, place, event);
                removes || later.operation.added() == element && later.sees.contains(&place)
            },
        );
        standing.into_iter().filter_map(|event| event.operation.added()).collect()
    }
}

/// The elements with an addition of which every removal was seen by some addition.
fn remove_wins(known: &Known<'_, Member>) -> BTreeSet<u64> {
    let adds = |element: u64| known.iter().filter(move |(_, event)| event.operation.added() == Some(element));
    let removes =
        |element: u64| known.iter().filter(move |(_, event)| event.operation.removed() == Some(element));
    let is_there = |element: &u64| {
        removes(*element).all(|(place, _)| adds(*element).any(|(_, add)| add.sees.contains(&place)))
    };
    known.iter().filter_map(|(_, event)| event.operation.added()).filter(is_there).collect()
}

struct RemoveWins;

impl Specification for RemoveWins {
    type Value = Causal<RemoveWinsSet<u64>>;
    type Operation = Member;
    type Reading = BTreeSet<u64>;

    fn choose(choices: &mut Choices, situation: &Situation) -> Member {
        let element = choices.below(4);
        match choices.below(6) {
            0 | 1 => Member::Remove(element),
            2 => Member::Forget(situation.stable.clone()),
            _ => Member::Add(element),
        }
    }

    fn apply(value: &mut Self::Value, operation: &Member, write: Write) -> Result<Self::Value, WriteError> {
        match operation {
            Member::Add(element) => value.add(write.dot, *element),
            Member::Remove(element) | Member::RemoveSeen(element, _) => value.remove(write.dot, element),
            Member::Forget(stable) => value.forget(write.dot, stable),
        }
    }

    fn read(value: &Self::Value) -> BTreeSet<u64> {
        assert!(value.iter().all(|element| value.contains(element)));
        value.iter().copied().collect()
    }

    /// What was forgotten is not in the specification: forgetting changes no reading, then or later.
    fn specify(known: &Known<'_, Member>) -> BTreeSet<u64> {
        remove_wins(known)
    }
}

struct EnableWins;

impl Specification for EnableWins {
    type Value = Causal<EnableWinsFlag>;
    type Operation = bool;
    type Reading = bool;

    fn choose(choices: &mut Choices, _: &Situation) -> bool {
        choices.percent(50)
    }

    fn apply(value: &mut Self::Value, on: &bool, write: Write) -> Result<Self::Value, WriteError> {
        if *on { value.enable(write.dot) } else { value.disable(write.dot) }
    }

    fn read(value: &Self::Value) -> bool {
        value.is_enabled()
    }

    fn specify(known: &Known<'_, bool>) -> bool {
        !known
            .standing(|on| *on, |later, place, _| !later.operation && later.sees.contains(&place))
            .is_empty()
    }
}

struct DisableWins;

impl Specification for DisableWins {
    type Value = Causal<DisableWinsFlag>;
    type Operation = Member;
    type Reading = bool;

    fn choose(choices: &mut Choices, situation: &Situation) -> Member {
        match choices.below(5) {
            0 | 1 => Member::Remove(0),
            2 => Member::Forget(situation.stable.clone()),
            _ => Member::Add(0),
        }
    }

    fn apply(value: &mut Self::Value, operation: &Member, write: Write) -> Result<Self::Value, WriteError> {
        match operation {
            Member::Add(_) => value.enable(write.dot),
            Member::Remove(_) | Member::RemoveSeen(..) => value.disable(write.dot),
            Member::Forget(stable) => value.forget(write.dot, stable),
        }
    }

    fn read(value: &Self::Value) -> bool {
        value.is_enabled()
    }

    fn specify(known: &Known<'_, Member>) -> bool {
        remove_wins(known).contains(&0)
    }
}

/// A write to a map of sets.
#[derive(Debug, Clone)]
enum Entry {
    Add(u64, u64),
    Remove(u64, u64),
    RemoveKey(u64),
    RemoveKeySeen(u64, VersionVector),
}

struct MapOfSets;

impl Specification for MapOfSets {
    type Value = Causal<Map<u64, AddWinsSet<u64>>>;
    type Operation = Entry;
    type Reading = BTreeSet<(u64, u64)>;

    fn choose(choices: &mut Choices, situation: &Situation) -> Entry {
        let (key, element) = (choices.below(3), choices.below(3));
        match choices.below(8) {
            0 => Entry::RemoveKey(key),
            1 => Entry::RemoveKeySeen(key, situation.cut.clone()),
            2 | 3 => Entry::Remove(key, element),
            _ => Entry::Add(key, element),
        }
    }

    fn apply(value: &mut Self::Value, operation: &Entry, write: Write) -> Result<Self::Value, WriteError> {
        match operation {
            Entry::Add(key, element) => value.update(*key, |set, seen| set.add(seen, write.dot, *element)),
            Entry::Remove(key, element) => {
                value.update(*key, |set, seen| set.remove(seen, write.dot, element))
            }
            Entry::RemoveKey(key) => value.remove(write.dot, key),
            Entry::RemoveKeySeen(key, cut) => value.remove_seen(write.dot, key, cut),
        }
    }

    fn read(value: &Self::Value) -> BTreeSet<(u64, u64)> {
        assert!(value.iter().all(|(_, set)| !set.is_empty()), "no key has an empty value");
        value.iter().flat_map(|(key, set)| set.iter().map(move |element| (*key, *element))).collect()
    }

    /// There by an addition that no removal of the element or of its key, and no other addition of it, had seen.
    fn specify(known: &Known<'_, Entry>) -> BTreeSet<(u64, u64)> {
        let standing = known.standing(
            |operation| matches!(operation, Entry::Add(..)),
            |later, place, event| {
                let Entry::Add(key, element) = event.operation else { return false };
                let saw = later.sees.contains(&place);
                match &later.operation {
                    Entry::Add(other, of) | Entry::Remove(other, of) => {
                        (*other, *of) == (key, element) && saw
                    }
                    Entry::RemoveKey(other) => *other == key && saw,
                    Entry::RemoveKeySeen(other, cut) => *other == key && cut.contains(event.write.dot),
                }
            },
        );
        let pair = |event: &Event<Entry>| match event.operation {
            Entry::Add(key, element) => Some((key, element)),
            _ => None,
        };
        standing.into_iter().filter_map(pair).collect()
    }
}

struct MapOfRegisters;

impl Specification for MapOfRegisters {
    type Value = Causal<Map<u64, MvRegister<u64>>>;
    type Operation = Entry;
    type Reading = BTreeMap<Dot, (u64, u64)>;

    fn choose(choices: &mut Choices, situation: &Situation) -> Entry {
        let (key, value) = (choices.below(3), choices.below(100));
        match choices.below(8) {
            0 => Entry::RemoveKey(key),
            1 => Entry::RemoveKeySeen(key, situation.cut.clone()),
            _ => Entry::Add(key, value),
        }
    }

    fn apply(value: &mut Self::Value, operation: &Entry, write: Write) -> Result<Self::Value, WriteError> {
        match operation {
            Entry::Add(key, written) | Entry::Remove(key, written) => {
                value.update(*key, |register, seen| register.set(seen, write.dot, *written))
            }
            Entry::RemoveKey(key) => value.remove(write.dot, key),
            Entry::RemoveKeySeen(key, cut) => value.remove_seen(write.dot, key, cut),
        }
    }

    fn read(value: &Self::Value) -> BTreeMap<Dot, (u64, u64)> {
        let all = value.iter().flat_map(|(key, register)| register.iter().map(move |entry| (*key, entry)));
        all.map(|(key, (dot, value))| (dot, (key, *value))).collect()
    }

    fn specify(known: &Known<'_, Entry>) -> BTreeMap<Dot, (u64, u64)> {
        let standing = known.standing(
            |operation| matches!(operation, Entry::Add(..)),
            |later, place, event| {
                let Entry::Add(key, _) = event.operation else { return false };
                match &later.operation {
                    Entry::Add(other, _) | Entry::Remove(other, _) | Entry::RemoveKey(other) => {
                        *other == key && later.sees.contains(&place)
                    }
                    Entry::RemoveKeySeen(other, cut) => *other == key && cut.contains(event.write.dot),
                }
            },
        );
        let entry = |event: &Event<Entry>| match event.operation {
            Entry::Add(key, value) => Some((event.write.dot, (key, value))),
            _ => None,
        };
        standing.into_iter().filter_map(entry).collect()
    }
}

#[test]
fn counters_are_the_sums_of_their_events() {
    assert!(compare::<GrowingCounter>(HISTORIES) > 0);
    assert!(compare::<UpAndDown>(HISTORIES) > 0);
}

#[test]
fn a_settable_counter_is_its_last_set_and_what_was_added_to_it() {
    compare::<SettableCounter>(HISTORIES);
}

#[test]
fn a_bounded_counter_never_goes_below_zero_in_any_partition() {
    assert!(compare::<Bounded>(HISTORIES) > HISTORIES);
}

#[test]
fn registers_keep_what_was_written_last() {
    compare::<LastWriter>(HISTORIES);
    compare::<MultiValue>(HISTORIES);
}

#[test]
fn extremes_are_those_of_their_events() {
    compare::<Extremes>(HISTORIES);
    compare::<Least>(HISTORIES);
}

#[test]
fn sets_that_only_grow_have_what_was_added() {
    compare::<Growing>(HISTORIES);
    assert!(compare::<TwoPhases>(HISTORIES) > 100);
}

#[test]
fn an_add_wins_set_has_what_no_removal_had_seen() {
    compare::<AddWins>(HISTORIES);
}

#[test]
fn a_remove_wins_set_lacks_what_no_addition_had_seen_removed() {
    compare::<RemoveWins>(HISTORIES);
}

#[test]
fn flags_turn_as_their_names_say() {
    compare::<EnableWins>(HISTORIES);
    compare::<DisableWins>(HISTORIES);
}

#[test]
fn a_map_has_what_no_removal_of_its_key_had_seen() {
    compare::<MapOfSets>(HISTORIES);
    compare::<MapOfRegisters>(HISTORIES);
}
