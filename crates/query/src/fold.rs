//! Folding: nodes whose operands are constants become constants as they are made.
//!
//! Invariant: what cannot be evaluated stays as it is, so an error is met where and when evaluation reaches it.

use deltaic_types::{DataType, Row, Value};

use crate::{
    compile::evaluate,
    expression::{Expr, ExprKind},
    functions::Function,
};

/// The expression, evaluated if it depends on nothing and evaluates without an error.
pub fn fold(expr: Expr) -> Expr {
    let constant = |operand: &&Expr| matches!(operand.kind, ExprKind::Literal(_));
    let leaf = matches!(
        expr.kind,
        ExprKind::Literal(_)
            | ExprKind::Column(_)
            | ExprKind::Parameter(_)
            | ExprKind::Outer(_)
            | ExprKind::Now
            | ExprKind::Subquery(_)
    );
    if leaf || !expr.operands().iter().all(constant) {
        return expr;
    }
    match evaluate(&expr, &Row::empty()) {
        Ok(value) => Expr::literal(value, expr.data_type),
        Err(_) => expr,
    }
}

/// A cast node, folded.
pub fn cast_node(expr: Expr, to: &DataType) -> Expr {
    if expr.data_type == *to {
        return expr;
    }
    if let ExprKind::Literal(Value::Null) = expr.kind {
        return Expr::literal(Value::Null, to.clone());
    }
    fold(Expr::new(ExprKind::Cast(Box::new(expr)), to.clone()))
}

/// A call of a function, folded.
pub fn call_node(function: Function, args: Vec<Expr>, data_type: DataType) -> Expr {
    fold(Expr::new(ExprKind::Call(function, args), data_type))
}

/// A boolean node, folded.
pub fn truth_node(kind: ExprKind) -> Expr {
    fold(Expr::new(kind, DataType::Boolean))
}

/// NOT, folded.
pub fn not(expr: Expr) -> Expr {
    truth_node(ExprKind::Not(Box::new(expr)))
}
