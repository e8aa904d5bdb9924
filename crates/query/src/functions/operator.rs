//! Arithmetic operators: the types that they turn their operands into, and the types of their results.
//!
//! Invariant: a result's type is that of the node that calls the function, and says the width of whole numbers.

use deltaic_types::DataType;

use super::Function;
use crate::coercion::common_type;

/// The type that an unknown operand takes beside a known one.
pub fn partner(function: Function, known: &DataType, known_is_right: bool) -> DataType {
    match (function, known) {
        (Function::Add, DataType::Timestamptz | DataType::Interval | DataType::Date) => DataType::Interval,
        (Function::Subtract, DataType::Interval) if known_is_right => DataType::Timestamptz,
        (Function::Multiply | Function::Divide, DataType::Interval) => DataType::Double,
        (Function::Subtract, DataType::Jsonb) => DataType::Text,
        _ => known.clone(),
    }
}

/// The types that an arithmetic operator turns its operands into, and the type of its result.
pub fn arithmetic(function: Function, a: &DataType, b: &DataType) -> Option<(DataType, DataType, DataType)> {
    use DataType::{Date, Double, Integer, Interval, Timestamptz};
    if a.is_number() && b.is_number() {
        let common = match common_type(a, b)? {
            DataType::Numeric(_) => DataType::NUMERIC,
            // `^` of whole numbers is that of doubles.
            common if function == Function::Power && common.is_integer() => Double,
            common => common,
        };
        let defined = match function {
            Function::Modulo => common != Double,
            Function::BitAnd | Function::BitOr | Function::BitXor => common.is_integer(),
            _ => true,
        };
        return defined.then(|| (common.clone(), common.clone(), common));
    }
    let day_count = |n: &DataType| matches!(n, DataType::Smallint | Integer);
    let result = match (function, a, b) {
        (Function::Add | Function::Subtract, Date, n) if day_count(n) => Date,
        (Function::Add, n, Date) if day_count(n) => Date,
        (Function::Subtract, Date, Date) => Integer,
        (Function::Add | Function::Subtract, Date | Timestamptz, Interval)
        | (Function::Add, Interval, Date | Timestamptz) => Timestamptz,
        (Function::Subtract, Timestamptz, Timestamptz) => Interval,
        (Function::Subtract, Timestamptz, Date) | (Function::Subtract, Date, Timestamptz) => {
            return Some((Timestamptz, Timestamptz, Interval));
        }
        (Function::Add | Function::Subtract, Interval, Interval) => Interval,
        (Function::Multiply | Function::Divide, Interval, n) if n.is_number() => {
            return Some((Interval, Double, Interval));
        }
        (Function::Multiply, n, Interval) if n.is_number() => return Some((Double, Interval, Interval)),
        _ => return None,
    };
    Some((a.clone(), b.clone(), result))
}

#[cfg(test)]
mod tests {
    use super::{DataType, Function, arithmetic, partner};

    #[test]
    fn times_and_numbers_have_their_own_rules() {
        use DataType::{Date, Double, Integer, Interval, Smallint, Text, Timestamptz};
        let result = |function, a: &DataType, b: &DataType| arithmetic(function, a, b).map(|found| found.2);
        assert_eq!(result(Function::Add, &Smallint, &Integer), Some(Integer));
        assert_eq!(result(Function::Power, &Integer, &Integer), Some(Double));
        assert_eq!(result(Function::Modulo, &Double, &Integer), None);
        assert_eq!(result(Function::Subtract, &Date, &Date), Some(Integer));
        assert_eq!(result(Function::Subtract, &Timestamptz, &Date), Some(Interval));
        assert_eq!(result(Function::Add, &Text, &Integer), None);
        assert_eq!(partner(Function::Add, &Timestamptz, false), Interval);
        assert_eq!(partner(Function::Add, &Integer, true), Integer);
    }
}
