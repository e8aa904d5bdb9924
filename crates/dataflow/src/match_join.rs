//! [`MatchJoin`]: joins of two inputs that ask of each left row which right rows match it: outer joins,
//! semijoins, antijoins, marks, and joins with at most one partner. It keeps no state of its own.
//!
//! Incremental form: the changed left rows meet the new right side, and each old left row that a changed right
//! row may concern is looked at before and after: `Q^Δ = Q(dL, R') + (Q(L, R') - Q(L, R))`, where the difference
//! is taken over those left rows alone. Invariant: what a left row gives is a function of the row and of the
//! multiset of its matches, so a match that is replaced in one step does not flicker.

use deltaic_types::{EvalError, Row, Value};

use crate::{
    graph::{Integrals, Side},
    index::KeyColumn,
    join::{JoinInput, error_row},
    map::{check, project},
    operator::NodeId,
    scalar::Scalar,
    zset::{Batch, Weight},
};

/// What a left row gives, by the right rows that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchKind {
    /// `L ⋈ R`: a pair for each match.
    Inner,
    /// `L ⟕ R`: a pair for each match, or one with a row of NULLs.
    Left,
    /// `L ⋉ R`: itself once, if there is a match.
    Semi,
    /// `L ▷ R`: itself once, if there is none.
    Anti,
    /// Itself, paired with a row of one boolean: whether there is a match.
    Mark,
    /// The pair with its only match, or with a row of NULLs; more than one match is an error in the row's place.
    Single,
}

/// A join of two inputs by a key and conditions. A tuple is a left row and a right row, or what stands in its
/// place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchJoin {
    /// What a left row gives.
    pub kind: MatchKind,
    /// The side whose rows decide; an input or an arrangement by its key.
    pub left: JoinInput,
    /// The side that matches or does not; an input or an arrangement by its key.
    pub right: JoinInput,
    /// The left columns that equal the right ones; both empty for a join on other conditions alone.
    pub left_key: Vec<KeyColumn>,
    /// The right columns.
    pub right_key: Vec<KeyColumn>,
    /// For how many of the first key columns NULL equals NULL (a template's parameters, values of outer columns).
    pub exact: usize,
    /// The other conditions. A pair that cannot be judged is no match, and its error is part of the output,
    /// except where a match has already decided.
    pub conditions: Vec<Scalar>,
    /// How many columns the right side has.
    pub right_width: usize,
    /// The output's columns; of a semijoin and an antijoin, over the left row alone.
    pub project: Vec<Scalar>,
    /// The template's parameters in the tuple.
    pub prefix: Vec<Scalar>,
}

/// What a left row gives where it gives one thing at most.
type Outcome = Option<Result<Row, EvalError>>;

