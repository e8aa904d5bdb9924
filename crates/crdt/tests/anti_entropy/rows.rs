//! Rows, beside a specification over all writes and what their authors had seen.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;

use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime, VersionVector};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{Cell, Change, Crdt, Exact, Existence, Replica, Row, State};
use deltaic_types::Value;
use deltaic_types::codec::{DecodeError, Reader};

use crate::subjects::{Pasts, Subject};

/// Rows, against all writes with what their authors had seen.
pub(crate) struct Rows<E>(PhantomData<E>);

/// What was written to a row, and what its author had seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrote {
    Inserted,
    /// The title, the counter, the tag that was added or removed, the flag.
    Title(u64),
    Added(i64),
    Tagged(u64, bool),
    Switched(bool),
    /// A write of the log.
    Noted(u8),
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct History {
    writes: BTreeMap<Dot, (HybridTime, VersionVector, Wrote)>,
}

impl Crdt for History {
    fn join(&mut self, other: &Self) {
        self.writes.extend(other.writes.clone());
    }

    fn decompose(&self) -> Vec<Self> {
        unreachable!("it stays in the test")
    }

    fn novel(&self, _: &CausalContext) -> Self {
        unreachable!("it stays in the test")
    }

    fn write(&self, _: &mut Vec<u8>) {
        unreachable!("it stays in the test")
    }

    fn read(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        unreachable!("it stays in the test")
    }
}

fn exact(number: u64) -> Exact {
    Exact(Value::Integer(number.cast_signed()))
}

impl History {
    /// The writes of the last generation that had seen its beginning: dot, what was seen, the write.
    fn last(&self) -> Vec<(Dot, &VersionVector, &Wrote)> {
        let insertions = self.writes.iter().filter(|(_, (_, _, wrote))| *wrote == Wrote::Inserted);
        let Some((first, _)) = insertions.max_by_key(|(dot, (time, _, _))| (*time, **dot)) else {
            return Vec::new();
        };
        let of = self.writes.iter().filter(|(dot, (_, past, _))| *dot == first || past.contains(*first));
        of.filter(|(dot, (_, _, wrote))| *dot == first || *wrote != Wrote::Inserted)
            .map(|(dot, (_, past, wrote))| (*dot, past, wrote))
            .collect()
    }

    /// Whether the row is there: some write that no deletion had seen; where deletions win, also none that was not seen by a
    /// write behind it.
    fn is_there(&self, deletions_win: bool) -> bool {
        let last = self.last();
        let is_seen = |dot: Dot, by: &dyn Fn(&Wrote) -> bool| {
            last.iter().any(|(_, past, wrote)| past.contains(dot) && by(wrote))
        };
        let deletion = |wrote: &Wrote| *wrote == Wrote::Deleted;
        let alive = last.iter().any(|(dot, _, wrote)| !deletion(wrote) && !is_seen(*dot, &deletion));
        let stands = last.iter().any(|(dot, _, wrote)| deletion(wrote) && !is_seen(*dot, &|_| true));
        alive && !(deletions_win && stands)
    }

    fn is(&self, row: &Row<impl Existence>) -> bool {
        let last = self.last();
        let before = |one: Dot, other: &(Dot, &VersionVector, &Wrote)| other.1.contains(one);
        // The last writes of a column.
        let newest = |is_of: &dyn Fn(&Wrote) -> bool| -> BTreeMap<Dot, Wrote> {
            let of: Vec<_> = last.iter().filter(|(_, _, wrote)| is_of(wrote)).collect();
            let is_newest = |dot: Dot| !of.iter().any(|other| before(dot, other));
            of.iter()
                .filter(|(dot, _, _)| is_newest(*dot))
                .map(|(dot, _, wrote)| (*dot, (*wrote).clone()))
                .collect()
        };
        let titles = newest(&|wrote| matches!(wrote, Wrote::Title(_) | Wrote::Inserted));
        let Some(Cell::Register(register)) = row.cell(0) else { return false };
        let read: BTreeMap<Dot, Wrote> = register
            .iter()
            .map(|(dot, written)| {
                let [Exact(Value::Integer(number))] = written.values[..] else { panic!("{written:?}") };
                (dot, if number == 1_000 { Wrote::Inserted } else { Wrote::Title(number.cast_unsigned()) })
            })
            .collect();
        let sum: i128 = last
            .iter()
            .map(|(_, _, wrote)| if let Wrote::Added(amount) = wrote { i128::from(*amount) } else { 0 })
            .sum();
        let Some(Cell::Counter(counter)) = row.cell(1) else { return false };
        let tags = (0..3).filter(|tag| {
            let newest = newest(&|wrote| matches!(wrote, Wrote::Tagged(of, _) if of == tag));
            newest.values().any(|wrote| matches!(wrote, Wrote::Tagged(_, true)))
        });
        let read_tags: Vec<u64> = match row.cell(2) {
            Some(Cell::AddWinsSet(set)) => {
                set.iter()
                    .map(|tag| {
                        if let Value::Integer(tag) = tag.0 { tag.cast_unsigned() } else { panic!("{tag:?}") }
                    })
                    .collect()
            }
            _ => Vec::new(),
        };
        let on = newest(&|wrote| matches!(wrote, Wrote::Switched(_)));
        let on = on.values().any(|wrote| *wrote == Wrote::Switched(true));
        let read_on = matches!(row.cell(3), Some(Cell::Flag(flag)) if flag.is_enabled());
        let noted = last.iter().filter_map(|(dot, _, wrote)| {
            if let Wrote::Noted(byte) = wrote { Some((*dot, vec![*byte])) } else { None }
        });
        let read_notes: Vec<(Dot, Vec<u8>)> = match row.cell(4) {
            Some(Cell::Log(log)) => log.iter().map(|(dot, bytes)| (dot, bytes.to_vec())).collect(),
            _ => Vec::new(),
        };
        read == titles
            && counter.value() == sum
            && read_tags == tags.collect::<Vec<_>>()
            && read_on == on
            && read_notes == noted.collect::<Vec<_>>()
    }
}

