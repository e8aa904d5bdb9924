//! [`Frame`]: which rows around the current one a window function looks at; [`Partition`]: the rows in order.
//!
//! Invariant: from one row of a partition to the next neither end of a frame moves back, and the end is never
//! before the start.

use std::{cmp::Ordering, ops::Range};

use deltaic_types::{DAY_MICROS, EvalError, Interval, Row, Value, datetime::add_interval};

use crate::index::KeyColumn;

/// A frame: its ends are counted in rows, in groups of peers, or in values of the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame {
    /// What is counted.
    pub units: Units,
    /// Where it begins.
    pub start: Bound,
    /// Where it ends.
    pub end: Bound,
}

/// What the ends of a frame are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Units {
    /// ROWS
    Rows,
    /// RANGE
    Range,
    /// GROUPS
    Groups,
}

/// An end of a frame. Offsets are not negative: whole numbers; in a range a number of the order's type, or of an order by
/// times an interval.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// UNBOUNDED PRECEDING
    First,
    /// PRECEDING
    Before(Value),
    /// CURRENT ROW: with its peers, but where rows are counted.
    Current,
    /// FOLLOWING
    After(Value),
    /// UNBOUNDED FOLLOWING
    Last,
}

impl Default for Frame {
    /// SQL's default: up to the last peer of the current row.
    fn default() -> Self {
        Self { units: Units::Range, start: Bound::First, end: Bound::Current }
    }
}

/// The rows of a partition in order, and which are peers.
pub(crate) struct Partition<'a> {
    rows: Vec<&'a Row>,
    /// For each row its group of peers.
    groups: Vec<usize>,
    /// For each group its rows.
    bounds: Vec<Range<usize>>,
    order: &'a [KeyColumn],
}

impl<'a> Partition<'a> {
    pub(crate) fn new(rows: Vec<&'a Row>, order: &'a [KeyColumn]) -> Self {
        let mut groups = Vec::with_capacity(rows.len());
        let mut bounds: Vec<Range<usize>> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let is_peer = |before: &&Row| order.iter().all(|key| before[key.column] == row[key.column]);
            match bounds.last_mut() {
                Some(group) if rows.get(place.wrapping_sub(1)).is_some_and(is_peer) => group.end = place + 1,
                _ => bounds.push(place..place + 1),
            }
            groups.push(bounds.len() - 1);
        }
        Self { rows, groups, bounds, order }
    }

    pub(crate) fn rows(&self) -> &[&'a Row] {
        &self.rows
    }

    /// The number of a row's group of peers.
    pub(crate) fn group(&self, place: usize) -> usize {
        self.groups[place]
    }

    /// The rows that the order does not tell from a row.
    pub(crate) fn peers(&self, place: usize) -> Range<usize> {
        self.bounds[self.groups[place]].clone()
    }

    /// The first row that is not before, or not beyond, the value at a distance from a row's own.
    fn at_distance(
        &self,
        place: usize,
        offset: &Value,
        before: bool,
        is_end: bool,
    ) -> Result<usize, EvalError> {
        let [key] = self.order else {
            unreachable!("invariant: a range with an offset has one criterion: {:?}", self.order)
        };
        let own = &self.rows[place][key.column];
        if own.is_null() {
            // NULLs are at no distance from anything but each other.
            let peers = self.peers(place);
            return Ok(if is_end { peers.end } else { peers.start });
        }
        // Before is towards the lesser, but where the order descends.
        let wanted = moved(own, offset, before == key.descending)?;
        let is_null = |row: &&Row| row[key.column].is_null();
        let start = self.rows.iter().take_while(|row| key.nulls_first && is_null(row)).count();
        let nulls = self.rows.iter().rev().take_while(|row| !key.nulls_first && is_null(row)).count();
        let known = &self.rows[start..self.rows.len() - nulls];
        Ok(start
            + known.partition_point(|row| {
                let order = wanted.compare(&row[key.column]);
                let order = if key.descending { order } else { order.reverse() };
                order == Ordering::Less || (is_end && order == Ordering::Equal)
            }))
    }
}

/// A value that may be beyond those of its type.
enum Distant {
    /// A whole number, or microseconds.
    Whole(i128),
    Other(Value),
}

impl Distant {
    fn compare(&self, value: &Value) -> Ordering {
        match (self, value) {
            (Self::Whole(n), Value::Integer(m) | Value::Timestamp(m)) => n.cmp(&i128::from(*m)),
            (Self::Whole(n), Value::Date(days)) => n.cmp(&i128::from(instant(*days))),
            (Self::Whole(n), Value::Interval(interval)) => n.cmp(&interval.total_micros()),
            (Self::Other(a), b) => a.cmp(b),
            (_, value) => unreachable!("invariant: offsets have the order's type: {value:?}"),
        }
    }
}

