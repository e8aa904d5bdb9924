//! [`Map`]: filter and projection, lifted: `Q(z) = { f(r): z[r] | p(r) }`.
//!
//! Linear, so its incremental form is itself: `Q^Δ(dz) = Q(dz)`. Invariant: a row that any condition of the
//! filter refuses is gone, whatever the other conditions say, even that they fail; only a row that no
//! condition refuses and some condition cannot judge becomes an error. So the order of conditions never
//! decides a result.

use deltaic_types::{EvalError, Row, Value};

use crate::{
    budget::Budget,
    operator::NodeId,
    scalar::Scalar,
    zset::{Batch, ErrorRow, Weight},
};

/// A filter and a projection of one input; tuples are single rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Map {
    /// The input.
    pub input: NodeId,
    /// The conditions, all of which must be TRUE.
    pub filter: Vec<Scalar>,
    /// The output's columns; None leaves the row as it is.
    pub project: Option<Vec<Scalar>>,
    /// How many of the input's first columns are the template's parameters.
    pub prefix: usize,
}

impl Map {
    pub(crate) fn apply(&self, batch: &Batch, budget: &Budget) -> Batch {
        self.apply_to(batch.rows.iter(), batch.errors.clone(), budget)
    }

    /// The same for rows that are lent from where they are, and the errors beside them.
    pub(crate) fn apply_to<'a>(
        &self,
        rows: impl Iterator<Item = (&'a Row, Weight)>,
        errors: Vec<(ErrorRow, Weight)>,
        budget: &Budget,
    ) -> Batch {
        let mut output = Batch { errors, ..Batch::default() };
        for (row, weight) in rows {
            let tuple = std::slice::from_ref(row);
            let result = match check(&self.filter, tuple) {
                Ok(true) => {
                    self.project.as_ref().map_or_else(|| Ok(row.clone()), |scalars| project(scalars, tuple))
                }
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            if self.project.is_some() && result.as_ref().is_ok_and(|row| !budget.make(row)) {
                break;
            }
            let key = || row[..self.prefix].iter().cloned().collect();
            output.push(result.map_err(|error| ErrorRow { key: key(), error }), weight);
        }
        output
    }
}

/// Whether a tuple satisfies all conditions; refused by any condition is refused, failed or not by others.
pub(crate) fn check(conditions: &[Scalar], tuple: &[Row]) -> Result<bool, EvalError> {
    let mut failure = None;
    for condition in conditions {
        match condition.holds(tuple) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(true), Err)
}

/// The row of the scalars' values.
pub(crate) fn project(scalars: &[Scalar], tuple: &[Row]) -> Result<Row, EvalError> {
    // Evaluated into the row where it will stay; a row in which one failed is thrown away.
    let mut failure = None;
    let row = Row::collect(scalars.iter().map(|scalar| match &failure {
        None => scalar.eval(tuple).unwrap_or_else(|error| {
            failure = Some(error);
            Value::Null
        }),
        Some(_) => Value::Null,
    }));
    failure.map_or(Ok(row), Err)
}
