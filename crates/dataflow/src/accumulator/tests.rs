//! Each function's value is one of the multiset: whatever came and went, it equals a fresh one's to the bit.

use proptest::prelude::*;

use super::*;
use crate::{index::KeyColumn, scalar::Scalar};

/// What the arguments of a function are made of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Integer,
    Numeric,
    Double,
    Boolean,
    Text,
    Json,
}

fn functions() -> Vec<(AggregateFunction, Kind)> {
    use AggregateFunction as F;
    use Kind as K;
    let mut all = vec![
        (F::Count, K::Text),
        (F::SumInteger, K::Integer),
        (F::SumBigint, K::Integer),
        (F::SumNumeric, K::Numeric),
        (F::SumDouble, K::Double),
        (F::AvgInteger, K::Integer),
        (F::AvgNumeric, K::Numeric),
        (F::AvgDouble, K::Double),
        (F::Min, K::Text),
        (F::Max, K::Double),
        (F::BoolAnd, K::Boolean),
        (F::BoolOr, K::Boolean),
        (F::Gather(Gathering::Array), K::Double),
        (F::Gather(Gathering::Text), K::Text),
        (F::Gather(Gathering::JsonArray), K::Json),
        (F::Gather(Gathering::JsonObject), K::Text),
        (F::Rank(Rank::Discrete), K::Text),
        (F::Rank(Rank::Continuous), K::Double),
        (F::Rank(Rank::Mode), K::Integer),
    ];
    all.extend([Bitwise::And, Bitwise::Or, Bitwise::Xor].map(|bits| (F::Bits(bits), K::Integer)));
    for (double, kind) in [(false, K::Integer), (false, K::Numeric), (true, K::Double)] {
        for (sample, root) in [(false, false), (false, true), (true, false), (true, true)] {
            all.push((F::Dispersion(Dispersion { double, sample, root }), kind));
        }
    }
    all
}

/// A number in each form; few, so that equal ones meet, and some that cancel or overflow.
fn value(kind: Kind, n: i8) -> Value {
    if n % 7 == 6 {
        return Value::Null;
    }
    match kind {
        Kind::Integer if n == 100 => Value::Integer(i64::MAX),
        Kind::Integer => Value::Integer(i64::from(n)),
        Kind::Numeric => Value::numeric(format!("{n}.25").parse().unwrap()),
        Kind::Double => Value::double(match n {
            100 => f64::INFINITY,
            101 => f64::NAN,
            102 => 1e300,
            103 => 1e-300,
            104 => 0.1,
            n => f64::from(n) * 1e15 / 3.0,
        }),
        Kind::Boolean => Value::Boolean(n % 2 == 0),
        Kind::Text => Value::from(format!("{n}")),
        Kind::Json => Value::json(deltaic_types::Json::Number(i64::from(n).into())),
    }
}

fn call(function: AggregateFunction, distinct: bool, descending: bool) -> AggregateCall {
    let first = KeyColumn { column: 2, descending, nulls_first: descending };
    let second = KeyColumn { column: 0, descending: !descending, nulls_first: false };
    let order = match function {
        AggregateFunction::Rank(_) => vec![KeyColumn { column: 0, ..first }],
        AggregateFunction::Gather(_) => vec![first, second],
        _ => Vec::new(),
    };
    AggregateCall {
        function,
        arguments: (0..3).map(|column| Scalar::column(0, column)).collect(),
        order,
        direct: Some(Scalar::column(0, 0)),
        distinct,
        filter: None,
    }
}

fn row(function: AggregateFunction, kind: Kind, (n, m): (i8, i8)) -> Row {
    let second = match function {
        AggregateFunction::Gather(Gathering::JsonObject) => value(Kind::Json, m),
        _ => value(Kind::Text, m),
    };
    Row::from_iter([value(kind, n), second, Value::Integer(i64::from(m) / 3)])
}

/// The state after some changes; rows that fail or bring nothing are left out.
fn state(call: &AggregateCall, rows: impl Iterator<Item = (Row, Weight)>) -> Argument {
    let mut argument = Argument::new(call);
    for (row, weight) in rows {
        if let Ok(brought) = call.brought(std::slice::from_ref(&row)) {
            argument.add(&brought, weight);
        }
    }
    argument
}

/// The value as text that tells the bits of doubles.
fn read(argument: &Argument, call: &AggregateCall, fraction: f64) -> String {
    format!("{:?}", argument.value(call, &Row::from_iter([Value::double(fraction)])))
}

