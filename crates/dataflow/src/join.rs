//! [`Join`]: the inner join of any number of inputs. It keeps no state: it probes the integrals of its inputs.
//!
//! The inner join of n inputs is multilinear; its incremental form has a term for each occurrence,
//! `Σ_i  new(1..i-1) ⋈ d_i ⋈ old(i+1..n)`, so a self-join, or several inputs changed at once, needs no
//! special case. Old and new are snapshots of the same index.
//!
//! Invariant: what a term yields does not depend on the path along which it binds its inputs. Therefore a
//! tuple that any condition refuses is gone, and an error counts only for a complete tuple.

use deltaic_types::{EvalError, Row, Value};

use crate::{
    graph::{Integrals, Side},
    index::KeyColumn,
    map::project,
    operator::NodeId,
    scalar::Scalar,
    search::{Found, Search},
    zset::{Batch, ErrorRow, Weight},
};

/// One occurrence of an input in a join.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinInput {
    /// The node whose changes are the input's.
    pub source: NodeId,
    /// Conditions on the row alone (as a tuple of one), which never fail.
    pub filter: Vec<Scalar>,
}

impl JoinInput {
    pub(crate) fn admits(&self, row: &Row) -> bool {
        let tuple = std::slice::from_ref(row);
        self.filter.iter().all(|condition| condition.holds(tuple) == Ok(true))
    }
}

/// The inner join of its inputs. A tuple holds one row of each input, in the inputs' order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Join {
    /// The inputs: two or more.
    pub inputs: Vec<JoinInput>,
    /// For each input, how the others are found from a row of it.
    pub paths: Vec<Path>,
    /// The conditions on the whole tuple; each path says when it checks which.
    pub conditions: Vec<Scalar>,
    /// The output's columns.
    pub project: Vec<Scalar>,
    /// The template's parameters in the tuple.
    pub prefix: Vec<Scalar>,
}

/// A way through all inputs of a join from one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The conditions that the first row alone decides.
    pub conditions: Vec<usize>,
    /// The other inputs, in the order in which they are bound.
    pub probes: Vec<Probe>,
}

/// A step of a path: an input is bound to the rows that an index finds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// The input.
    pub input: usize,
    /// The node that holds the input's integral: an input, or an arrangement by the probed columns.
    pub integral: NodeId,
    /// The columns that are probed; empty for all rows.
    pub index: Vec<KeyColumn>,
    /// Their values, from the rows bound so far. They never fail.
    pub key: Vec<Scalar>,
    /// For how many of the first key columns NULL finds NULL (a template's parameters); in the others, as in
    /// SQL's `=`, it finds nothing.
    pub exact: usize,
    /// How rows are found by the column of the index behind the key, or by the corner that the integral is.
    pub search: Option<Search>,
    /// The conditions that can be decided from here on.
    pub conditions: Vec<usize>,
}

/// The rows bound on the way through a path.
struct Walk<'a> {
    join: &'a Join,
    start: usize,
    integrals: &'a Integrals<'a>,
    tuple: Vec<Row>,
    /// Whether the next probe is the first of its term: a pass over one input is not what a budget guards against.
    first: bool,
    output: &'a mut Batch,
}

impl Join {
    /// The change of the output for the changes of the inputs.
    pub(crate) fn step<'a>(
        &self,
        delta: impl Fn(NodeId) -> Option<&'a Batch>,
        integrals: &Integrals<'_>,
    ) -> Batch {
        let mut output = Batch::default();
        for (start, input) in self.inputs.iter().enumerate() {
            if let Some(change) = delta(input.source) {
                self.term(start, change, integrals, &mut output);
            }
        }
        output
    }

    /// One term: the change of the input at `start`, joined with the integrals of the others.
    pub(crate) fn term(&self, start: usize, change: &Batch, integrals: &Integrals<'_>, output: &mut Batch) {
        output.errors.extend(change.errors.iter().cloned());
        let nothing = Row::empty();
        let tuple = vec![nothing; self.inputs.len()];
        let mut walk = Walk { join: self, start, integrals, tuple, first: true, output };
        for (row, weight) in change.rows.iter() {
            if self.inputs[start].admits(row) {
                walk.tuple[start] = row.clone();
                walk.bound(0, &self.paths[start].conditions, weight, None);
            }
        }
    }
}

impl Walk<'_> {
    /// Goes on after an input was bound: checks what can be checked, then binds the next.
    fn bound(
        &mut self,
        depth: usize,
        conditions: &[usize],
        weight: Weight,
        failure: Option<&(usize, EvalError)>,
    ) {
        let mut failure = failure.cloned();
        for &place in conditions {
            match self.join.conditions[place].holds(&self.tuple) {
                Ok(true) => {}
                Ok(false) => return,
                // Among several failures the first in the conditions' order speaks, on any path.
                Err(error) => match &failure {
                    Some((first, _)) if *first < place => {}
                    _ => failure = Some((place, error)),
                },
            }
        }
        let Some(probe) = self.join.paths[self.start].probes.get(depth) else {
            let result = match failure {
                Some((_, error)) => Err(error),
                None => project(&self.join.project, &self.tuple),
            };
            self.emit(result, weight);
            return;
        };
        let Some(key) = key_of(&probe.key, probe.exact, &self.tuple) else { return };
        let side = if probe.input < self.start { Side::After } else { Side::Before };
        let index = self.integrals.index(probe.integral, &probe.index, side);
        self.integrals.count_probe();
        let found = probe.search.as_ref().map_or(Found::All, |search| search.find(index, &key, &self.tuple));
        match found {
            Found::All => self.visit(depth, index.probe(&key), weight, failure.as_ref()),
            Found::Rows(rows) => self.visit(depth, rows, weight, failure.as_ref()),
        }
    }

    /// Binds the input of a probe to each of the rows that it found.
    fn visit<'r>(
        &mut self,
        depth: usize,
        rows: impl IntoIterator<Item = (&'r Row, Weight)>,
        weight: Weight,
        failure: Option<&(usize, EvalError)>,
    ) {
        let join = self.join;
        let probe = &join.paths[self.start].probes[depth];
        let input = &join.inputs[probe.input];
        let free = std::mem::replace(&mut self.first, false);
        let mut visited = 0;
        for (row, row_weight) in rows {
            visited += 1;
            if !free && !self.integrals.spend() {
                return;
            }
            if input.admits(row) {
                self.tuple[probe.input] = row.clone();
                self.bound(depth + 1, &probe.conditions, weight * row_weight, failure);
            }
        }
        self.integrals.count_visits(visited);
    }

    fn emit(&mut self, result: Result<Row, EvalError>, weight: Weight) {
        if result.as_ref().is_ok_and(|row| !self.integrals.make(row)) {
            return;
        }
        let result = result.map_err(|error| error_row(&self.join.prefix, &self.tuple, error));
        self.output.push(result, weight);
    }
}

pub(crate) fn error_row(prefix: &[Scalar], tuple: &[Row], error: EvalError) -> ErrorRow {
    let key = project(prefix, tuple).expect("invariant: parameters are columns");
    ErrorRow { key, error }
}

/// The values to probe with; None where one is NULL, which equals nothing.
fn key_of(key: &[Scalar], exact: usize, tuple: &[Row]) -> Option<Vec<Value>> {
    let mut values = Vec::with_capacity(key.len());
    for (place, scalar) in key.iter().enumerate() {
        match scalar.eval(tuple) {
            Ok(value) if place < exact || !value.is_null() => values.push(value),
            _ => return None,
        }
    }
    Some(values)
}