impl MatchJoin {
    /// The change of the output for the changes of the inputs.
    pub(crate) fn step<'a>(
        &self,
        delta: impl Fn(NodeId) -> Option<&'a Batch>,
        integrals: &Integrals<'_>,
    ) -> Batch {
        let mut output = Batch::default();
        if let Some(change) = delta(self.left.source) {
            self.left_term(change, integrals, &mut output);
        }
        if let Some(change) = delta(self.right.source) {
            self.right_term(change, integrals, &mut output);
        }
        output
    }

    fn gives_pairs(&self) -> bool {
        matches!(self.kind, MatchKind::Inner | MatchKind::Left)
    }

    /// Changed left rows against the new right side.
    pub(crate) fn left_term(&self, change: &Batch, integrals: &Integrals<'_>, output: &mut Batch) {
        output.errors.extend(change.errors.iter().cloned());
        for (row, weight) in change.rows.iter() {
            if !self.left.admits(row) {
                continue;
            }
            let key = values_of(&self.left_key, self.exact, row);
            if self.gives_pairs() {
                self.pairs(row, key.as_deref(), weight, integrals, output);
            } else {
                let outcome = self.outcome(row, key.as_deref(), integrals, Side::After);
                self.emit(row, outcome, weight, output);
            }
        }
    }

    /// All pairs of a left row with the new right side.
    fn pairs(
        &self,
        left: &Row,
        key: Option<&[Value]>,
        weight: Weight,
        integrals: &Integrals<'_>,
        output: &mut Batch,
    ) {
        let mut tuple = [left.clone(), Row::empty()];
        let mut matched = false;
        if let Some(key) = key {
            integrals.count_probe();
            let index = integrals.index(self.right.source, &self.right_key, Side::After);
            for (right, right_weight) in index.probe(key) {
                if !integrals.spend() {
                    return;
                }
                if self.right.admits(right) {
                    tuple[1] = right.clone();
                    matched |= self.pair(&tuple, weight * right_weight, output);
                }
            }
        }
        if !matched {
            self.alone(left, weight, output);
        }
    }

    /// Old left rows against the changed right rows.
    fn right_term(&self, change: &Batch, integrals: &Integrals<'_>, output: &mut Batch) {
        output.errors.extend(change.errors.iter().cloned());
        let mut by_key: Vec<(Vec<Value>, &Row, Weight)> = change
            .rows
            .iter()
            .filter(|(row, _)| self.right.admits(row))
            .filter_map(|(row, weight)| Some((values_of(&self.right_key, self.exact, row)?, row, weight)))
            .collect();
        by_key.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        for group in by_key.chunk_by(|a, b| a.0 == b.0) {
            let key = &group[0].0;
            integrals.count_probe();
            let lefts = integrals.index(self.left.source, &self.left_key, Side::Before);
            for (left, left_weight) in lefts.probe(key) {
                if !integrals.spend() {
                    return;
                }
                if !self.left.admits(left) {
                    continue;
                }
                if self.gives_pairs() {
                    self.changed_pairs(left, left_weight, group, integrals, output);
                    continue;
                }
                let before = self.outcome(left, Some(key), integrals, Side::Before);
                let after = self.outcome(left, Some(key), integrals, Side::After);
                if before != after {
                    self.emit(left, before, -left_weight, output);
                    self.emit(left, after, left_weight, output);
                }
            }
        }
    }

    /// The changed pairs of an old left row; where they are the first match to come or the last to go, the row of
    /// NULLs goes or comes.
    fn changed_pairs(
        &self,
        left: &Row,
        left_weight: Weight,
        group: &[(Vec<Value>, &Row, Weight)],
        integrals: &Integrals<'_>,
        output: &mut Batch,
    ) {
        let mut tuple = [left.clone(), Row::empty()];
        let mut touched = false;
        for (_, right, weight) in group {
            tuple[1] = (*right).clone();
            touched |= self.pair(&tuple, left_weight * weight, output);
        }
        if touched && self.kind == MatchKind::Left {
            let key = &group[0].0;
            let before = self.has_match(&mut tuple, key, integrals, Side::Before);
            let after = self.has_match(&mut tuple, key, integrals, Side::After);
            match (before, after) {
                (false, true) => self.alone(left, -left_weight, output),
                (true, false) => self.alone(left, left_weight, output),
                _ => {}
            }
        }
    }

    /// Emits a pair if it satisfies the conditions, and says whether it does.
    fn pair(&self, tuple: &[Row], weight: Weight, output: &mut Batch) -> bool {
        let result = match check(&self.conditions, tuple) {
            Ok(false) => return false,
            Ok(true) => project(&self.project, tuple).map_err(|error| (error, true)),
            Err(error) => Err((error, false)),
        };
        let matched = !matches!(result, Err((_, false)));
        output.push(result.map_err(|(error, _)| error_row(&self.prefix, tuple, error)), weight);
        matched
    }

    fn alone(&self, left: &Row, weight: Weight, output: &mut Batch) {
        if self.kind == MatchKind::Left {
            let outcome = project(&self.project, &[left.clone(), self.nulls()]);
            self.emit(left, Some(outcome), weight, output);
        }
    }

    fn nulls(&self) -> Row {
        Row::from(vec![Value::Null; self.right_width])
    }

    fn has_match(&self, tuple: &mut [Row; 2], key: &[Value], integrals: &Integrals<'_>, side: Side) -> bool {
        integrals.count_probe();
        integrals.index(self.right.source, &self.right_key, side).probe(key).any(|(right, _)| {
            tuple[1] = right.clone();
            self.right.admits(right) && check(&self.conditions, tuple) == Ok(true)
        })
    }

    /// What a left row gives on a side, where that is one thing at most.
    fn outcome(&self, left: &Row, key: Option<&[Value]>, integrals: &Integrals<'_>, side: Side) -> Outcome {
        let mut tuple = [left.clone(), Row::empty()];
        let mut matches: Weight = 0;
        let mut partner = None;
        let mut failure = None;
        // One match decides, but for who asks whether there is a second.
        let enough = if self.kind == MatchKind::Single { 2 } else { 1 };
        if let Some(key) = key {
            integrals.count_probe();
            for (right, weight) in integrals.index(self.right.source, &self.right_key, side).probe(key) {
                if !integrals.spend() {
                    return None;
                }
                if !self.right.admits(right) {
                    continue;
                }
                tuple[1] = right.clone();
                match check(&self.conditions, &tuple) {
                    Ok(true) => {
                        partner.get_or_insert_with(|| right.clone());
                        matches += weight;
                    }
                    Ok(false) => {}
                    Err(error) => failure = failure.or(Some(error)),
                }
                if matches >= enough {
                    break;
                }
            }
        }
        let failed = failure.filter(|_| matches < enough);
        if let Some(error) = failed {
            return Some(Err(error));
        }
        let beside = match self.kind {
            MatchKind::Semi if matches == 0 => return None,
            MatchKind::Anti if matches > 0 => return None,
            MatchKind::Single if matches > 1 => return Some(Err(EvalError::ManyRows)),
            MatchKind::Mark => Row::from_iter([Value::Boolean(matches > 0)]),
            MatchKind::Single => partner.unwrap_or_else(|| self.nulls()),
            _ => Row::empty(),
        };
        tuple[1] = beside;
        Some(project(&self.project, &tuple))
    }

    fn emit(&self, left: &Row, outcome: Outcome, weight: Weight, output: &mut Batch) {
        let Some(result) = outcome else { return };
        // Parameters are columns of the left side.
        let tuple = [left.clone(), Row::empty()];
        output.push(result.map_err(|error| error_row(&self.prefix, &tuple, error)), weight);
    }
}

fn values_of(key: &[KeyColumn], exact: usize, row: &Row) -> Option<Vec<Value>> {
    key.iter()
        .enumerate()
        .map(|(place, column)| {
            Some(&row[column.column]).filter(|value| place < exact || !value.is_null()).cloned()
        })
        .collect()
}