proptest! {
    #[test]
    fn a_value_is_one_of_the_multiset(
        kept in proptest::collection::vec(((-9_i8..105, 0_i8..12), 1_i64..4), 0..9),
        passing in proptest::collection::vec(((-9_i8..105, 0_i8..12), 1_i64..4), 0..9),
        fraction in prop_oneof![Just(0.0), Just(0.5), Just(1.0), 0.0..1.0, Just(1.5)],
        flags in any::<(bool, bool)>(),
    ) {
        for (function, kind) in functions() {
            let call = call(function, flags.0, flags.1);
            let rows = |list: &[((i8, i8), Weight)]| -> Vec<(Row, Weight)> {
                list.iter().map(|(n, weight)| (row(function, kind, *n), *weight)).collect()
            };
            let (kept, passing) = (rows(&kept), rows(&passing));
            let gone: Vec<(Row, Weight)> = passing.iter().map(|(row, weight)| (row.clone(), -weight)).collect();
            let mixed: Vec<(Row, Weight)> = [passing, kept.clone(), gone].concat();
            let live = state(&call, mixed.clone().into_iter());
            let fresh = state(&call, kept.clone().into_iter().rev());
            prop_assert_eq!(
                read(&live, &call, fraction),
                read(&fresh, &call, fraction),
                "{:?} {:?}", function, kept
            );
            // When everything has left, nothing of it is left.
            let taken = kept.into_iter().map(|(row, weight)| (row, -weight));
            let empty = state(&call, mixed.into_iter().chain(taken));
            let new = state(&call, std::iter::empty());
            prop_assert_eq!(read(&empty, &call, fraction), read(&new, &call, fraction), "{:?}", function);
            if call.function.takes_rows() {
                prop_assert_eq!(empty.heap_bytes(), new.heap_bytes());
            }
        }
    }

    /// The variance of whole doubles is that of the same decimals, to the last bit but one.
    #[test]
    fn variances_of_doubles_and_of_decimals_agree(
        numbers in proptest::collection::vec(any::<i32>(), 2..20),
        sample in any::<bool>(),
        shift in -40_i32..40,
    ) {
        let scale = 2_f64.powi(shift);
        let (mut double, mut decimal) = (Moments::new(true), Moments::new(false));
        for n in &numbers {
            double.add(&Value::double(f64::from(*n) * scale), 1);
            decimal.add(&Value::Integer(i64::from(*n)), 1);
        }
        let dispersion = Dispersion { double: true, sample, root: false };
        let Value::Double(found) = double.value(dispersion).unwrap() else { panic!() };
        let Value::Numeric(expected) = decimal.value(dispersion).unwrap() else { panic!() };
        let expected = expected.to_f64() * scale * scale;
        prop_assert!((found.get() - expected).abs() <= expected * 1e-15, "{} {expected}", found.get());
    }
}

#[test]
fn what_cancels_in_a_variance_is_exact() {
    let mut moments = Moments::new(true);
    for x in [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0] {
        moments.add(&Value::double(x), 1);
    }
    let variance = moments.value(Dispersion { double: true, sample: true, root: false });
    assert_eq!(variance, Ok(Value::double(30.0)));
    // The squares of these are no doubles; their variance is.
    let mut tiny = Moments::new(true);
    tiny.add(&Value::double(1e-160), 1);
    tiny.add(&Value::double(3e-160), 1);
    let variance = tiny.value(Dispersion { double: true, sample: false, root: true });
    assert!(matches!(variance, Ok(Value::Double(x)) if x.get() > 0.0), "{variance:?}");
    let mut large = Moments::new(true);
    large.add(&Value::double(1e200), 1);
    large.add(&Value::double(3e200), 1);
    let variance = large.value(Dispersion { double: true, sample: false, root: false });
    assert_eq!(variance, Err(EvalError::DoubleOutOfRange));
}

#[test]
fn a_collection_beyond_the_longest_value_is_an_error_until_it_shrinks() {
    let call = call(AggregateFunction::Gather(Gathering::Text), false, false);
    let long = Row::from_iter([Value::from("x".repeat(1 << 20)), Value::from(","), Value::Null]);
    let mut argument = Argument::new(&call);
    argument.add(&Brought::Row(long.clone()), 9);
    let key = Row::from_iter([Value::Null]);
    let limit = deltaic_types::limits::VALUE_BYTES;
    assert_eq!(argument.value(&call, &key), Err(EvalError::ValueTooLong { limit }));
    argument.add(&Brought::Row(long), -8);
    assert!(argument.value(&call, &key).is_ok());
}

#[test]
fn an_order_that_fails_fails_where_the_value_is_null() {
    let mut call = call(AggregateFunction::Gather(Gathering::Text), false, false);
    call.arguments[2] = Scalar::function("1 / 0", |_| Err(EvalError::DivisionByZero));
    let row = Row::from_iter([Value::Null, Value::Null]);
    assert!(matches!(call.brought(&[row]), Err(EvalError::DivisionByZero)));
}
