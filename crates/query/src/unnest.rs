//! [`unnest`]: subqueries in expressions become joins of the plan around them.
//!
//! `EXISTS` and `IN` as conditions are semijoins and antijoins; anywhere else they are marks, columns that say
//! whether there is a match; a scalar subquery is a join with at most one partner. What a subquery reads of the
//! row around it makes the join dependent (Neumann and Kemper, "Unnesting Arbitrary Queries", 2015); where only
//! its conditions do, they move into the join's own condition, and it is an ordinary join. Invariant: the plan
//! that comes out has no [`ExprKind::Subquery`] and the same columns as the one that went in.

use std::cell::RefCell;

use deltaic_types::{DataType, Value};

use crate::{
    expression::{Comparison, Expr, ExprKind, Subquery, SubqueryKind},
    fallible::can_fail,
    optimise::{move_columns, substitute},
    plan::{JoinKind, Plan, WindowCall},
};

/// The plan without subqueries in its expressions.
pub fn unnest(plan: Plan) -> Plan {
    let inside = |input: Box<Plan>| Box::new(unnest(*input));
    match plan {
        Plan::Scan { .. } | Plan::Recurring { .. } => plan,
        Plan::Values { rows, types } => values(rows, types),
        Plan::Filter { input, predicate } => filter(unnest(*input), predicate.conjuncts()),
        Plan::Project { input, exprs } => {
            let mut around = Around::new(unnest(*input));
            let exprs = around.replace_all(&exprs);
            Plan::Project { input: Box::new(around.plan), exprs }
        }
        Plan::Join { kind, left, right, outer, on } => join(kind, *left, *right, outer, on),
        Plan::Aggregate { input, keys, calls } => {
            let around = RefCell::new(Around::new(unnest(*input)));
            let keys = around.borrow_mut().replace_all(&keys);
            let replace = |expr: &Expr| around.borrow_mut().replace(expr);
            let calls = calls.into_iter().map(|call| call.map(&replace)).collect();
            Plan::Aggregate { input: Box::new(around.into_inner().plan), keys, calls }
        }
        Plan::Window { input, partition, order, calls } => {
            let around = RefCell::new(Around::new(unnest(*input)));
            let width = around.borrow().plan.types().len();
            let replace = |expr: &Expr| around.borrow_mut().replace(expr);
            let calls: Vec<WindowCall> = calls.into_iter().map(|call| call.map(&replace)).collect();
            let input = around.into_inner().plan;
            let (wider, count) = (input.types().len(), calls.len());
            let window = Plan::Window { input: Box::new(input), partition, order, calls };
            if wider == width {
                return window;
            }
            chosen(window, &(0..width).chain(wider..wider + count).collect::<Vec<_>>())
        }
        Plan::Distinct { input } => Plan::Distinct { input: inside(input) },
        Plan::UnionAll { inputs } => Plan::UnionAll { inputs: inputs.into_iter().map(unnest).collect() },
        Plan::SetOperation { kind, left, right } => {
            Plan::SetOperation { kind, left: inside(left), right: inside(right) }
        }
        Plan::Recursive { base, step, all, ranked } => {
            Plan::Recursive { base: inside(base), step: inside(step), all, ranked }
        }
        Plan::TopK { input, partition, order, limit, offset } => {
            Plan::TopK { input: inside(input), partition, order, limit, offset }
        }
    }
}

/// Rows with subqueries in them are each a projection of the row without columns.
fn values(rows: Vec<Vec<Expr>>, types: Vec<DataType>) -> Plan {
    if !rows.iter().flatten().any(Expr::has_subquery) {
        return Plan::Values { rows, types };
    }
    let one = || Box::new(Plan::Values { rows: vec![Vec::new()], types: Vec::new() });
    let inputs = rows.into_iter().map(|exprs| unnest(Plan::Project { input: one(), exprs }));
    Plan::UnionAll { inputs: inputs.collect() }
}