/// The instant at which a day begins.
fn instant(days: i32) -> i64 {
    i64::from(days) * DAY_MICROS
}

/// An instant at a distance. What no clock shows is beyond all that one does.
fn moved_instant(micros: i64, offset: Interval, up: bool) -> i128 {
    let offset = if up { Some(offset) } else { offset.checked_neg() };
    let moved = offset.and_then(|offset| add_interval(micros, offset).ok());
    moved.map_or(if up { i128::MAX } else { i128::MIN }, i128::from)
}

fn moved(value: &Value, offset: &Value, up: bool) -> Result<Distant, EvalError> {
    Ok(match (value, offset) {
        (Value::Integer(n), Value::Integer(k)) => {
            let (n, k) = (i128::from(*n), i128::from(*k));
            Distant::Whole(if up { n + k } else { n - k })
        }
        (Value::Numeric(n), Value::Numeric(k)) => {
            Distant::Other(Value::numeric(if up { n.add(k)? } else { n.sub(k)? }))
        }
        (Value::Double(x), Value::Double(k)) => {
            let (x, k) = (x.get(), k.get());
            Distant::Other(Value::double(if up { x + k } else { x - k }))
        }
        (Value::Timestamp(micros), Value::Interval(k)) => Distant::Whole(moved_instant(*micros, **k, up)),
        // A day is the instant at which it begins, and so is at a distance of hours too.
        (Value::Date(days), Value::Interval(k)) => Distant::Whole(moved_instant(instant(*days), **k, up)),
        (Value::Interval(interval), Value::Interval(k)) => {
            let (n, k) = (interval.total_micros(), k.total_micros());
            Distant::Whole(if up { n + k } else { n - k })
        }
        _ => unreachable!("invariant: offsets have the order's type: {value:?} {offset:?}"),
    })
}

impl Frame {
    /// The rows of each row's frame.
    ///
    /// An end stays where it is rather than move back: so do PostgreSQL's where a month after the 30th at noon is later
    /// than a month after the 31st, because both are the 29th.
    pub(crate) fn ranges(&self, partition: &Partition<'_>) -> Result<Vec<Range<usize>>, EvalError> {
        let mut last = 0..0;
        (0..partition.rows.len())
            .map(|place| {
                let frame = self.range(partition, place)?;
                last = frame.start.max(last.start)..frame.end.max(last.end);
                last.end = last.end.max(last.start);
                Ok(last.clone())
            })
            .collect()
    }

    /// The rows of a row's frame.
    fn range(&self, partition: &Partition<'_>, place: usize) -> Result<Range<usize>, EvalError> {
        let start = self.edge(&self.start, false, partition, place)?;
        let end = self.edge(&self.end, true, partition, place)?;
        Ok(start..end.max(start))
    }

    fn edge(
        &self,
        bound: &Bound,
        is_end: bool,
        partition: &Partition<'_>,
        place: usize,
    ) -> Result<usize, EvalError> {
        let count = partition.rows.len();
        let (offset, before) = match bound {
            Bound::First => return Ok(0),
            Bound::Last => return Ok(count),
            Bound::Current if self.units == Units::Rows => return Ok(place + usize::from(is_end)),
            Bound::Current => {
                let peers = partition.peers(place);
                return Ok(if is_end { peers.end } else { peers.start });
            }
            Bound::Before(offset) => (offset, true),
            Bound::After(offset) => (offset, false),
        };
        if self.units == Units::Range {
            return partition.at_distance(place, offset, before, is_end);
        }
        let distance = usize::try_from(offset.as_i64().unwrap_or(0)).unwrap_or(usize::MAX);
        let moved = |from: usize| {
            if before { from.checked_sub(distance) } else { Some(from.saturating_add(distance)) }
        };
        Ok(match (self.units, is_end) {
            (Units::Rows, false) => moved(place).unwrap_or(0).min(count),
            (Units::Rows, true) => moved(place).map_or(0, |last| last.saturating_add(1).min(count)),
            (_, false) => {
                let group = moved(partition.group(place)).unwrap_or(0);
                partition.bounds.get(group).map_or(count, |rows| rows.start)
            }
            (_, true) => match moved(partition.group(place)) {
                None => 0,
                Some(group) => partition.bounds.get(group).map_or(count, |rows| rows.end),
            },
        })
    }
}
