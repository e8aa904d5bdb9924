//! Left outer joins: each side is a table's own rows where it can be, else an arrangement by the join's key.

use deltaic_dataflow::{JoinInput, KeyColumn, LeftJoin, NodeId, Operator, RelationId, Scalar};
use deltaic_types::TableId;

use super::{
    LowerError, Lowered, Lowering,
    block::{Position, flatten},
    place_parameters,
};
use crate::{
    compile,
    expression::{Comparison, Expr, ExprKind},
    fallible::{can_fail, plain_column},
    plan::Plan,
};

/// One side of an outer join.
struct Side {
    node: NodeId,
    /// The table, where the node is its input.
    table: Option<TableId>,
    filter: Vec<Scalar>,
    /// Where the side's columns are in its rows.
    places: Vec<usize>,
    prefix: usize,
    lowered: Option<Lowered>,
}

impl Lowering<'_> {
    pub(super) fn left_join(&mut self, left: &Plan, right: &Plan, on: &Expr) -> Result<Lowered, LowerError> {
        let mut left = self.side(left)?;
        let right = self.side(right)?;
        if left.prefix == 0 && self.parameters.is_some() && (right.prefix > 0 || on.has_parameter()) {
            left = self.dependent_side(left);
        }
        let width = left.places.len();
        let place = |column: usize| match column.checked_sub(width) {
            None => (0, left.places[column]),
            Some(column) => (1, right.places[column]),
        };
        // Parameters stand behind all columns while ON is taken apart.
        let base = width + right.places.len();
        let place = |column: usize| if column >= base { (0, column - base) } else { place(column) };
        let mut keys: Vec<(usize, usize)> = Vec::new();
        let mut conditions = Vec::new();
        let mut right_filter = right.filter.clone();
        for condition in place_parameters(on, &|number| base + number).conjuncts() {
            let sides: Vec<usize> = condition.columns().into_iter().map(|column| place(column).0).collect();
            if let Some(pair) = equality(&condition, &place) {
                keys.push(pair);
            } else if !can_fail(&condition) && !sides.is_empty() && sides.iter().all(|side| *side == 1) {
                right_filter.push(compile(&condition, &|column| (0, place(column).1)));
            } else {
                conditions.push(compile(&condition, &place));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        self.prefer_existing(&mut keys, &left, &right);
        let exact = if right.prefix > 0 { left.prefix } else { 0 };
        let shared: Vec<(usize, usize)> =
            (0..exact).map(|place| (place, place)).chain(keys.iter().copied()).collect();
        let left_key: Vec<KeyColumn> = shared.iter().map(|(left, _)| KeyColumn::ascending(*left)).collect();
        let right_key: Vec<KeyColumn> =
            shared.iter().map(|(_, right)| KeyColumn::ascending(*right)).collect();
        let prefix: Vec<Scalar> = (0..left.prefix).map(|place| Scalar::column(0, place)).collect();
        let columns = (0..base).map(place).map(|(side, place)| Scalar::column(side, place));
        let join = LeftJoin {
            left: self.input(&left, left.filter.clone(), &left_key),
            right: self.input(&right, right_filter, &right_key),
            left_key,
            right_key,
            exact,
            conditions,
            right_width: right.places.iter().map(|place| place + 1).max().unwrap_or(0),
            project: prefix.iter().cloned().chain(columns).collect(),
            prefix,
        };
        let dependent = left.prefix > 0;
        Ok(Lowered { node: self.graph.add(Operator::LeftJoin(join)), dependent, width: base })
    }

    /// A side: a table's own rows under conditions that cannot fail, or a node.
    fn side(&mut self, plan: &Plan) -> Result<Side, LowerError> {
        let block = flatten(plan, Position::Inside);
        let columns: Option<Vec<usize>> = block
            .output
            .iter()
            .map(|expr| if let ExprKind::Column(place) = expr.kind { Some(place) } else { None })
            .collect();
        if let (&[Plan::Scan { table, .. }], Some(columns)) = (&block.leaves[..], columns) {
            if !block.conditions.iter().any(Expr::has_parameter) {
                let slot = |column: usize| {
                    self.tables.slot(*table, column).expect("invariant: what a plan reads is in memory")
                };
                let filter =
                    block.conditions.iter().map(|expr| compile(expr, &|place| (0, slot(place)))).collect();
                let places = columns.into_iter().map(slot).collect();
                let node = self.graph.add(Operator::Input(RelationId::Table(*table)));
                return Ok(Side { node, table: Some(*table), filter, places, prefix: 0, lowered: None });
            }
        }
        let lowered = self.plan(plan)?;
        Ok(self.side_of(lowered))
    }

    fn side_of(&self, lowered: Lowered) -> Side {
        let prefix = self.prefix(lowered);
        Side {
            node: lowered.node,
            table: None,
            filter: Vec::new(),
            places: (prefix..prefix + lowered.width).collect(),
            prefix,
            lowered: Some(lowered),
        }
    }

    /// The side once for each parameter tuple.
    fn dependent_side(&mut self, side: Side) -> Side {
        let lowered = side.lowered.unwrap_or_else(|| {
            let project = side.places.iter().map(|place| Scalar::column(0, *place)).collect();
            let map = deltaic_dataflow::Map {
                input: side.node,
                filter: side.filter,
                project: Some(project),
                prefix: 0,
            };
            let node = self.graph.add(Operator::Map(map));
            Lowered { node, dependent: false, width: side.places.len() }
        });
        let lowered = self.dependent(lowered);
        self.side_of(lowered)
    }

    fn input(&mut self, side: &Side, filter: Vec<Scalar>, key: &[KeyColumn]) -> JoinInput {
        let source = match side.table {
            Some(_) => side.node,
            None => self.graph.add(Operator::Arrange { input: side.node, key: key.to_vec() }),
        };
        JoinInput { source, filter }
    }

    /// Puts the key's columns into the order of an index that is there.
    fn prefer_existing(&self, keys: &mut [(usize, usize)], left: &Side, right: &Side) {
        for (side, pick) in [(right, 1), (left, 0)] {
            let Some(table) = side.table else { continue };
            let column = |pair: &(usize, usize)| if pick == 1 { pair.1 } else { pair.0 };
            let served = self.tables.keys(table).into_iter().find(|key| {
                key.len() >= keys.len()
                    && key[..keys.len()].iter().all(|place| keys.iter().any(|pair| column(pair) == *place))
            });
            if let Some(order) = served {
                keys.sort_by_key(|pair| order.iter().position(|place| *place == column(pair)));
                return;
            }
        }
    }
}

/// The columns that the condition equates, left and right.
fn equality(condition: &Expr, place: &dyn Fn(usize) -> (usize, usize)) -> Option<(usize, usize)> {
    let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return None };
    match (place(plain_column(a)?), place(plain_column(b)?)) {
        ((0, left), (1, right)) | ((1, right), (0, left)) => Some((left, right)),
        _ => None,
    }
}
