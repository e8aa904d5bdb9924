//! Joins that ask of each left row which right rows match it, dependent ones among them: each side is a table's
//! own rows where it can be, else an arrangement by the join's key.
//!
//! The right side of a dependent join is lowered for a domain of its own, the different values of the outer
//! columns on the left, and its rows find their left rows by these values. Invariant: template parameters come
//! from the left side, so it is made dependent where the right side or the condition reads them.

use deltaic_dataflow::{
    JoinInput, KeyColumn, Map, MatchJoin, MatchKind, NodeId, Operator, RelationId, Scalar,
};
use deltaic_types::TableId;

use super::{
    Domain, LowerError, Lowered, Lowering,
    block::{Position, flatten},
    reads_domain,
};
use crate::{
    compile,
    expression::{Comparison, Expr, ExprKind},
    fallible::{can_fail, plain_column, plan_can_fail},
    plan::{JoinKind, Plan},
    unnest::{reads_outer, semijoin_as_join},
};

/// One side of a join.
#[derive(Clone)]
pub(super) struct Side {
    pub(super) node: NodeId,
    /// The table, where the node is its input.
    pub(super) table: Option<TableId>,
    pub(super) filter: Vec<Scalar>,
    /// Where the side's columns are in its rows.
    pub(super) places: Vec<usize>,
    /// How many columns of its domain its rows begin with.
    pub(super) prefix: usize,
    pub(super) lowered: Option<Lowered>,
}

impl Side {
    /// Where a column of the condition of a join with a right side stands: the side, and the place in its rows. What is read of
    /// the domain stands behind all columns while ON is taken apart.
    pub(super) fn place(&self, right: &Self, column: usize) -> (usize, usize) {
        let (width, base) = (self.places.len(), self.places.len() + right.places.len());
        match column {
            _ if column < width => (0, self.places[column]),
            _ if column < base => (1, right.places[column - width]),
            _ => (0, column - base),
        }
    }
}

/// The columns that must be equal, left and right.
#[derive(Default)]
pub(super) struct Keys {
    /// NULL equals NULL.
    pub(super) exact: Vec<(usize, usize)>,
    /// NULL equals nothing.
    pub(super) equal: Vec<(usize, usize)>,
}