/// A join whose condition may have subqueries, and whose right side may be lateral.
fn join(kind: JoinKind, left: Plan, right: Plan, outer: Vec<usize>, on: Expr) -> Plan {
    let (left, right) = (unnest(left), unnest(right));
    let (left_width, right_width) = (left.types().len(), right.types().len());
    let (nested, plain): (Vec<Expr>, Vec<Expr>) = on.conjuncts().into_iter().partition(Expr::has_subquery);
    if nested.is_empty() {
        return kept(correlate(kind, left, right, outer, Expr::all(plain)), left_width + right_width);
    }
    if kind == JoinKind::Inner {
        let joined = kept(correlate(kind, left, right, outer, Expr::all(plain)), left_width + right_width);
        return filter(joined, nested);
    }
    // Only such subqueries stand in an outer join's condition as read one of its sides.
    let mut conditions = plain;
    let mut left = Around::new(left);
    let mut right = Around::new(right);
    let mut of_left = Vec::new();
    for condition in nested {
        let reads_right = |subquery: &Subquery| {
            subquery.operands().flat_map(Expr::columns).any(|place| place >= left_width)
        };
        conditions.push(condition.map_subqueries(&mut |subquery, data_type| {
            let whole = Expr::new(ExprKind::Subquery(Box::new(subquery.clone())), data_type.clone());
            if reads_right(subquery) {
                let value = right.replace(&move_columns(&whole, |place| place - left_width));
                // Places of the right side are moved behind all of the left side's below.
                move_columns(&value, |place| place + left_width)
            } else {
                of_left.push(left.replace(&whole));
                Expr::new(ExprKind::Outer(of_left.len() - 1), data_type.clone())
            }
        }));
    }
    let extra = left.plan.types().len() - left_width;
    let on = Expr::all(conditions).map_leaves(&mut |leaf| match leaf.kind {
        ExprKind::Column(place) if place >= left_width => {
            Some(Expr::column(place + extra, leaf.data_type.clone()))
        }
        ExprKind::Outer(place) if place < of_left.len() => Some(of_left[place].clone()),
        _ => None,
    });
    let places = (0..left_width).chain(left_width + extra..left_width + extra + right_width);
    let joined = correlate(kind, left.plan, right.plan, outer, on);
    chosen(joined, &places.collect::<Vec<_>>())
}

/// The plan with its first columns alone, where it has more.
fn kept(plan: Plan, width: usize) -> Plan {
    let own = plan.types().len();
    if own <= width { plan } else { chosen(plan, &(0..width).collect::<Vec<_>>()) }
}

fn chosen(plan: Plan, places: &[usize]) -> Plan {
    let types = plan.types();
    let exprs = places.iter().map(|place| Expr::column(*place, types[*place].clone())).collect();
    Plan::Project { input: Box::new(plan), exprs }
}

fn filtered(plan: Plan, conditions: Vec<Expr>) -> Plan {
    if conditions.is_empty() {
        return plan;
    }
    Plan::Filter { input: Box::new(plan), predicate: Expr::all(conditions) }
}

/// The rows that satisfy all conditions, some of which may have subqueries.
fn filter(plan: Plan, conditions: Vec<Expr>) -> Plan {
    let width = plan.types().len();
    let (mut rest, plain): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(Expr::has_subquery);
    let (mut last, first): (Vec<Expr>, Vec<Expr>) = plain.into_iter().partition(can_fail);
    let mut around = Around::new(filtered(plan, first));
    rest.retain(|condition| !around.test(condition));
    last.extend(around.replace_all(&rest));
    kept(filtered(around.plan, last), width)
}

/// A plan that grows columns for the subqueries of expressions over it.
struct Around {
    plan: Plan,
    /// The subqueries that have their value already, each with what was the case where it was met.
    known: Vec<(Subquery, Vec<Expr>, Expr)>,
    /// What is the case where the expression is reached that is being looked at: earlier branches of a CASE were
    /// passed by. Where it is not, nobody asks for the subquery's value, and its errors are nobody's.
    reached: Vec<Expr>,
}

impl Around {
    fn new(plan: Plan) -> Self {
        Self { plan, known: Vec::new(), reached: Vec::new() }
    }

    fn replace_all(&mut self, exprs: &[Expr]) -> Vec<Expr> {
        exprs.iter().map(|expr| self.replace(expr)).collect()
    }

