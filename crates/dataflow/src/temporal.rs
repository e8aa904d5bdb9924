//! [`Temporal`]: rows with the truth of conditions that depend on the time, `Q(z, t) = { r ++ c(r, t): z[r] }`.
//!
//! The time is a relation of one row, the clock, that commits move. State: for each row the next time at which one of its
//! conditions changes, with the row's weight; a row whose conditions are settled for good is not in it. A step costs the
//! changed rows and the rows whose time has come, not the rows that there are. Invariant: the state is a function of
//! the input's integral and of the clock, and all its times are later than the clock's.
//!
//! When a condition changes is found by asking it: one that only rises, or only falls, changes at most once and is
//! bisected, unless it has done so already. One that adds months to the time may go back at the end of a month by up to
//! three days and changes at most once within each day; there the days are searched in which it can.

use std::cmp::Ordering;

use deltaic_types::{EvalError, Row, Value};

use crate::{
    cow_tree::CowTree,
    operator::NodeId,
    relation::clock_row,
    scalar::Scalar,
    zset::{Batch, ErrorRow, Weight},
};

const DAY_MICROS: i64 = 86_400_000_000;

/// How many days the end of a month can take a condition back, and some.
const RESTLESS_DAYS: i64 = 5;

/// The last time at which a condition is asked: the end of the year 9999. What changes later never does.
const END_MICROS: i64 = 253_402_300_799_999_999;

/// Rows with conditions on the clock; the output's columns are the input's, then a boolean a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Temporal {
    /// The input.
    pub input: NodeId,
    /// The clock: a relation of one row, whose first column is a timestamp.
    pub clock: NodeId,
    /// The conditions.
    pub conditions: Vec<TimeCondition>,
    /// How many of the input's first columns are the template's parameters.
    pub prefix: usize,
}

/// A condition over a tuple of the input's row and the clock's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeCondition {
    /// The condition.
    pub condition: Scalar,
    /// How it changes.
    pub course: Course,
}

/// How a condition changes as time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Course {
    /// From not TRUE to TRUE, and never back.
    Rises,
    /// From TRUE to not TRUE, and never back.
    Falls,
    /// At most once within each day (UTC), and in the long run at most once.
    Restless,
}

/// Rows by the time at which they change next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Upcoming(CowTree<(i64, Row, Weight)>);

impl Upcoming {
    fn add(&mut self, time: i64, row: &Row, weight: Weight) {
        let order = |(at, element, _): &(i64, Row, Weight)| match at.cmp(&time) {
            Ordering::Equal => element.cmp(row),
            order => order,
        };
        let found = |(_, _, sum): &mut (i64, Row, Weight)| {
            *sum += weight;
            *sum != 0
        };
        self.0.update(order, found, || (weight != 0).then(|| (time, row.clone(), weight)));
    }

    /// The next time at which a row changes.
    pub(crate) fn next(&self) -> Option<i64> {
        self.0.iter().next().map(|(time, ..)| *time)
    }

    /// Rows and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.0.len(), self.0.iter().map(|(_, row, _)| row.heap_bytes() + 32).sum())
    }
}

impl Temporal {
    /// The rows as they are at a time, and the state from then on.
    pub(crate) fn hydrate(&self, batch: &Batch, now: i64) -> (Upcoming, Batch) {
        let mut state = Upcoming::default();
        let output = self.step(&mut state, Some(batch), (now, now));
        (state, output)
    }

    /// The rows as they are at a time.
    pub(crate) fn contents(&self, batch: &Batch, now: i64) -> Batch {
        let mut output = Batch { errors: batch.errors.clone(), ..Batch::default() };
        for (row, weight) in batch.rows.iter() {
            output.push(self.extended(row, now), weight);
        }
        output
    }

    /// The change of the output for a change of the input and a move of the clock.
    pub(crate) fn step(
        &self,
        state: &mut Upcoming,
        change: Option<&Batch>,
        (before, now): (i64, i64),
    ) -> Batch {
        assert!(before <= now, "the clock never goes back");
        let mut output = Batch::default();
        while let Some((time, row, weight)) = state.0.iter().next().filter(|(time, ..)| *time <= now).cloned()
        {
            state.add(time, &row, -weight);
            output.push(self.extended(&row, before), -weight);
            output.push(self.extended(&row, now), weight);
            if let Some(next) = self.next_change(&row, now) {
                state.add(next, &row, weight);
            }
        }
        let Some(change) = change else { return output };
        output.errors.extend(change.errors.iter().cloned());
        for (row, weight) in change.rows.iter() {
            output.push(self.extended(row, now), weight);
            if let Some(next) = self.next_change(row, now) {
                state.add(next, row, weight);
            }
        }
        output
    }

