//! [`Search`]: how a probe finds rows by the column behind its key, where no equality gives that column's value.
//!
//! Invariant: what a search finds are the rows for which its conditions hold, in SQL's sense: NULL is found by none.
//! A value that cannot be computed restricts nothing; the condition that it comes from then says what it is worth.

use std::{cmp::Ordering, ops::Bound};

use deltaic_types::{Row, Value};

use crate::{
    index::{Index, Rows, Within},
    scalar::Scalar,
    zset::Weight,
};

/// A value that bounds a column, from the rows bound so far.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// The value.
    pub value: Scalar,
    /// Whether rows with this very value are found.
    pub inclusive: bool,
}

/// How rows are found by the column behind a probe's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Search {
    /// The column is within bounds, of which there is one at least. O(log n + found).
    Between {
        /// The column is above it.
        lower: Option<Limit>,
        /// The column is below it.
        upper: Option<Limit>,
    },
    /// The column is a text that the value begins with. O((1 + found + length) log n) at most.
    Prefixes(Scalar),
    /// The column is a text that begins with the value. O(log n + found).
    Extensions(Scalar),
    /// Both columns of a [`crate::Corner`] are beyond their bounds. O((1 + found) log n).
    Corner {
        /// The bound of the corner's first column.
        first: Limit,
        /// And of its second.
        second: Limit,
    },
}

/// The rows that a search finds.
pub(crate) enum Found<'a> {
    /// Those that the key alone finds.
    All,
    /// These.
    Rows(Vec<(&'a Row, Weight)>),
}

impl Limit {
    /// The bound, None where its value is NULL or not to be computed.
    fn ask(&self, tuple: &[Row]) -> Asked {
        match self.value.eval(tuple) {
            Ok(Value::Null) => Asked::Nothing,
            Ok(value) if self.inclusive => Asked::Bound(Bound::Included(value)),
            Ok(value) => Asked::Bound(Bound::Excluded(value)),
            Err(_) => Asked::Everything,
        }
    }
}

enum Asked {
    Nothing,
    Everything,
    Bound(Bound<Value>),
}

impl Search {
    /// The rows of an index that the key finds and the search too.
    pub(crate) fn find<'a>(&self, index: &'a Index, key: &[Value], tuple: &[Row]) -> Found<'a> {
        match self {
            Self::Between { lower, upper } => {
                let ask = |limit: &Option<Limit>| {
                    limit.as_ref().map_or(Asked::Everything, |limit| limit.ask(tuple))
                };
                let bound = |asked| match asked {
                    Asked::Bound(bound) => Some(bound),
                    Asked::Everything => Some(Bound::Unbounded),
                    Asked::Nothing => None,
                };
                match (bound(ask(lower)), bound(ask(upper))) {
                    (Some(Bound::Unbounded), Some(Bound::Unbounded)) => Found::All,
                    (Some(lower), Some(upper)) => {
                        Found::Rows(index.between(key, &Within { lower, upper }).collect())
                    }
                    _ => Found::Rows(Vec::new()),
                }
            }
            Self::Prefixes(text) | Self::Extensions(text) => match text.eval(tuple) {
                Ok(Value::Text(text)) if matches!(self, Self::Prefixes(_)) => {
                    Found::Rows(index.prefixes_of(key, text.as_str()))
                }
                Ok(Value::Text(text)) => Found::Rows(index.extensions_of(key, text.as_str()).collect()),
                Ok(_) => Found::Rows(Vec::new()),
                Err(_) => Found::All,
            },
            Self::Corner { first, second } => match (first.ask(tuple), second.ask(tuple)) {
                (Asked::Nothing, _) | (_, Asked::Nothing) => Found::Rows(Vec::new()),
                (Asked::Bound(first), Asked::Bound(second)) => Found::Rows(index.corner(&first, &second)),
                _ => Found::All,
            },
        }
    }
}

