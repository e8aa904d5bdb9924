//! Coercions: which casts there are, who may ask for them, and the type that two types have in common.
//!
//! Invariant: the rules are PostgreSQL's, and know types alone; what a literal without a type becomes is the
//! business of the language that has such literals.

use deltaic_types::DataType;

/// Who asks for a cast: each allows what the one before it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    /// An operator or a function.
    Implicit,
    /// A column that a value is written to.
    Assignment,
    /// CAST.
    Explicit,
}

/// The least context in which PostgreSQL casts one type to the other; None where there is no cast.
pub fn cast_context(from: &DataType, to: &DataType) -> Option<Context> {
    use DataType::{
        Array, Bigint, Boolean, Date, Double, Integer, Jsonb, Numeric, Smallint, Text, Timestamptz,
    };
    match (from, to) {
        _ if from == to => Some(Context::Implicit),
        (Numeric(_), Numeric(_)) | (Date, Timestamptz) => Some(Context::Implicit),
        _ if rank(from).zip(rank(to)).is_some_and(|(from, to)| from < to) => Some(Context::Implicit),
        _ if from.is_number() && to.is_number() => Some(Context::Assignment),
        (Timestamptz, Date) => Some(Context::Assignment),
        (Integer, Boolean) | (Boolean, Integer) => Some(Context::Explicit),
        (Jsonb, Boolean | Smallint | Integer | Bigint | Numeric(_) | Double) => Some(Context::Explicit),
        (Array(from), Array(to)) => cast_context(from, to),
        (_, Text) => Some(Context::Assignment),
        (Text, _) => Some(Context::Explicit),
        _ => None,
    }
}

/// The place of a number type in the order of widening.
fn rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Smallint => 0,
        DataType::Integer => 1,
        DataType::Bigint => 2,
        DataType::Numeric(_) => 3,
        DataType::Double => 4,
        _ => return None,
    })
}

/// The type that values of both types can have; None where there is none.
pub fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (DataType::Numeric(_), DataType::Numeric(_)) => Some(DataType::NUMERIC),
        (DataType::Date, DataType::Timestamptz) | (DataType::Timestamptz, DataType::Date) => {
            Some(DataType::Timestamptz)
        }
        (DataType::Array(a), DataType::Array(b)) => common_type(a, b).map(DataType::array),
        _ => {
            let wider = if rank(a)? >= rank(b)? { a } else { b };
            Some(if matches!(wider, DataType::Numeric(_)) { DataType::NUMERIC } else { wider.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Context, DataType, cast_context, common_type};

    #[test]
    fn what_widens_is_implicit_and_what_narrows_is_asked_for() {
        use DataType::{Bigint, Boolean, Date, Double, Integer, Jsonb, Text, Timestamptz, Uuid};
        for (from, to, context) in [
            (Integer, Bigint, Some(Context::Implicit)),
            (Date, Timestamptz, Some(Context::Implicit)),
            (Double, Integer, Some(Context::Assignment)),
            (Uuid, Text, Some(Context::Assignment)),
            (Text, Uuid, Some(Context::Explicit)),
            (Jsonb, Integer, Some(Context::Explicit)),
            (Date, Boolean, None),
        ] {
            assert_eq!(cast_context(&from, &to), context, "{from} to {to}");
            assert_eq!(
                cast_context(&from.clone().array(), &to.clone().array()),
                context,
                "{from}[] to {to}[]"
            );
        }
    }

    #[test]
    fn the_wider_type_is_common_to_both() {
        use DataType::{Bigint, Date, Double, Integer, Text, Timestamptz};
        for (a, b, common) in [
            (Integer, Bigint, Some(Bigint)),
            (DataType::NUMERIC, Double, Some(Double)),
            (Date, Timestamptz, Some(Timestamptz)),
            (Integer, Text, None),
        ] {
            assert_eq!(common_type(&a, &b), common, "{a} and {b}");
            assert_eq!(common_type(&b, &a), common, "{b} and {a}");
            assert_eq!(common_type(&a.array(), &b.array()), common.map(DataType::array));
        }
    }
}
