//! Which expressions can fail on some row.
//!
//! A condition that cannot fail may be evaluated anywhere a row passes; one that can stays where the query
//! has it, or rows that the query never looks at would spoil its result. The answer errs on the side of
//! failing.

use deltaic_types::DataType;

use crate::{
    expression::{Expr, ExprKind},
    functions::{Function, Pattern},
    plan::{JoinKind, Plan},
};

/// Whether the expression may give an error instead of a value.
pub(crate) fn can_fail(expr: &Expr) -> bool {
    // What is computed from the time and constants alone has a value in all years that a clock shows.
    if matches!(expr.kind, ExprKind::Call(..) | ExprKind::Cast(_)) && is_of_time_alone(expr) {
        return false;
    }
    let here = match &expr.kind {
        ExprKind::Call(function @ (Function::Like | Function::ILike), args) => {
            constant_pattern(*function, args).is_none_or(|pattern| pattern.can_fail())
        }
        ExprKind::Call(function, _) => !function.is_total(),
        ExprKind::Cast(inner) => {
            let has_text = expr.data_type == DataType::Text && inner.data_type.is_number();
            !has_text && !widens(&inner.data_type, &expr.data_type)
        }
        ExprKind::Subquery(_) => true,
        _ => false,
    };
    here || expr.operands().into_iter().any(can_fail)
}

fn is_of_time_alone(expr: &Expr) -> bool {
    expr.reads_time()
        && match &expr.kind {
            ExprKind::Now | ExprKind::Literal(_) => true,
            ExprKind::Cast(_)
            | ExprKind::Call(Function::Add | Function::Subtract | Function::DateTrunc, _) => {
                let constant = |operand: &&Expr| matches!(operand.kind, ExprKind::Literal(_));
                expr.operands().iter().all(|operand| constant(operand) || is_of_time_alone(operand))
            }
            _ => false,
        }
}

/// The pattern of a LIKE in which it is constant and can be read.
pub(crate) fn constant_pattern(function: Function, args: &[Expr]) -> Option<Pattern> {
    let constant = |expr: &'_ Expr| match &expr.kind {
        ExprKind::Literal(value) if !value.is_null() => Some(value.clone()),
        _ => None,
    };
    let constants: Vec<_> = args.get(1..)?.iter().map(constant).collect::<Option<_>>()?;
    Pattern::read(function, &constants.iter().collect::<Vec<_>>()).ok()
}

/// Whether computing the plan may give an error beside its rows.
pub(crate) fn plan_can_fail(plan: &Plan) -> bool {
    matches!(plan, Plan::Join { kind: JoinKind::Single, .. })
        || plan.expressions().into_iter().any(can_fail)
        || plan.inputs().into_iter().any(plan_can_fail)
}

/// Whether every value of the first type is one of the second.
fn widens(from: &DataType, to: &DataType) -> bool {
    let rank = |data_type: &DataType| match data_type {
        DataType::Smallint => Some(0),
        DataType::Integer => Some(1),
        DataType::Bigint => Some(2),
        DataType::Numeric(None) => Some(3),
        _ => None,
    };
    match (rank(from), rank(to)) {
        (Some(from), Some(to)) => from <= to,
        _ => from == to || (from.is_integer() && *to == DataType::Double),
    }
}

/// The column under casts that keep the value equal, if the expression is no more than that.
pub(crate) fn plain_column(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        ExprKind::Column(place) => Some(*place),
        // Values of these types compare exactly across the types, so an index finds them as they are.
        ExprKind::Cast(inner)
            if widens(&inner.data_type, &expr.data_type) && expr.data_type != DataType::Double =>
        {
            plain_column(inner)
        }
        _ => None,
    }
}
