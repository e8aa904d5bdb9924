//! The name of a compiled expression: the whole expression, readable and without ambiguity.
//!
//! Invariant: what evaluation depends on is in the name. Values decide for themselves (a double and a numeric
//! print differently) except for the width of whole numbers, which stands before the arithmetic that it
//! bounds (`integer(#0.1 + 1)`), and the target of a cast.

use std::fmt::Write as _;

use deltaic_types::DataType;

use super::Places;
use crate::{
    expression::{Comparison, Expr, ExprKind},
    functions::{Function, SIGNATURES},
};

pub(super) fn name(expr: &Expr, place: Places) -> String {
    let mut text = String::new();
    write(&mut text, expr, place);
    text
}

impl Comparison {
    /// The operator as SQL writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

fn write(text: &mut String, expr: &Expr, place: Places) {
    let infix = |text: &mut String, list: &[Expr], between: &str| {
        text.push('(');
        for (index, item) in list.iter().enumerate() {
            if index > 0 {
                text.push_str(between);
            }
            write(text, item, place);
        }
        text.push(')');
    };
    // Writing to a string cannot fail.
    match &expr.kind {
        ExprKind::Column(column) => {
            let (input, slot) = place(*column);
            let _ = write!(text, "#{input}.{slot}");
        }
        ExprKind::Parameter(number) => {
            let _ = write!(text, "${}", number + 1);
        }
        ExprKind::Outer(place) => {
            let _ = write!(text, "outer.{place}");
        }
        ExprKind::Now => text.push_str("now()"),
        ExprKind::Subquery(_) => text.push_str("(subquery)"),
        ExprKind::Literal(value) => {
            let _ = write!(text, "{value:?}");
        }
        ExprKind::And(list) => infix(text, list, " AND "),
        ExprKind::Or(list) => infix(text, list, " OR "),
        ExprKind::Not(operand) => {
            text.push_str("(NOT ");
            write(text, operand, place);
            text.push(')');
        }
        ExprKind::IsNull(operand) => {
            text.push('(');
            write(text, operand, place);
            text.push_str(" IS NULL)");
        }
        ExprKind::IsNotDistinct(a, b) => {
            text.push('(');
            write(text, a, place);
            text.push_str(" IS NOT DISTINCT FROM ");
            write(text, b, place);
            text.push(')');
        }
        ExprKind::Compare(op, a, b) => {
            text.push('(');
            write(text, a, place);
            let _ = write!(text, " {} ", op.symbol());
            write(text, b, place);
            text.push(')');
        }
        ExprKind::InList(operand, list) => {
            text.push('(');
            write(text, operand, place);
            text.push_str(" IN ");
            infix(text, list, ", ");
            text.push(')');
        }
        ExprKind::Case(branches, otherwise) => {
            text.push_str("CASE");
            for (when, then) in branches {
                text.push_str(" WHEN ");
                write(text, when, place);
                text.push_str(" THEN ");
                write(text, then, place);
            }
            text.push_str(" ELSE ");
            write(text, otherwise, place);
            text.push_str(" END");
        }
        ExprKind::Coalesce(list) => {
            text.push_str("coalesce");
            infix(text, list, ", ");
        }
        ExprKind::Cast(operand) => {
            write(text, operand, place);
            // What a numeric prints depends on its declared scale.
            if let (DataType::Numeric(Some(_)), DataType::Text) = (&operand.data_type, &expr.data_type) {
                let _ = write!(text, "::{}", operand.data_type);
            }
            let _ = write!(text, "::{}", expr.data_type);
        }
        ExprKind::Call(function, args) => call(text, *function, args, &expr.data_type, place),
    }
}

fn call(text: &mut String, function: Function, args: &[Expr], result: &DataType, place: Places) {
    let bounded = matches!(
        function,
        Function::Negate
            | Function::Add
            | Function::Subtract
            | Function::Multiply
            | Function::Divide
            | Function::Modulo
            | Function::Abs
            | Function::Gcd
            | Function::Lcm
    );
    let narrow = bounded && matches!(result, DataType::Smallint | DataType::Integer);
    if narrow {
        text.push_str(result.name());
    }
    match (function, args) {
        (Function::Negate, [operand]) => {
            text.push_str("(- ");
            write(text, operand, place);
            text.push(')');
        }
        (Function::ArrayAny(op) | Function::ArrayAll(op), [value, array]) => {
            let word = if matches!(function, Function::ArrayAny(_)) { "ANY" } else { "ALL" };
            text.push('(');
            write(text, value, place);
            let _ = write!(text, " {} {word} ", op.symbol());
            write(text, array, place);
            text.push(')');
        }
        (_, [a, b]) if function.symbol().is_some() => {
            text.push('(');
            write(text, a, place);
            let _ = write!(text, " {} ", function.symbol().unwrap_or_default());
            write(text, b, place);
            text.push(')');
        }
        _ => {
            if narrow {
                text.push(' ');
            }
            match SIGNATURES.iter().find(|signature| signature.function == function) {
                Some(signature) => text.push_str(signature.name),
                None => text.push_str(&format!("{function:?}").to_lowercase()),
            }
            text.push('(');
            for (index, arg) in args.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write(text, arg, place);
            }
            text.push(')');
        }
    }
}