    /// The expression with columns in place of its subqueries.
    fn replace(&mut self, expr: &Expr) -> Expr {
        if !expr.has_subquery() {
            return expr.clone();
        }
        let kind = match &expr.kind {
            ExprKind::Subquery(subquery) => return self.value(subquery, &expr.data_type),
            ExprKind::Case(branches, otherwise) => {
                let before = self.reached.len();
                let mut replaced = Vec::new();
                for (condition, result) in branches {
                    let condition = self.replace(condition);
                    self.reached.push(condition.clone());
                    let result = self.replace(result);
                    self.reached.pop();
                    self.reached.push(is_not_true(&condition));
                    replaced.push((condition, result));
                }
                let otherwise = self.replace(otherwise);
                self.reached.truncate(before);
                ExprKind::Case(replaced, Box::new(otherwise))
            }
            ExprKind::Coalesce(list) => {
                let before = self.reached.len();
                let mut replaced = Vec::new();
                for item in list {
                    let item = self.replace(item);
                    let is_null = ExprKind::IsNull(Box::new(item.clone()));
                    self.reached.push(Expr::new(is_null, DataType::Boolean));
                    replaced.push(item);
                }
                self.reached.truncate(before);
                ExprKind::Coalesce(replaced)
            }
            _ => {
                let each: Result<Expr, std::convert::Infallible> =
                    expr.try_map_operands(&mut |operand| Ok(self.replace(operand)));
                match each {
                    Ok(expr) => return expr,
                }
            }
        };
        Expr::new(kind, expr.data_type.clone())
    }

    /// What a subquery gives, as an expression over the plan with the columns that it needs.
    fn value(&mut self, subquery: &Subquery, data_type: &DataType) -> Expr {
        let subquery = subquery.map_operands(&mut |operand| self.replace(operand));
        let known = self.known.iter().find(|(known, reached, _)| {
            *known == subquery && (reached.is_empty() || *reached == self.reached)
        });
        if let Some((_, _, value)) = known {
            return value.clone();
        }
        let value = match &subquery.kind {
            SubqueryKind::Exists => self.mark(&subquery, subquery.plan.clone(), &|_| Expr::always()),
            SubqueryKind::Scalar => {
                let always = |_: usize| Expr::always();
                let place = self.beside(JoinKind::Single, &subquery, subquery.plan.clone(), &always);
                Expr::column(place, data_type.clone())
            }
            SubqueryKind::Any { comparison, operands, nullable } => {
                let found = self.mark(&subquery, subquery.plan.clone(), &|width| {
                    comparison_on(*comparison, operands, &subquery.plan, width)
                });
                if *nullable { self.or_unknown(&subquery, found) } else { found }
            }
        };
        self.known.push((subquery, self.reached.clone(), value.clone()));
        value
    }

    /// TRUE where a match was found, else NULL where a comparison is NULL, else FALSE.
    fn or_unknown(&mut self, subquery: &Subquery, found: Expr) -> Expr {
        let unknowns: Vec<Expr> = unknown(subquery)
            .into_iter()
            .map(|(plan, on)| self.mark(subquery, plan, &|width| on(width)))
            .collect();
        let truth = |value| Expr::literal(value, DataType::Boolean);
        let any = Expr::new(ExprKind::Or(unknowns), DataType::Boolean);
        let branches = vec![(found, truth(Value::Boolean(true))), (any, truth(Value::Null))];
        Expr::new(ExprKind::Case(branches, Box::new(truth(Value::Boolean(false)))), DataType::Boolean)
    }

    /// Applies a condition that is no more than EXISTS, IN or their negation; says whether it was one.
    fn test(&mut self, condition: &Expr) -> bool {
        let (subquery, kind) = match &condition.kind {
            ExprKind::Subquery(subquery) => (subquery, JoinKind::Semi),
            ExprKind::Not(inner) => match &inner.kind {
                ExprKind::Subquery(subquery) => (subquery, JoinKind::Anti),
                _ => return false,
            },
            _ => return false,
        };
        if subquery.operands().any(Expr::has_subquery) {
            return false;
        }
        match &subquery.kind {
            SubqueryKind::Scalar => return false,
            SubqueryKind::Exists => {
                self.beside(kind, subquery, subquery.plan.clone(), &|_| Expr::always());
            }
            SubqueryKind::Any { comparison, operands, nullable } => {
                self.beside(kind, subquery, subquery.plan.clone(), &|width| {
                    comparison_on(*comparison, operands, &subquery.plan, width)
                });
                if kind == JoinKind::Anti && *nullable {
                    // Neither TRUE nor NULL: no row may leave the comparison open.
                    for (plan, on) in unknown(subquery) {
                        self.beside(kind, subquery, plan, &|width| on(width));
                    }
                }
            }
        }
        true
    }