impl Lowering<'_> {
    pub(super) fn match_join(
        &mut self,
        kind: JoinKind,
        left: &Plan,
        right: &Plan,
        outer: &[usize],
        on: &Expr,
    ) -> Result<Lowered, LowerError> {
        let reads = |plan: &Plan| {
            plan.any_expression(&Expr::has_parameter) || (outer.is_empty() && reads_outer(plan))
        };
        if kind == JoinKind::Semi && outer.is_empty() && reads(right) && !reads(left) {
            if let Some(join) = semijoin_as_join(left, right, on) {
                return self.plan(&join);
            }
        }
        let mut left = self.side(left)?;
        if reads_domain(on) {
            // Before the left side's columns are named in keys.
            left = self.dependent_side(left);
        }
        let mut keys = Keys::default();
        let dependent_right = !outer.is_empty() && reads_outer(right);
        // An error on the right side belongs to the tuples whose left rows ask for it.
        let needs_parameters = self.domain.is_some_and(|domain| domain.parameters > 0)
            && dependent_right
            && (right.any_expression(&Expr::has_parameter) || (left.prefix > 0 && plan_can_fail(right)));
        if needs_parameters {
            left = self.dependent_side(left);
        }
        let right = if dependent_right {
            let own = self.domain_of(&left, outer, needs_parameters);
            let mut beneath =
                Lowering { graph: self.graph, domain: Some(own), tables: self.tables, feedback: None };
            let lowered = beneath.plan(right)?;
            let lowered = beneath.dependent(lowered);
            let side = beneath.side_of(lowered);
            let values = outer.iter().map(|column| left.places[*column]);
            keys.exact = (0..own.parameters).chain(values).zip(0..).collect();
            side
        } else {
            let right = self.side(right)?;
            if left.prefix == 0 && right.prefix > 0 {
                left = self.dependent_side(left);
            }
            keys.exact = (0..right.prefix).map(|place| (place, place)).collect();
            right
        };
        if kind == JoinKind::Full {
            return Ok(self.full_join(left, right, keys, on));
        }
        Ok(self.matched(kind, &left, &right, keys, on))
    }

    /// The domain of a dependent join's right side: the different values of the left side's outer columns.
    fn domain_of(&mut self, left: &Side, outer: &[usize], with_parameters: bool) -> Domain {
        let parameters = self.domain.filter(|_| with_parameters).map_or(0, |domain| domain.parameters);
        let values = outer.iter().map(|column| left.places[*column]);
        let project: Vec<Scalar> =
            (0..parameters).chain(values).map(|place| Scalar::column(0, place)).collect();
        let width = project.len();
        let map = Map {
            input: left.node,
            filter: left.filter.clone(),
            project: Some(project),
            prefix: self.domain.filter(|_| left.prefix > 0).map_or(0, |domain| domain.parameters),
        };
        let values = self.graph.add(Operator::Map(map));
        let node = self.graph.add(Operator::Distinct { input: values });
        Domain { node, parameters, width }
    }

    /// The left rows with what matches them on the right, found by the columns that the condition equates.
    pub(super) fn matched_by_columns(
        &mut self,
        kind: JoinKind,
        left: &Side,
        right: &Side,
        mut keys: Keys,
        on: &Expr,
    ) -> Lowered {
        let width = left.places.len();
        let base = width + right.places.len();
        let place = |column: usize| left.place(right, column);
        let settled = self.domain.map_or_else(|| on.clone(), |domain| domain.settle(on, &|at| base + at));
        let mut conditions = Vec::new();
        let mut right_filter = right.filter.clone();
        for condition in settled.conjuncts() {
            let sides: Vec<usize> = condition.columns().into_iter().map(|column| place(column).0).collect();
            if let Some(pair) = equality(&condition, &place) {
                keys.equal.push(pair);
            } else if !can_fail(&condition) && !sides.is_empty() && sides.iter().all(|side| *side == 1) {
                right_filter.push(compile(&condition, &|column| (0, place(column).1)));
            } else {
                conditions.push(compile(&condition, &place));
            }
        }
        keys.equal.sort_unstable();
        keys.equal.dedup();
        self.prefer_existing(&mut keys.equal, left, right);
        let exact = keys.exact.len();
        let pairs: Vec<(usize, usize)> = keys.exact.into_iter().chain(keys.equal).collect();
        let left_key: Vec<KeyColumn> = pairs.iter().map(|(left, _)| KeyColumn::ascending(*left)).collect();
        let right_key: Vec<KeyColumn> = pairs.iter().map(|(_, right)| KeyColumn::ascending(*right)).collect();
        let prefix: Vec<Scalar> = (0..left.prefix).map(|place| Scalar::column(0, place)).collect();
        let shown = match kind {
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => width,
            _ => base,
        };
        let columns = (0..shown).map(place).map(|(side, place)| Scalar::column(side, place));
        let mut project: Vec<Scalar> = prefix.iter().cloned().chain(columns).collect();
        if kind == JoinKind::Mark {
            project.push(Scalar::column(1, 0));
        }
        let output_width = project.len() - left.prefix;
        let parameters = self.domain.filter(|_| left.prefix > 0).map_or(0, |domain| domain.parameters);
        let join = MatchJoin {
            kind: match_kind(kind),
            left: self.input(left, left.filter.clone(), &left_key),
            right: self.input(right, right_filter, &right_key),
            left_key,
            right_key,
            exact,
            conditions,
            right_width: right.places.iter().map(|place| place + 1).max().unwrap_or(0),
            project,
            prefix: prefix[..parameters].to_vec(),
        };
        let node = self.graph.add(Operator::MatchJoin(join));
        Lowered { node, dependent: left.prefix > 0, width: output_width }
    }

    /// The left join and, beside NULLs, the right rows without a partner: the antijoin of the sides exchanged.
    fn full_join(&mut self, left: Side, right: Side, keys: Keys, on: &Expr) -> Lowered {
        let (left, right) = match (left.prefix > 0, right.prefix > 0) {
            (true, false) => (left, self.dependent_side(right)),
            _ => (left, right),
        };
        let exact: Vec<(usize, usize)> = (0..left.prefix).map(|place| (place, place)).collect();
        let (left_width, width) = (left.places.len(), left.places.len() + right.places.len());
        let outer = self.matched(JoinKind::Left, &left, &right, Keys { exact: exact.clone(), ..keys }, on);
        let turned = on.map_leaves(&mut |leaf| match leaf.kind {
            ExprKind::Column(place) if place < left_width => {
                Some(Expr::column(place + right.places.len(), leaf.data_type.clone()))
            }
            ExprKind::Column(place) => Some(Expr::column(place - left_width, leaf.data_type.clone())),
            _ => None,
        });
        let keys = Keys { exact, equal: Vec::new() };
        let alone = self.matched(JoinKind::Anti, &right, &left, keys, &turned);
        let prefix = left.prefix;
        let nulls = (0..left_width).map(|_| Scalar::constant(deltaic_types::Value::Null));
        let columns = (prefix..prefix + right.places.len()).map(|place| Scalar::column(0, place));
        let project = (0..prefix).map(|place| Scalar::column(0, place)).chain(nulls).chain(columns).collect();
        let parameters = self.parameters(alone);
        let padded =
            Map { input: alone.node, filter: Vec::new(), project: Some(project), prefix: parameters };
        let padded = self.graph.add(Operator::Map(padded));
        let node = self.graph.add(Operator::Union { inputs: vec![outer.node, padded] });
        Lowered { node, dependent: prefix > 0, width }
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
            if !block.conditions.iter().any(reads_domain) {
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

    /// The side once for each row of the domain.
    fn dependent_side(&mut self, side: Side) -> Side {
        if side.prefix > 0 {
            return side;
        }
        let lowered = side.lowered.unwrap_or_else(|| {
            let project = side.places.iter().map(|place| Scalar::column(0, *place)).collect();
            let map = Map { input: side.node, filter: side.filter, project: Some(project), prefix: 0 };
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

fn match_kind(kind: JoinKind) -> MatchKind {
    match kind {
        JoinKind::Inner => MatchKind::Inner,
        JoinKind::Left | JoinKind::Full => MatchKind::Left,
        JoinKind::Semi => MatchKind::Semi,
        JoinKind::Anti => MatchKind::Anti,
        JoinKind::Mark => MatchKind::Mark,
        JoinKind::Single => MatchKind::Single,
    }
}

/// The columns that the condition equates, left and right.
pub(super) fn equality(condition: &Expr, place: &dyn Fn(usize) -> (usize, usize)) -> Option<(usize, usize)> {
    let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return None };
    match (place(plain_column(a)?), place(plain_column(b)?)) {
        ((0, left), (1, right)) | ((1, right), (0, left)) => Some((left, right)),
        _ => None,
    }
}
