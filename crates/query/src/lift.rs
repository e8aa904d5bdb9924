//! [`lift`]: constants that a row is compared with become parameters.
//!
//! `WHERE price > 7` and `WHERE price > 8` are then one template with two tuples and share one circuit, which finds
//! the tuples that a changed row concerns by a search among them. So only what such a search serves is lifted: the
//! comparisons but `<>`, lists, and prefixes. Invariant: the lifted plan with the lifted values in place of its new
//! parameters has the plan's rows and errors; a condition keeps its place among those that can fail.

use deltaic_types::{DataType, TableId, Value};

use crate::{
    expression::{Comparison, Expr, ExprKind},
    fallible::{can_fail, constant_pattern, plain_column},
    functions::Function,
    plan::{JoinKind, Plan},
    unnest::semijoin_as_join,
};

/// A plan whose constants became parameters, and their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// The plan.
    pub plan: Plan,
    /// The values of the new parameters, which are numbered behind those that the plan had.
    pub values: Vec<Value>,
}

/// Lifts the constants that rows of a table are compared with, where `wanted` says yes to the columns that the
/// comparison reads. The plan has `parameters` parameters already.
///
/// Beneath outer joins and their kind only equalities of a column are lifted: what is left of a table there is
/// arranged once more, which is worth it for few rows alone.
pub fn lift(plan: &Plan, parameters: usize, wanted: &dyn Fn(TableId, usize) -> bool) -> Lifted {
    let mut lifting = Lifting { parameters, wanted, computed: true, values: Vec::new() };
    let plan = lifting.plan(plan, true);
    Lifted { plan, values: lifting.values }
}

/// Lifts the constants that bare columns equal and no others: what is found by these is few rows in any case.
pub fn lift_equalities(plan: &Plan) -> Lifted {
    let mut lifting = Lifting { parameters: 0, wanted: &|_, _| true, computed: false, values: Vec::new() };
    let plan = lifting.plan(plan, false);
    Lifted { plan, values: lifting.values }
}

/// The same as [`lift`] for a query that is asked once: only constants that a bare column is compared with, so that an index is
/// probed and not scanned.
pub fn lift_columns(plan: &Plan, wanted: &dyn Fn(TableId, usize) -> bool) -> Lifted {
    let mut lifting = Lifting { parameters: 0, wanted, computed: false, values: Vec::new() };
    let plan = lifting.plan(plan, true);
    Lifted { plan, values: lifting.values }
}

struct Lifting<'a> {
    parameters: usize,
    wanted: &'a dyn Fn(TableId, usize) -> bool,
    /// Whether what is compared may be computed from columns.
    computed: bool,
    values: Vec<Value>,
}

