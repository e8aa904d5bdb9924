//! Names, three-valued logic, short circuits.

use deltaic_types::{DataType, EvalError, Row, Value};

use super::*;
use crate::expression::Comparison;

const TRUTHS: [Option<bool>; 3] = [Some(true), Some(false), None];

fn truth(value: Option<bool>) -> Expr {
    Expr::literal(boolean(value), DataType::Boolean)
}

fn at(expr: &Expr, values: &[Value]) -> Result<Value, EvalError> {
    evaluate(expr, &Row::from(values.to_vec()))
}

fn compare(op: Comparison, a: Expr, b: Expr) -> Expr {
    Expr::new(ExprKind::Compare(op, Box::new(a), Box::new(b)), DataType::Boolean)
}

fn integer(n: i64) -> Expr {
    Expr::literal(Value::Integer(n), DataType::Integer)
}

/// `1 / #0 = 1`
fn division() -> Expr {
    let divide = ExprKind::Call(Function::Divide, vec![integer(1), Expr::column(0, DataType::Integer)]);
    compare(Comparison::Eq, Expr::new(divide, DataType::Integer), integer(1))
}

#[test]
fn logic_is_three_valued() {
    for a in TRUTHS {
        let not = Expr::new(ExprKind::Not(Box::new(truth(a))), DataType::Boolean);
        assert_eq!(at(&not, &[]).unwrap(), boolean(a.map(|a| !a)));
        for b in TRUTHS {
            let list = vec![truth(a), truth(b)];
            let and = Expr::new(ExprKind::And(list.clone()), DataType::Boolean);
            let or = Expr::new(ExprKind::Or(list), DataType::Boolean);
            let expected_and = match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let expected_or = match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            assert_eq!(at(&and, &[]).unwrap(), boolean(expected_and), "{a:?} AND {b:?}");
            assert_eq!(at(&or, &[]).unwrap(), boolean(expected_or), "{a:?} OR {b:?}");
            // The same through columns, which are compiled otherwise.
            let columns: Vec<Expr> = (0..2).map(|place| Expr::column(place, DataType::Boolean)).collect();
            let and = Expr::new(ExprKind::And(columns), DataType::Boolean);
            assert_eq!(at(&and, &[boolean(a), boolean(b)]).unwrap(), boolean(expected_and));
        }
    }
}

#[test]
fn every_comparison_knows_null() {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let column = |place| Expr::column(place, DataType::Integer);
    for op in [Eq, Ne, Lt, Le, Gt, Ge] {
        for (a, b) in [(1, 2), (2, 2), (3, 2)] {
            let expected = Value::Boolean(op.holds(a.cmp(&b)));
            let row = [Value::Integer(a), Value::Integer(b)];
            for expr in [
                compare(op, column(0), column(1)),
                compare(op, column(0), integer(b)),
                compare(op, integer(a), column(1)),
            ] {
                assert_eq!(at(&expr, &row).unwrap(), expected, "{a} {op:?} {b}");
                assert_eq!(at(&expr, &[Value::Null, Value::Null]).unwrap(), Value::Null);
            }
        }
    }
}

#[test]
fn an_error_counts_only_where_it_is_reached() {
    let chain = |kind: fn(Vec<Expr>) -> ExprKind, list| Expr::new(kind(list), DataType::Boolean);
    let zero = [Value::Integer(0)];
    let error = Err(EvalError::DivisionByZero);
    assert_eq!(
        at(&chain(ExprKind::And, vec![truth(Some(false)), division()]), &zero),
        Ok(Value::Boolean(false))
    );
    assert_eq!(at(&chain(ExprKind::And, vec![division(), truth(Some(false))]), &zero), error);
    assert_eq!(at(&chain(ExprKind::And, vec![truth(None), division()]), &zero), error);
    assert_eq!(
        at(&chain(ExprKind::Or, vec![truth(Some(true)), division()]), &zero),
        Ok(Value::Boolean(true))
    );
    assert_eq!(at(&chain(ExprKind::Or, vec![division(), truth(Some(true))]), &zero), error);
    let case = ExprKind::Case(vec![(truth(Some(true)), integer(1))], Box::new(division()));
    assert_eq!(at(&Expr::new(case, DataType::Integer), &zero), Ok(Value::Integer(1)));
    let coalesce = ExprKind::Coalesce(vec![truth(Some(true)), division()]);
    assert_eq!(at(&Expr::new(coalesce, DataType::Boolean), &zero), Ok(Value::Boolean(true)));
}

#[test]
fn names_say_everything_that_matters() {
    let name = |expr: &Expr| compile(expr, &|column| (column / 10, column % 10)).name().to_owned();
    let column = |place, data_type| Expr::column(place, data_type);
    let sum = |data_type: DataType| {
        let args = vec![column(1, data_type.clone()), Expr::literal(Value::Integer(1), data_type.clone())];
        Expr::new(ExprKind::Call(Function::Add, args), data_type)
    };
    assert_eq!(name(&column(12, DataType::Text)), "#1.2");
    assert_eq!(name(&sum(DataType::Integer)), "integer(#0.1 + 1)");
    assert_eq!(name(&sum(DataType::Smallint)), "smallint(#0.1 + 1)");
    assert_eq!(name(&sum(DataType::Bigint)), "(#0.1 + 1)");
    let open = compare(
        Comparison::Eq,
        column(10, DataType::Text),
        Expr::literal(Value::from("o'pen"), DataType::Text),
    );
    let both = Expr::new(ExprKind::And(vec![open, division()]), DataType::Boolean);
    assert_eq!(name(&both), "((#1.0 = 'o''pen') AND (integer(1 / #0.0) = 1))");
    let cast = Expr::new(ExprKind::Cast(Box::new(column(0, DataType::Text))), DataType::Date);
    assert_eq!(name(&cast), "#0.0::date");
    let length =
        Expr::new(ExprKind::Call(Function::Length, vec![column(0, DataType::Text)]), DataType::Integer);
    assert_eq!(name(&length), "length(#0.0)");
    let list = Expr::new(
        ExprKind::InList(Box::new(column(0, DataType::Integer)), vec![integer(1), integer(2)]),
        DataType::Boolean,
    );
    assert_eq!(name(&list), "(#0.0 IN (1, 2))");
}

#[test]
fn a_parameter_that_is_left_is_an_error() {
    let parameter = Expr::new(ExprKind::Parameter(0), DataType::Integer);
    assert!(matches!(at(&parameter, &[]), Err(EvalError::InvalidArgument { .. })));
    assert_eq!(compile(&parameter, &|column| (0, column)).name(), "$1");
}

#[test]
fn results_are_bounded_before_they_are_built() {
    let text = Expr::column(0, DataType::Text);
    let times = Expr::column(1, DataType::Integer);
    let huge = [Value::from("x"), Value::Integer(i64::from(i32::MAX))];
    for function in [Function::Repeat, Function::Lpad, Function::Rpad] {
        let call = Expr::new(ExprKind::Call(function, vec![text.clone(), times.clone()]), DataType::Text);
        assert!(matches!(at(&call, &huge), Err(EvalError::ValueTooLong { .. })), "{function:?}");
    }
}