    fn extended(&self, row: &Row, now: i64) -> Result<Row, ErrorRow> {
        let tuple = [row.clone(), clock_row(now)];
        let mut values = Vec::with_capacity(row.len() + self.conditions.len());
        values.extend(row.iter().cloned());
        for TimeCondition { condition, .. } in &self.conditions {
            let key = || row[..self.prefix].iter().cloned().collect();
            values.push(condition.eval(&tuple).map_err(|error| ErrorRow { key: key(), error })?);
        }
        Ok(Row::from(values))
    }

    /// The first time after `from` at which a condition of the row gives something else than just before.
    fn next_change(&self, row: &Row, from: i64) -> Option<i64> {
        self.conditions.iter().filter_map(|condition| condition.next_change(row, from)).min()
    }
}

impl TimeCondition {
    fn next_change(&self, row: &Row, from: i64) -> Option<i64> {
        let mut tuple = [row.clone(), clock_row(from)];
        let mut ask = |time: i64| -> Result<Value, EvalError> {
            tuple[1] = clock_row(time);
            self.condition.eval(&tuple)
        };
        let first = ask(from);
        let is_true = first == Ok(Value::Boolean(true));
        if self.course != Course::Restless {
            // What is NULL or fails does so for the row's sake, at any time.
            let may_change = match self.course {
                Course::Falls => is_true,
                _ => first == Ok(Value::Boolean(false)),
            };
            if !may_change {
                return None;
            }
            return ahead(&mut ask, &first, from).map(|(low, high)| bisect(&mut ask, &first, low, high));
        }
        if let Some(time) = by_days(&mut ask, &first, from, from.saturating_add(RESTLESS_DAYS * DAY_MICROS)) {
            return Some(time);
        }
        let (low, high) = ahead(&mut ask, &first, from)?;
        let some = bisect(&mut ask, &first, low, high);
        // It may have gone there and back shortly before.
        by_days(&mut ask, &first, (some - RESTLESS_DAYS * DAY_MICROS).max(from), some)
    }
}

type Ask<'a> = dyn FnMut(i64) -> Result<Value, EvalError> + 'a;

/// Two times between which the answer becomes another one, found in steps that double; None where it never does.
fn ahead(ask: &mut Ask<'_>, first: &Result<Value, EvalError>, from: i64) -> Option<(i64, i64)> {
    let (mut low, mut step) = (from, 1_000_i64);
    while low < END_MICROS {
        let high = low.saturating_add(step).min(END_MICROS);
        if ask(high) != *first {
            return Some((low, high));
        }
        (low, step) = (high, step.saturating_mul(4));
    }
    None
}

/// The first time at which the answer is another one, where it is one at `low`, another one at `high`, and changes once.
fn bisect(ask: &mut Ask<'_>, first: &Result<Value, EvalError>, mut low: i64, mut high: i64) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if ask(middle) == *first { low = middle } else { high = middle }
    }
    high
}