impl Lifting<'_> {
    /// `open` says whether more than equalities are lifted.
    fn plan(&mut self, plan: &Plan, open: bool) -> Plan {
        let mut inside = |input: &Plan, open: bool| Box::new(self.plan(input, open));
        match plan {
            Plan::Filter { input, predicate } => {
                let input = inside(input, open);
                let conditions = predicate.clone().conjuncts().into_iter();
                let predicate = if open {
                    Expr::all(conditions.map(|condition| self.condition(condition, &input)).collect())
                } else if can_fail(predicate) {
                    predicate.clone()
                } else {
                    Expr::all(conditions.map(|condition| self.equality(condition, &input)).collect())
                };
                Plan::Filter { input, predicate }
            }
            Plan::Project { input, exprs } => {
                Plan::Project { input: inside(input, open), exprs: exprs.clone() }
            }
            Plan::Join { kind, left, right, outer, on } => {
                let inner = *kind == JoinKind::Inner && outer.is_empty();
                let left = inside(left, open && inner);
                // Where the right side may depend on parameters alone, rows are found from them.
                let free = inner
                    || *kind == JoinKind::Semi
                        && outer.is_empty()
                        && semijoin_as_join(&left, right, on).is_some();
                let right = if free { inside(right, open && inner) } else { right.clone() };
                Plan::Join { kind: *kind, left, right, outer: outer.clone(), on: on.clone() }
            }
            Plan::Aggregate { input, keys, calls } => {
                Plan::Aggregate { input: inside(input, open), keys: keys.clone(), calls: calls.clone() }
            }
            Plan::Distinct { input } => Plan::Distinct { input: inside(input, open) },
            Plan::Window { input, partition, order, calls } => Plan::Window {
                input: inside(input, open),
                partition: partition.clone(),
                order: order.clone(),
                calls: calls.clone(),
            },
            Plan::TopK { input, partition, order, limit, offset } => Plan::TopK {
                input: inside(input, open),
                partition: partition.clone(),
                order: order.clone(),
                limit: limit.clone(),
                offset: offset.clone(),
            },
            Plan::Recursive { base, step, all, ranked } => {
                Plan::Recursive { base: inside(base, false), step: step.clone(), all: *all, ranked: *ranked }
            }
            Plan::Scan { .. }
            | Plan::Values { .. }
            | Plan::UnionAll { .. }
            | Plan::SetOperation { .. }
            | Plan::Recurring { .. } => plan.clone(),
        }
    }

    fn condition(&mut self, condition: Expr, input: &Plan) -> Expr {
        // By the clock rows move for each tuple: what asks for the time is one for all.
        if condition.reads_time() {
            return condition;
        }
        let boolean = |kind| Expr::new(kind, DataType::Boolean);
        match &condition.kind {
            ExprKind::Compare(op, a, b) if *op != Comparison::Ne => {
                let (column, value, constant_first) = match (&a.kind, &b.kind) {
                    (_, ExprKind::Literal(value)) => (a, value, false),
                    (ExprKind::Literal(value), _) => (b, value, true),
                    _ => return condition,
                };
                if value.is_null() || !self.wants(column, input) {
                    return condition;
                }
                let data_type = if constant_first { &a.data_type } else { &b.data_type };
                let parameter = Box::new(self.parameter(value.clone(), data_type.clone()));
                let (a, b) = if constant_first { (parameter, b.clone()) } else { (a.clone(), parameter) };
                boolean(ExprKind::Compare(*op, a, b))
            }
            ExprKind::InList(operand, list) if !can_fail(operand) && self.wants(operand, input) => {
                let items = list.iter().map(|item| match &item.kind {
                    ExprKind::Literal(value) => Some(value.clone()),
                    _ => None,
                });
                let Some(mut items) = items.collect::<Option<Vec<Value>>>() else { return condition };
                // A list is a set, and NULL in it makes nothing TRUE.
                items.retain(|item| !item.is_null());
                items.sort_unstable();
                items.dedup();
                let data_type = operand.data_type.clone();
                match items.len() {
                    0 => condition,
                    1 => {
                        let item = items.remove(0);
                        let parameter = Box::new(self.parameter(item, data_type));
                        boolean(ExprKind::Compare(Comparison::Eq, operand.clone(), parameter))
                    }
                    _ => {
                        let list = self.parameter(Value::array(items), data_type.array());
                        let any = Function::ArrayAny(Comparison::Eq);
                        boolean(ExprKind::Call(any, vec![(**operand).clone(), list]))
                    }
                }
            }
            ExprKind::Call(Function::Like, args) if self.wants(&args[0], input) => {
                match constant_pattern(Function::Like, args).and_then(|pattern| pattern.prefix()) {
                    // It asks only for a text.
                    Some((prefix, true)) if prefix.is_empty() => condition,
                    Some((prefix, true)) => {
                        let prefix = self.parameter(Value::from(prefix), DataType::Text);
                        boolean(ExprKind::Call(Function::StartsWith, vec![args[0].clone(), prefix]))
                    }
                    Some((text, false)) => {
                        let text = Box::new(self.parameter(Value::from(text), DataType::Text));
                        boolean(ExprKind::Compare(Comparison::Eq, Box::new(args[0].clone()), text))
                    }
                    None => condition,
                }
            }
            ExprKind::Call(Function::StartsWith, args) if self.wants(&args[0], input) => {
                let ExprKind::Literal(prefix @ Value::Text(_)) = &args[1].kind else { return condition };
                let prefix = self.parameter(prefix.clone(), args[1].data_type.clone());
                boolean(ExprKind::Call(Function::StartsWith, vec![args[0].clone(), prefix]))
            }
            _ => condition,
        }
    }

    /// Lifts no more than the constant that a bare column equals.
    fn equality(&mut self, condition: Expr, input: &Plan) -> Expr {
        let bare = match &condition.kind {
            ExprKind::Compare(Comparison::Eq, a, b) => {
                [a, b].into_iter().any(|side| plain_column(side).is_some())
            }
            _ => false,
        };
        if bare { self.condition(condition, input) } else { condition }
    }

    fn parameter(&mut self, value: Value, data_type: DataType) -> Expr {
        self.values.push(value);
        Expr::new(ExprKind::Parameter(self.parameters + self.values.len() - 1), data_type)
    }

    /// Whether constants that this is compared with are lifted: an expression over columns of one table.
    fn wants(&self, operand: &Expr, input: &Plan) -> bool {
        if plain_column(operand).is_none() && !self.computed
            || operand.has_parameter()
            || operand.has_outer()
            || operand.has_subquery()
        {
            return false;
        }
        let columns = operand.columns();
        let sources: Option<Vec<(TableId, usize)>> =
            columns.iter().map(|place| source_of(input, *place)).collect();
        sources.is_some_and(|sources| {
            sources.first().is_some_and(|(first, _)| sources.iter().all(|(table, _)| table == first))
                && sources.iter().all(|(table, column)| (self.wanted)(*table, *column))
        })
    }
}

/// The table column that a plan's output column is.
fn source_of(plan: &Plan, place: usize) -> Option<(TableId, usize)> {
    match plan {
        Plan::Scan { table, .. } => Some((*table, place)),
        Plan::Filter { input, .. } => source_of(input, place),
        Plan::Project { input, exprs } => source_of(input, plain_column(&exprs[place])?),
        _ => None,
    }
}
