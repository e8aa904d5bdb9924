//! [`Aggregate`]: one row a group, changed by exactly the groups that a change touches.
//!
//! DBSP's aggregation: `A(z) = Σ_g {(g, a(z_g)): 1}`, which is not linear, so its incremental form looks at the
//! groups that a change touches before and after: `dA = Σ_{g touched} A(z'_g) - A(z_g)`.
//!
//! State: for each group the weight of its rows and an accumulator a function. A step applies the rows of a
//! group together and compares the group's row before and after once, so a group that is emptied and filled
//! in one step does not flicker. Invariant: the weight of a group is never negative; a group without rows
//! exists only where the second input demands it.

use deltaic_types::{EvalError, Row};
use rustc_hash::FxHashMap;

use crate::{
    accumulator::{AggregateFunction, Argument, Brought},
    cow_tree::CowTree,
    index::KeyColumn,
    operator::NodeId,
    scalar::Scalar,
    zset::{Batch, ErrorRow, Weight, ZSet},
};

/// Groups of the input's rows; the output's columns are the key, then the calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregate {
    /// The input.
    pub input: NodeId,
    /// Keys of groups that exist even without rows: the parameters of a query without GROUP BY, which shows
    /// a row for each of its subscribers.
    pub groups: Option<NodeId>,
    /// What is equal within a group, the template's parameters first.
    pub key: Vec<Scalar>,
    /// How many of the key's first columns are parameters.
    pub prefix: usize,
    /// What is computed of each group.
    pub calls: Vec<AggregateCall>,
}

/// An aggregate function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateCall {
    /// The function.
    pub function: AggregateFunction,
    /// What it takes of a row, which may be nothing where rows are counted. Behind the arguments stand values
    /// that only the order uses.
    pub arguments: Vec<Scalar>,
    /// The order in which a collection takes its rows: places among the arguments.
    pub order: Vec<KeyColumn>,
    /// An argument that is not of the rows, over the group's key: the fraction of a percentile.
    pub direct: Option<Scalar>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// Only rows for which this holds count.
    pub filter: Option<Scalar>,
}

#[derive(Debug, Clone)]
struct Group {
    key: Row,
    /// The weight of the group's rows.
    weight: Weight,
    /// How often the group is demanded.
    demanded: Weight,
    arguments: Vec<Argument>,
    /// The row that was given out, or the error in its place.
    given: Option<Result<Row, EvalError>>,
}

/// The groups, by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups(CowTree<Group>);

/// A change of one group: a row's arguments, or a demand.
enum Change {
    Row { values: Vec<Brought>, weight: Weight },
    Demand(Weight),
}

impl Groups {
    /// The change of the output for the changes of the rows and of the demanded groups.
    pub(crate) fn step(&mut self, spec: &Aggregate, rows: Option<&Batch>, demands: Option<&Batch>) -> Batch {
        let mut output = Batch::default();
        let mut places: FxHashMap<Row, usize> = FxHashMap::default();
        let mut touched: Vec<(Row, Vec<Change>)> = Vec::new();
        let mut touch = |key: Row, change: Change| {
            let place = *places.entry(key.clone()).or_insert_with(|| {
                touched.push((key, Vec::new()));
                touched.len() - 1
            });
            touched[place].1.push(change);
        };
        for batch in [rows, demands].into_iter().flatten() {
            output.errors.extend(batch.errors.iter().cloned());
        }
        for (row, weight) in rows.into_iter().flat_map(|batch| batch.rows.iter()) {
            match evaluate(spec, row) {
                Ok((key, values)) => touch(key, Change::Row { values, weight }),
                Err(error) => output.errors.push((error, weight)),
            }
        }
        for (key, weight) in demands.into_iter().flat_map(|batch| batch.rows.iter()) {
            touch(key.clone(), Change::Demand(weight));
        }
        touched.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, changes) in touched {
            self.apply(spec, &key, &changes, &mut output);
        }
        output
    }

    fn apply(&mut self, spec: &Aggregate, key: &Row, changes: &[Change], output: &mut Batch) {
        let output = std::cell::RefCell::new(output);
        self.0.update(
            |group| group.key.cmp(key),
            |group| group.apply(spec, changes, *output.borrow_mut()),
            || {
                let mut group = Group::new(spec, key.clone());
                group.apply(spec, changes, *output.borrow_mut()).then_some(group)
            },
        );
    }

    /// All rows that are given out.
    pub(crate) fn rows(&self) -> ZSet {
        self.0
            .iter()
            .filter_map(|group| group.given.as_ref()?.as_ref().ok())
            .map(|row| (row.clone(), 1))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0
            .iter()
            .map(|group| {
                size_of::<Group>()
                    + group.key.heap_bytes()
                    + group.arguments.iter().map(Argument::heap_bytes).sum::<usize>()
            })
            .sum()
    }
}

impl Group {
    fn new(spec: &Aggregate, key: Row) -> Self {
        let arguments = spec.calls.iter().map(Argument::new).collect();
        Self { key, weight: 0, demanded: 0, arguments, given: None }
    }

    /// Applies changes, emits the difference of the group's row, and says whether the group is still there.
    fn apply(&mut self, spec: &Aggregate, changes: &[Change], output: &mut Batch) -> bool {
        for change in changes {
            match change {
                Change::Demand(weight) => self.demanded += weight,
                Change::Row { values, weight } => {
                    self.weight += weight;
                    for (argument, value) in self.arguments.iter_mut().zip(values) {
                        argument.add(value, *weight);
                    }
                }
            }
        }
        assert!(self.weight >= 0 && self.demanded >= 0, "the weight of a group is never negative");
        let exists = self.weight > 0 || self.demanded > 0;
        let now = exists.then(|| self.row(spec));
        if now != self.given {
            if let Some(before) = self.given.take() {
                output.push(self.result(spec, before), -1);
            }
            if let Some(now) = &now {
                output.push(self.result(spec, now.clone()), 1);
            }
            self.given = now;
        }
        exists
    }

    fn row(&self, spec: &Aggregate) -> Result<Row, EvalError> {
        let mut values = self.key.to_vec();
        for (argument, call) in self.arguments.iter().zip(&spec.calls) {
            values.push(argument.value(call, &self.key)?);
        }
        Ok(Row::from(values))
    }

    fn result(&self, spec: &Aggregate, row: Result<Row, EvalError>) -> Result<Row, ErrorRow> {
        row.map_err(|error| ErrorRow { key: self.key[..spec.prefix].iter().cloned().collect(), error })
    }
}

/// The key of a row's group and what the row brings to each call.
fn evaluate(spec: &Aggregate, row: &Row) -> Result<(Row, Vec<Brought>), ErrorRow> {
    let tuple = std::slice::from_ref(row);
    let evaluated = (|| {
        let mut values = Vec::with_capacity(spec.calls.len());
        let key = crate::map::project(&spec.key, tuple)?;
        for call in &spec.calls {
            values.push(call.brought(tuple)?);
        }
        Ok((key, values))
    })();
    evaluated.map_err(|error| {
        let key =
            crate::map::project(&spec.key[..spec.prefix], tuple).expect("invariant: parameters are columns");
        ErrorRow { key, error }
    })
}
