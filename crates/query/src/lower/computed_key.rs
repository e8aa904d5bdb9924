//! Joins of rows whose computed values are equal: `b.id = a.id + 1`, `lower(a.name) = lower(b.name)`.
//!
//! The values become a column of an arrangement, so that a row finds its partners and does not ask all rows of the other side. Invariant: the
//! result is that of asking every pair, errors included. A value that cannot be computed is an error only where a pair is
//! looked at, so rows without one stand apart: those on the left ask all rows of the right side, and those on the right,
//! which can have no partner, are asked by all rows of the left side for their error.

use deltaic_dataflow::{Map, Operator, Scalar};
use deltaic_types::{EvalError, Value};

use super::{
    Lowered, Lowering,
    match_join::{Keys, Side, equality},
};
use crate::{
    compile,
    expression::{Comparison, Expr, ExprKind},
    fallible::{can_fail, plain_column},
    plan::{JoinKind, Plan},
};

/// What the condition equates, an expression over each side.
struct Pair {
    left: Expr,
    right: Expr,
}

/// A side as a part of the join reads it.
struct Part {
    side: Side,
    /// Whether its rows are laid out anew.
    is_moved: bool,
    /// Where the values stand in its rows.
    key: Vec<usize>,
}

/// Where a column of the condition stands: the side, and the place in its rows.
type Place<'a> = &'a dyn Fn(usize) -> (usize, usize);

impl Lowering<'_> {
    /// The left rows with what matches them on the right, found by the columns that the condition equates; where it equates
    /// none, by what it computes.
    pub(super) fn matched(
        &mut self,
        kind: JoinKind,
        left: &Side,
        right: &Side,
        keys: Keys,
        on: &Expr,
    ) -> Lowered {
        let base = left.places.len() + right.places.len();
        let settled = self.domain.map_or_else(|| on.clone(), |domain| domain.settle(on, &|at| base + at));
        let place = |column: usize| left.place(right, column);
        let conditions = settled.conjuncts();
        let is_by_columns = conditions.iter().any(|condition| equality(condition, &place).is_some());
        let pairs: Vec<Pair> = conditions.iter().filter_map(|condition| pair(condition, &place)).collect();
        let fails = |expr: &dyn Fn(&Pair) -> &Expr| pairs.iter().any(|pair| can_fail(expr(pair)));
        let (left_fails, right_fails) = (fails(&|pair| &pair.left), fails(&|pair| &pair.right));
        // Of a mark and of a single partner every left row shows something, whatever it is asked of.
        let is_shown = right_fails && matches!(kind, JoinKind::Mark | JoinKind::Single);
        if is_by_columns || !keys.equal.is_empty() || pairs.is_empty() || is_shown {
            return self.matched_by_columns(kind, left, right, keys, on);
        }
        let on_left: Vec<&Expr> = pairs.iter().map(|pair| &pair.left).collect();
        let on_right: Vec<&Expr> = pairs.iter().map(|pair| &pair.right).collect();
        let found = self.with_values(left, &on_left, &place, left_fails);
        let partners = self.with_values(right, &on_right, &place, right_fails);
        let mut by_values = keys.of(left, &found, right, &partners);
        by_values.equal = found.key.iter().copied().zip(partners.key.iter().copied()).collect();
        let mut parts = vec![self.matched_by_columns(kind, &found.side, &partners.side, by_values, on)];
        if left_fails {
            let alone = self.without_values(left, &on_left, &place);
            let all = Part { side: right.clone(), is_moved: false, key: Vec::new() };
            let exact = keys.of(left, &alone, right, &all);
            parts.push(self.matched_by_columns(kind, &alone.side, &all.side, exact, on));
        }
        if right_fails {
            let alone = self.without_values(right, &on_right, &place);
            let exact = keys.of(left, &found, right, &alone);
            let asked = match kind {
                JoinKind::Semi | JoinKind::Anti => JoinKind::Semi,
                _ => JoinKind::Inner,
            };
            parts.push(self.matched_by_columns(asked, &found.side, &alone.side, exact, on));
        }
        let first = parts[0];
        if parts.len() == 1 {
            return first;
        }
        let node = self.graph.add(Operator::Union { inputs: parts.iter().map(|part| part.node).collect() });
        Lowered { node, ..first }
    }

    /// The rows of a side whose values can be computed, with the values behind their columns; as they are where the values are
    /// columns of theirs.
    fn with_values(&mut self, side: &Side, exprs: &[&Expr], place: Place<'_>, fails: bool) -> Part {
        let columns: Option<Vec<usize>> =
            exprs.iter().map(|expr| plain_column(expr).map(|column| place(column).1)).collect();
        if let Some(key) = columns {
            return Part { side: side.clone(), is_moved: false, key };
        }
        let mut values = scalars(exprs, place);
        let mut filter = None;
        if fails {
            filter = Some(whether(&values, "computes", Result::is_ok));
            values = values.into_iter().map(tried).collect();
        }
        let first = side.prefix + side.places.len();
        let side = self.laid_out(side, filter, values);
        Part { side, is_moved: true, key: (first..first + exprs.len()).collect() }
    }

    /// The rows of a side of which a value cannot be computed.
    fn without_values(&mut self, side: &Side, exprs: &[&Expr], place: Place<'_>) -> Part {
        let filter = whether(&scalars(exprs, place), "fails", Result::is_err);
        Part { side: self.laid_out(side, Some(filter), Vec::new()), is_moved: true, key: Vec::new() }
    }

    fn laid_out(&mut self, side: &Side, filter: Option<Scalar>, values: Vec<Scalar>) -> Side {
        let columns = (0..side.prefix).chain(side.places.iter().copied());
        let project = columns.map(|place| Scalar::column(0, place)).chain(values).collect();
        let parameters = self.domain.filter(|_| side.prefix > 0).map_or(0, |domain| domain.parameters);
        let map = Map {
            input: side.node,
            filter: side.filter.iter().cloned().chain(filter).collect(),
            project: Some(project),
            prefix: parameters,
        };
        let node = self.graph.add(Operator::Map(map));
        let places = (side.prefix..side.prefix + side.places.len()).collect();
        Side { node, table: None, filter: Vec::new(), places, prefix: side.prefix, lowered: None }
    }
}