impl Index {
    /// The rows whose first key columns equal the values and whose next one is within bounds. A bound that is NULL
    /// finds nothing, and no bound finds NULL. O(log n + found).
    ///
    /// ```
    /// use std::ops::Bound;
    /// use deltaic_dataflow::{Within, Index, KeyColumn};
    /// use deltaic_types::{Row, Value};
    /// let row = |n| (Row::from_iter([Value::Integer(n)]), 1);
    /// let index = Index::of([KeyColumn::ascending(0)], [row(1), row(2), row(3)]);
    /// let above = Within { lower: Bound::Excluded(Value::Integer(1)), upper: Bound::Unbounded };
    /// assert_eq!(index.between(&[], &above).count(), 2);
    /// ```
    pub fn between<'a, 'b>(
        &'a self,
        values: &'b [Value],
        bounds: &'b Within,
    ) -> impl Iterator<Item = (&'a Row, Weight)> + use<'a, 'b> {
        let column = self.key()[values.len()];
        let (near, far) =
            if column.descending { (&bounds.upper, &bounds.lower) } else { (&bounds.lower, &bounds.upper) };
        let before = move |row: &Row| match (&row[column.column], near) {
            // NULLs at the front are passed over; those at the end are never a start.
            (Value::Null, _) => column.nulls_first,
            (_, Bound::Unbounded) => false,
            (value, Bound::Included(near)) => column.compare(value, near).is_lt(),
            (value, Bound::Excluded(near)) => column.compare(value, near).is_le(),
        };
        let within = move |row: &Row| match (&row[column.column], far) {
            (Value::Null, _) => false,
            (_, Bound::Unbounded) => true,
            (value, Bound::Included(far)) => column.compare(value, far).is_le(),
            (value, Bound::Excluded(far)) => column.compare(value, far).is_lt(),
        };
        let is_null = |bound: &Bound<Value>| {
            matches!(bound, Bound::Included(Value::Null) | Bound::Excluded(Value::Null))
        };
        let nothing = is_null(&bounds.lower) || is_null(&bounds.upper);
        let rows = self.rows_from(values, before);
        rows.take_while(move |(row, _)| !nothing && self.has_prefix(row, values) && within(row))
    }

    /// The rows whose first key columns equal the values and whose next one is a text that `text` begins with.
    ///
    /// A row that is no prefix says where the next one may be, so the tree is asked once for each that is found and at
    /// most once for each character: O((1 + found + length) log n).
    pub fn prefixes_of(&self, values: &[Value], text: &str) -> Vec<(&Row, Weight)> {
        let column = self.key()[values.len()];
        assert!(!column.descending, "prefixes are looked for in ascending order");
        let mut found = Vec::new();
        let mut length = 0;
        loop {
            let wanted = Value::from(&text[..length]);
            let before = |row: &Row| match &row[column.column] {
                Value::Null => column.nulls_first,
                value => *value < wanted,
            };
            let mut rows = self.rows_from(values, before).peekable();
            let Some(next) = rows
                .peek()
                .and_then(|(row, _)| row[column.column].as_str().filter(|_| self.has_prefix(row, values)))
            else {
                return found;
            };
            let common = next.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
            if common == next.len() {
                let same =
                    |row: &Row| self.has_prefix(row, values) && row[column.column].as_str() == Some(next);
                found.extend(rows.take_while(|(row, _)| same(row)));
            } else if next > text {
                return found;
            }
            // Shorter prefixes than this are not greater than what was found there.
            let Some(longer) = (common + 1..=text.len()).find(|end| text.is_char_boundary(*end)) else {
                return found;
            };
            length = longer;
        }
    }

    /// The rows whose first key columns equal the values and whose next one is a text that begins with `text`.
    pub fn extensions_of<'a, 'b>(
        &'a self,
        values: &'b [Value],
        text: &'b str,
    ) -> impl Iterator<Item = (&'a Row, Weight)> + use<'a, 'b> {
        let column = self.key()[values.len()];
        assert!(!column.descending, "extensions are looked for in ascending order");
        let before = move |row: &Row| match &row[column.column] {
            Value::Null => column.nulls_first,
            value => value.as_str().is_some_and(|value| value < text),
        };
        let begins =
            move |row: &Row| row[column.column].as_str().is_some_and(|value| value.starts_with(text));
        self.rows_from(values, before).take_while(move |(row, _)| self.has_prefix(row, values) && begins(row))
    }