    fn mark(&mut self, subquery: &Subquery, plan: Plan, on: &dyn Fn(usize) -> Expr) -> Expr {
        let place = self.beside(JoinKind::Mark, subquery, plan, on);
        Expr::column(place, DataType::Boolean)
    }

    /// Joins a subquery's rows, and gives the place of the first column that this adds. `on` is the join's
    /// condition for a left side of so many columns.
    fn beside(
        &mut self,
        kind: JoinKind,
        subquery: &Subquery,
        plan: Plan,
        on: &dyn Fn(usize) -> Expr,
    ) -> usize {
        let left = std::mem::replace(&mut self.plan, Plan::UnionAll { inputs: Vec::new() });
        let mut right = unnest(plan);
        // What can fail itself is no guard: it would fail for more rows.
        let reached: Vec<Expr> = self.reached.iter().filter(|expr| !can_fail(expr)).cloned().collect();
        let mut read = subquery.outer.clone();
        if !reached.is_empty() && pull(&right).is_none() {
            // The right side is computed for the values that are asked for, and for NULLs.
            for outer in &mut read {
                let nothing = Expr::literal(Value::Null, outer.data_type.clone());
                let branches = vec![(Expr::all(reached.clone()), outer.clone())];
                *outer = Expr::new(ExprKind::Case(branches, Box::new(nothing)), outer.data_type.clone());
            }
        }
        let (left, outer) = with_columns(left, &read);
        let width = left.types().len();
        let on = Expr::all(on(width).conjuncts().into_iter().chain(reached).collect());
        if on.columns().iter().all(|place| *place < width) && !kind.has_right_columns() {
            right = bare(right);
        }
        self.plan = correlate(kind, left, right, outer, on);
        width
    }
}

fn is_not_true(condition: &Expr) -> Expr {
    let truth = Box::new(Expr::literal(Value::Boolean(true), DataType::Boolean));
    let is_true = ExprKind::IsNotDistinct(Box::new(condition.clone()), truth);
    let is_true = Expr::new(is_true, DataType::Boolean);
    Expr::new(ExprKind::Not(Box::new(is_true)), DataType::Boolean)
}

/// `a op x`, or `a = x AND b = y …`, over a left side of `width` columns and the subquery's columns behind it.
fn comparison_on(comparison: Comparison, operands: &[Expr], plan: &Plan, width: usize) -> Expr {
    let types = plan.types();
    let each = operands.iter().zip(types).enumerate().map(|(place, (operand, data_type))| {
        let column = Box::new(Expr::column(width + place, data_type));
        Expr::new(ExprKind::Compare(comparison, Box::new(operand.clone()), column), DataType::Boolean)
    });
    Expr::all(each.collect())
}

/// The ways in which a comparison with a subquery's rows can be NULL: each a plan and a condition, such that it is
/// NULL or TRUE for a row of the subquery if and only if a row of one of the plans satisfies its condition.
type Unknown<'a> = (Plan, Box<dyn Fn(usize) -> Expr + 'a>);

fn unknown(subquery: &Subquery) -> Vec<Unknown<'_>> {
    let SubqueryKind::Any { comparison, operands, .. } = &subquery.kind else { return Vec::new() };
    let is_null = |expr: Expr| Expr::new(ExprKind::IsNull(Box::new(expr)), DataType::Boolean);
    let types = subquery.plan.types();
    if let ([operand], [data_type]) = (&operands[..], &types[..]) {
        let column = is_null(Expr::column(0, data_type.clone()));
        let null_rows = filtered(subquery.plan.clone(), vec![column]);
        let null_operand = is_null(operand.clone());
        return vec![
            (null_rows, Box::new(|_| Expr::always())),
            (subquery.plan.clone(), Box::new(move |_| null_operand.clone())),
        ];
    }
    let not_false = move |width: usize| {
        let found = comparison_on(*comparison, operands, &subquery.plan, width);
        let is_false = ExprKind::IsNotDistinct(
            Box::new(found),
            Box::new(Expr::literal(Value::Boolean(false), DataType::Boolean)),
        );
        let is_false = Expr::new(is_false, DataType::Boolean);
        Expr::new(ExprKind::Not(Box::new(is_false)), DataType::Boolean)
    };
    vec![(subquery.plan.clone(), Box::new(not_false))]
}