impl Keys {
    /// The exact keys of parts of the sides.
    fn of(&self, left: &Side, left_part: &Part, right: &Side, right_part: &Part) -> Self {
        let pair = |(a, b): &(usize, usize)| (left_part.moved(left, *a), right_part.moved(right, *b));
        Self { exact: self.exact.iter().map(pair).collect(), equal: Vec::new() }
    }
}

impl Part {
    /// Where what stands at a place of the side's rows stands here.
    fn moved(&self, side: &Side, place: usize) -> usize {
        if !self.is_moved || place < side.prefix {
            return place;
        }
        let column = side.places.iter().position(|other| *other == place);
        side.prefix + column.expect("invariant: a key is a column of its side")
    }
}

fn scalars(exprs: &[&Expr], place: Place<'_>) -> Vec<Scalar> {
    exprs.iter().map(|expr| compile(expr, &|column| (0, place(column).1))).collect()
}

/// Whether each value, or any, can be computed.
fn whether(values: &[Scalar], name: &str, holds: fn(&Result<Value, EvalError>) -> bool) -> Scalar {
    let names: Vec<&str> = values.iter().map(Scalar::name).collect();
    let values = values.to_vec();
    Scalar::function(format!("{name}({})", names.join(", ")), move |rows| {
        let all = values.iter().try_for_each(|value| value.eval(rows).map(drop)).map(|()| Value::Null);
        Ok(Value::Boolean(holds(&all)))
    })
}

/// The value, or NULL where it cannot be computed.
fn tried(value: Scalar) -> Scalar {
    let name = format!("try({})", value.name());
    Scalar::function(name, move |rows| Ok(value.eval(rows).unwrap_or(Value::Null)))
}

/// Whether an inner join finds its rows by nothing but values that are computed on both sides: a value that is computed on one
/// side finds a column of the other, as it is.
pub(super) fn is_by_values_alone(left: &Plan, on: &Expr) -> bool {
    let width = left.types().len();
    let place = |column: usize| column.checked_sub(width).map_or((0, column), |column| (1, column));
    let conditions = on.clone().conjuncts();
    let pairs: Vec<Pair> = conditions.iter().filter_map(|condition| pair(condition, &place)).collect();
    let is_column = |expr: &Expr| plain_column(expr).is_some();
    !pairs.is_empty() && pairs.iter().all(|pair| !is_column(&pair.left) && !is_column(&pair.right))
}

/// The expressions that a condition equates, one over each side, of which one is no column.
fn pair(condition: &Expr, place: Place<'_>) -> Option<Pair> {
    let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return None };
    let side = |expr: &Expr| {
        let is_plain = !expr.has_parameter() && !expr.has_subquery() && !expr.reads_time();
        let mut sides = expr.columns().into_iter().map(|column| place(column).0);
        let first = sides.next().filter(|first| is_plain && sides.all(|side| side == *first));
        first.filter(|_| a.data_type == b.data_type)
    };
    let (left, right) = match (side(a)?, side(b)?) {
        (0, 1) => (a, b),
        (1, 0) => (b, a),
        _ => return None,
    };
    Some(Pair { left: (**left).clone(), right: (**right).clone() })
}