    /// The rows from the first whose key columns are not less than the values, past those that `before` names.
    fn rows_from(&self, values: &[Value], before: impl Fn(&Row) -> bool) -> Rows<'_> {
        self.from(|row| {
            self.compare_prefix(row, values)
                .then_with(|| if before(row) { Ordering::Less } else { Ordering::Equal })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::KeyColumn;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => (0_i64..6).prop_map(Value::Integer),
            1 => Just(Value::Null),
            1 => Just(Value::double(f64::NAN)),
            1 => Just(Value::double(2.5)),
        ]
    }

    fn bound() -> impl Strategy<Value = Bound<Value>> {
        prop_oneof![
            3 => value().prop_map(Bound::Included),
            3 => value().prop_map(Bound::Excluded),
            2 => Just(Bound::Unbounded),
        ]
    }

    fn text() -> impl Strategy<Value = Value> {
        prop_oneof![
            5 => "[abé]{0,4}".prop_map(Value::from),
            1 => Just(Value::Null),
        ]
    }

    /// What SQL's comparisons say of a value.
    fn satisfies(value: &Value, bounds: &Within) -> bool {
        let lower = match &bounds.lower {
            Bound::Included(lower) => !lower.is_null() && value >= lower,
            Bound::Excluded(lower) => !lower.is_null() && value > lower,
            Bound::Unbounded => true,
        };
        let upper = match &bounds.upper {
            Bound::Included(upper) => !upper.is_null() && value <= upper,
            Bound::Excluded(upper) => !upper.is_null() && value < upper,
            Bound::Unbounded => true,
        };
        !value.is_null() && lower && upper
    }

    fn rows(pairs: &[(Value, Value)]) -> Vec<(Row, Weight)> {
        pairs.iter().map(|(a, b)| (Row::from_iter([a.clone(), b.clone()]), 1)).collect()
    }

    fn sorted<'a>(found: impl IntoIterator<Item = (&'a Row, Weight)>) -> Vec<Row> {
        let mut found: Vec<Row> = found.into_iter().map(|(row, _)| row.clone()).collect();
        found.sort();
        found
    }

    proptest! {
        #[test]
        fn bounds_find_what_a_scan_finds(
            pairs in proptest::collection::btree_set((value(), value()), 0..120),
            (lower, upper) in (bound(), bound()),
            head in value(),
            flags in any::<(bool, bool, bool)>(),
        ) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            let column = KeyColumn { column: 1, descending: flags.0, nulls_first: flags.1 };
            let bounds = Within { lower, upper };
            let (key, values) = if flags.2 { (vec![KeyColumn::ascending(0), column], vec![head.clone()]) } else { (vec![column], Vec::new()) };
            let index = Index::of(key, rows(&pairs));
            let expected = rows(&pairs).into_iter().map(|(row, _)| row).filter(|row| {
                (values.is_empty() || row[0] == head) && satisfies(&row[1], &bounds)
            });
            let mut expected: Vec<Row> = expected.collect();
            expected.sort();
            prop_assert_eq!(sorted(index.between(&values, &bounds)), expected);
        }

        #[test]
        fn prefixes_and_extensions_are_those_of_a_scan(
            pairs in proptest::collection::btree_set((value(), text()), 0..120),
            asked in "[abéc]{0,6}",
            head in value(),
            flags in any::<(bool, bool)>(),
        ) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            let column = KeyColumn { column: 1, descending: false, nulls_first: flags.0 };
            let (key, values) = if flags.1 { (vec![KeyColumn::ascending(0), column], vec![head.clone()]) } else { (vec![column], Vec::new()) };
            let index = Index::of(key, rows(&pairs));
            let scan = |test: &dyn Fn(&str) -> bool| {
                let rows = rows(&pairs).into_iter().map(|(row, _)| row);
                let mut rows: Vec<Row> = rows
                    .filter(|row| values.is_empty() || row[0] == head)
                    .filter(|row| row[1].as_str().is_some_and(test))
                    .collect();
                rows.sort();
                rows
            };
            prop_assert_eq!(sorted(index.prefixes_of(&values, &asked)), scan(&|text| asked.starts_with(text)));
            prop_assert_eq!(sorted(index.extensions_of(&values, &asked)), scan(&|text| text.starts_with(&asked)));
        }
    }
}