/// The first time after `from`, up to `to`, at which the answer is another one, where it changes once a day at most.
fn by_days(ask: &mut Ask<'_>, first: &Result<Value, EvalError>, from: i64, to: i64) -> Option<i64> {
    let mut start = from;
    while start < to {
        let midnight = (start.div_euclid(DAY_MICROS) + 1) * DAY_MICROS;
        let end = (midnight - 1).min(to);
        if ask(end) != *first {
            return Some(bisect(ask, first, start, end));
        }
        if midnight <= to && ask(midnight) != *first {
            return Some(midnight);
        }
        start = midnight;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::zset::ZSet;

    const INPUT: NodeId = NodeId(0);
    const CLOCK: NodeId = NodeId(1);

    fn micros(value: &Value) -> i64 {
        if let Value::Timestamp(micros) = value { *micros } else { panic!("a timestamp, not {value:?}") }
    }

    /// `row[0] <= now`, which rises once.
    fn has_come() -> TimeCondition {
        let condition = Scalar::function("#0.0 <= now", |rows| {
            Ok(Value::Boolean(micros(&rows[0][0]) <= micros(&rows[1][0])))
        });
        TimeCondition { condition, course: Course::Rises }
    }

    /// `row[0] > now - age`, which falls once.
    fn younger_than(age: i64) -> TimeCondition {
        let condition = Scalar::function(format!("#0.0 > now - {age}"), move |rows| {
            Ok(Value::Boolean(micros(&rows[0][0]) > micros(&rows[1][0]) - age))
        });
        TimeCondition { condition, course: Course::Falls }
    }

    /// True on odd days until a limit: it changes at most once a day, and for good in the end.
    fn odd_days(until: i64) -> TimeCondition {
        let condition = Scalar::function(format!("odd day until {until}"), move |rows| {
            let now = micros(&rows[1][0]);
            Ok(Value::Boolean(now < until && now.div_euclid(DAY_MICROS) % 2 == 1))
        });
        TimeCondition { condition, course: Course::Restless }
    }

    fn row(time: i64) -> Row {
        Row::from_iter([Value::Timestamp(time)])
    }

    #[test]
    fn the_first_change_is_found_to_the_microsecond() {
        let condition = younger_than(500);
        assert_eq!(condition.next_change(&row(1_000), 0), Some(1_500));
        assert_eq!(condition.next_change(&row(1_000), 1_499), Some(1_500));
        assert_eq!(condition.next_change(&row(1_000), 1_500), None);
        assert_eq!(has_come().next_change(&row(1_000), 999), Some(1_000));
        assert_eq!(has_come().next_change(&row(1_000), 1_000), None);
        let condition = odd_days(3 * DAY_MICROS + 7);
        assert_eq!(condition.next_change(&row(0), 5), Some(DAY_MICROS));
        assert_eq!(condition.next_change(&row(0), DAY_MICROS), Some(2 * DAY_MICROS));
        assert_eq!(condition.next_change(&row(0), 2 * DAY_MICROS), Some(3 * DAY_MICROS));
        assert_eq!(condition.next_change(&row(0), 3 * DAY_MICROS), Some(3 * DAY_MICROS + 7));
        assert_eq!(condition.next_change(&row(0), 3 * DAY_MICROS + 7), None);
    }

    proptest! {
        #[test]
        fn steps_add_up_to_what_a_time_shows(
            steps in proptest::collection::vec(
                (0_i64..DAY_MICROS, proptest::collection::vec((0_i64..4 * DAY_MICROS, 1_i64..3), 0..4)),
                1..12,
            ),
        ) {
            let conditions = vec![younger_than(DAY_MICROS / 3), has_come(), odd_days(5 * DAY_MICROS)];
            let temporal = Temporal { input: INPUT, clock: CLOCK, conditions, prefix: 0 };
            let (mut state, mut sum) = (Upcoming::default(), Batch::default());
            let (mut rows, mut now) = (ZSet::default(), 0);
            for (place, (wait, come)) in steps.into_iter().enumerate() {
                let mut change: ZSet = come.into_iter().map(|(time, weight)| (row(time), weight)).collect();
                // Every third step takes back all there is.
                if place % 3 == 2 {
                    change.extend(rows.clone().negated());
                }
                let change = Batch::of(change.consolidated());
                let output = temporal.step(&mut state, Some(&change), (now, now + wait));
                now += wait;
                rows.extend(change.rows);
                rows = rows.consolidated();
                sum.extend(output);
                let whole = Batch::of(rows.clone());
                let (fresh, hydrated) = temporal.hydrate(&whole, now);
                prop_assert_eq!(&sum.clone().consolidated(), &hydrated.clone().consolidated());
                prop_assert_eq!(&temporal.contents(&whole, now).consolidated(), &hydrated.consolidated());
                prop_assert!(state.0.iter().eq(fresh.0.iter()), "the state is a function of rows and clock");
                prop_assert!(state.next().is_none_or(|next| next > now));
                if rows.is_empty() {
                    prop_assert_eq!(state.size().0, 0);
                }
            }
        }
    }
}