impl<E: Existence + PartialEq + Debug> Subject for Rows<E> {
    type Value = Row<E>;
    type All = History;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        now: u64,
        choices: &mut Choices,
        past: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let key = choices.below(4);
        let time = HybridTime((now + choices.below(50)) << 8 | replica.actor().0);
        let (actor, cut) = (replica.actor(), replica.cut().clone());
        // Some have seen less than is here: what some earlier writer had seen, the row, and all that they did themselves.
        let mut basis = cut.clone();
        if choices.percent(20) {
            let place = choices.place(past.len());
            let of_some = past.keys().copied().nth(place).filter(|dot| cut.contains(*dot));
            let own = Dot { actor, seq: cut.last(actor) };
            let began = replica.get(&key).and_then(Row::generation).map(|began| began.dot);
            basis = VersionVector::default();
            for dot in [of_some, began, Some(own)].into_iter().flatten() {
                past.get(&dot).into_iter().for_each(|past| basis.join(past));
                basis.raise(dot);
            }
        }
        let (tag, amount) = (choices.below(3), choices.below(9).cast_signed() - 4);
        let what = choices.below(11);
        let exists = replica.has(&key);
        let change = |wrote: &Wrote| match wrote {
            Wrote::Title(title) => vec![(0, Change::Write(vec![exact(*title)]))],
            Wrote::Added(amount) => vec![(1, Change::Increment(*amount))],
            Wrote::Tagged(tag, true) => vec![(2, Change::Add(exact(*tag)))],
            Wrote::Tagged(tag, false) => vec![(2, Change::Remove(exact(*tag)))],
            Wrote::Switched(on) => vec![(3, Change::Switch(*on))],
            Wrote::Noted(byte) => vec![(4, Change::Append([*byte].into()))],
            Wrote::Inserted | Wrote::Deleted => Vec::new(),
        };
        let wrote = match what {
            _ if !exists => Wrote::Inserted,
            0 => Wrote::Deleted,
            1 | 2 => Wrote::Title(choices.below(9)),
            3 | 4 => Wrote::Added(amount),
            5 | 6 => Wrote::Tagged(tag, true),
            7 => Wrote::Tagged(tag, false),
            10 => Wrote::Noted(tag as u8),
            _ => Wrote::Switched(what == 8),
        };
        // An addition replaces all that is here of the element, whatever its author had seen.
        let seen = if let Wrote::Tagged(_, true) | Wrote::Inserted = wrote { cut } else { basis };
        let done = match &wrote {
            Wrote::Inserted => {
                let changes = [(0, Change::Write(vec![exact(1_000)])), (1, Change::Set(0))];
                replica.insert(&key, time, changes)
            }
            Wrote::Deleted => replica.delete(&key, Some(&seen)),
            wrote => replica.update_row(&key, time, Some(&seen), change(wrote)),
        };
        done.ok()?;
        let dot = Dot { actor, seq: replica.cut().last(actor) };
        Some((key, History { writes: BTreeMap::from([(dot, (time, seen, wrote))]) }))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        let deletions_win = E::gone(Dot { actor: ActorId(1), seq: 1 }) != E::default();
        let is_there = all.is_there(deletions_win);
        value.is_there() == is_there && (!is_there || all.is(value))
    }
}