/// The plan with the expressions among its columns, and their places.
pub fn with_columns(plan: Plan, exprs: &[Expr]) -> (Plan, Vec<usize>) {
    let types = plan.types();
    let mut all: Vec<Expr> =
        types.into_iter().enumerate().map(|(place, data_type)| Expr::column(place, data_type)).collect();
    let width = all.len();
    let places = exprs
        .iter()
        .map(|expr| {
            all.iter().position(|other| other.kind == expr.kind).unwrap_or_else(|| {
                all.push(expr.clone());
                all.len() - 1
            })
        })
        .collect();
    if all.len() == width {
        return (plan, places);
    }
    (Plan::Project { input: Box::new(plan), exprs: all }, places)
}

/// A plan that has rows when the given one has, for who asks nothing more.
fn bare(plan: Plan) -> Plan {
    match plan {
        Plan::Project { input, .. } | Plan::Distinct { input } => bare(*input),
        Plan::TopK { input, limit: Some(limit), offset: None, .. }
            if matches!(limit.kind, ExprKind::Literal(Value::Integer(1..))) =>
        {
            bare(*input)
        }
        plan => plan,
    }
}

/// A join whose right side reads `outer` columns of the left one: an ordinary join where only conditions do.
fn correlate(kind: JoinKind, left: Plan, right: Plan, outer: Vec<usize>, on: Expr) -> Plan {
    if outer.is_empty() {
        return Plan::Join { kind, left: Box::new(left), right: Box::new(right), outer, on };
    }
    let types = left.types();
    if let Some((right, conditions)) = pull(&right) {
        let moved = conditions.iter().map(|condition| {
            move_columns(condition, |place| place + types.len()).map_leaves(&mut |leaf| match leaf.kind {
                ExprKind::Outer(place) => Some(Expr::column(outer[place], leaf.data_type.clone())),
                _ => None,
            })
        });
        let on = Expr::all(on.conjuncts().into_iter().chain(moved).collect());
        let (left, right) = (Box::new(left), Box::new(right));
        return Plan::Join { kind, left, right, outer: Vec::new(), on };
    }
    Plan::Join { kind, left: Box::new(left), right: Box::new(right), outer, on }
}

/// Whether a plan reads outer columns of the dependent join around it.
pub(crate) fn reads_outer(plan: &Plan) -> bool {
    let own = plan.expressions().into_iter().any(Expr::has_outer);
    own || match plan {
        // Beneath a dependent join outer columns are its own.
        Plan::Join { left, right, outer, .. } => {
            reads_outer(left) || (outer.is_empty() && reads_outer(right))
        }
        plan => plan.inputs().into_iter().any(reads_outer),
    }
}

/// A plan without outer columns, and the conditions over its columns that had them. It has the columns of the given
/// plan, and others behind them that the conditions need. None where outer columns are read otherwise.
///
/// Nothing that can fail is passed: it would meet rows that the conditions keep from it.
fn pull(plan: &Plan) -> Option<(Plan, Vec<Expr>)> {
    if !reads_outer(plan) {
        return Some((plan.clone(), Vec::new()));
    }
    match plan {
        Plan::Filter { input, predicate } if !can_fail(predicate) => {
            let (input, mut conditions) = pull(input)?;
            let all = predicate.clone().conjuncts();
            let (outer, own): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(Expr::has_outer);
            conditions.extend(outer);
            Some((filtered(input, own), conditions))
        }
        Plan::Project { input, exprs } if !exprs.iter().any(|expr| can_fail(expr) || expr.has_outer()) => {
            let (input, conditions) = pull(input)?;
            let mut exprs = exprs.clone();
            let conditions = conditions
                .iter()
                .map(|condition| {
                    condition.map_leaves(&mut |leaf| {
                        matches!(leaf.kind, ExprKind::Column(_)).then(|| {
                            let known = exprs.iter().position(|expr| expr == leaf);
                            let place = known.unwrap_or_else(|| {
                                exprs.push(leaf.clone());
                                exprs.len() - 1
                            });
                            Expr::column(place, leaf.data_type.clone())
                        })
                    })
                })
                .collect();
            Some((Plan::Project { input: Box::new(input), exprs }, conditions))
        }
        Plan::Join { kind, left, right, outer, on } if !can_fail(on) => {
            pull_join(*kind, left, right, outer, on)
        }
        _ => None,
    }
}

