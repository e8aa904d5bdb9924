//! [`Unnest`]: each row once for every different value of a list that it holds, the value behind its columns.
//!
//! `k IN (a, b)` over a template's parameters is so a join by equality. Linear, without state: `Q^Δ(dz) = Q(dz)`.
//! Invariant: NULL equals nothing and is left out, and a value that stands twice in a list comes once.

use deltaic_types::Value;

use crate::{operator::NodeId, scalar::Scalar, zset::Batch};

/// Rows with the values of their lists. The output's columns are the input's, then the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unnest {
    /// The input.
    pub input: NodeId,
    /// How many columns the input has.
    pub width: usize,
    /// What the list is made of, over rows of the input. None of them fails.
    pub values: Vec<Scalar>,
    /// Whether each is an array of values, of which NULL is an empty one.
    pub arrays: bool,
}

impl Unnest {
    pub(crate) fn apply(&self, batch: &Batch) -> Batch {
        let mut output = Batch { errors: batch.errors.clone(), ..Batch::default() };
        for (row, weight) in batch.rows.iter() {
            let mut values: Vec<Value> = Vec::new();
            for scalar in &self.values {
                match scalar.eval(std::slice::from_ref(row)) {
                    Ok(Value::Array(items)) if self.arrays => values.extend(items.iter().cloned()),
                    Ok(value) => values.push(value),
                    Err(_) => unreachable!("invariant: a list's values do not fail"),
                }
            }
            values.retain(|value| !value.is_null());
            values.sort_unstable();
            values.dedup();
            for value in values {
                output.rows.push(row.iter().cloned().chain([value]).collect(), weight);
            }
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use deltaic_types::Row;

    use super::*;
    use crate::zset::ZSet;

    #[test]
    fn each_value_comes_once_and_null_never() {
        let array = |items: &[i64]| {
            Value::array(items.iter().copied().map(Value::Integer).chain([Value::Null]).collect())
        };
        let rows = [array(&[3, 1, 3]), Value::Null, array(&[])].map(|list| (Row::from_iter([list]), 1));
        let unnest =
            |arrays| Unnest { input: NodeId(0), width: 1, values: vec![Scalar::column(0, 0)], arrays };
        let batch = Batch::of(ZSet::from_iter(rows));
        let output = unnest(true).apply(&batch);
        let values: Vec<i64> = output.rows.iter().filter_map(|(row, _)| row[1].as_i64()).collect();
        assert_eq!(values, [1, 3]);
        assert_eq!(unnest(false).apply(&batch).rows.len(), 2);
    }
}