fn pull_join(
    kind: JoinKind,
    left: &Plan,
    right: &Plan,
    outer: &[usize],
    on: &Expr,
) -> Option<(Plan, Vec<Expr>)> {
    let inner = kind == JoinKind::Inner;
    // What the right side of an outer join lacks would be NULLs, not rows that a condition above may judge.
    let only_left = outer.is_empty() && reads_outer(right) || on.has_outer();
    if kind == JoinKind::Full || (only_left && !inner) {
        return None;
    }
    let (left_width, right_width) = (left.types().len(), right.types().len());
    let (left, mut conditions) = pull(left)?;
    let (right, right_conditions) =
        if inner && outer.is_empty() { pull(right)? } else { (right.clone(), Vec::new()) };
    let left_extra = left.types().len() - left_width;
    let right_extra = right.types().len() - right_width;
    let beside = |place: usize| if place < left_width { place } else { place + left_extra };
    let behind_left = |place: usize| place + left_width + left_extra;
    let (of_outer, own): (Vec<Expr>, Vec<Expr>) =
        move_columns(on, beside).conjuncts().into_iter().partition(Expr::has_outer);
    conditions.extend(right_conditions.iter().map(|condition| move_columns(condition, behind_left)));
    conditions.extend(of_outer);
    let joined = Plan::Join {
        kind,
        left: Box::new(left),
        right: Box::new(right),
        outer: outer.to_vec(),
        on: Expr::all(own),
    };
    // The columns that were there come first again.
    let types = joined.types();
    let added = types.len() - left_width - left_extra;
    let shown = added - if kind.has_right_columns() { right_extra } else { 0 };
    let start = left_width + left_extra;
    let order: Vec<usize> = (0..left_width)
        .chain(start..start + shown)
        .chain(left_width..start)
        .chain(start + shown..start + added)
        .collect();
    let exprs: Vec<Expr> = order.iter().map(|place| Expr::column(*place, types[*place].clone())).collect();
    let now =
        |place: usize| order.iter().position(|old| *old == place).expect("invariant: every column is kept");
    let conditions = conditions.iter().map(|condition| move_columns(condition, now)).collect();
    Some((Plan::Project { input: Box::new(joined), exprs }, conditions))
}

/// A semijoin on equalities alone as an inner join with the distinct values of the right side: for a right side that
/// depends on parameters where the left one does not, so that the parameters come from the few and not to the many.
pub(crate) fn semijoin_as_join(left: &Plan, right: &Plan, on: &Expr) -> Option<Plan> {
    let width = left.types().len();
    let mut columns: Vec<Expr> = Vec::new();
    let mut conditions = Vec::new();
    let types = right.types();
    for condition in on.clone().conjuncts() {
        let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return None };
        let of_right = |expr: &Expr| !expr.columns().is_empty() && expr.columns().iter().all(|c| *c >= width);
        let of_left = |expr: &Expr| !expr.columns().is_empty() && expr.columns().iter().all(|c| *c < width);
        let (l, r) = if of_left(a) && of_right(b) {
            (a, b)
        } else if of_left(b) && of_right(a) {
            (b, a)
        } else {
            return None;
        };
        if can_fail(&condition) {
            return None;
        }
        let own: Vec<Expr> = types.iter().enumerate().map(|(p, t)| Expr::column(p, t.clone())).collect();
        let value = substitute(&move_columns(r, |place| place - width), &own);
        let column = Box::new(Expr::column(width + columns.len(), value.data_type.clone()));
        columns.push(value);
        let equal = ExprKind::Compare(Comparison::Eq, l.clone(), column);
        conditions.push(Expr::new(equal, DataType::Boolean));
    }
    if columns.is_empty() {
        return None;
    }
    let values = Plan::Project { input: Box::new(right.clone()), exprs: columns };
    let join = Plan::Join {
        kind: JoinKind::Inner,
        left: Box::new(left.clone()),
        right: Box::new(Plan::Distinct { input: Box::new(values) }),
        outer: Vec::new(),
        on: Expr::all(conditions),
    };
    Some(kept(join, width))
}
