//! Aggregates by their names: how many arguments they take, whether their order counts, what they give.
//!
//! Invariant: an aggregate that has no type for an argument does not take it.

use deltaic_types::DataType;

use crate::plan::Aggregate;

/// The aggregates by their names.
pub const AGGREGATES: &[(&str, Aggregate)] = &[
    ("count", Aggregate::Count),
    ("sum", Aggregate::Sum),
    ("avg", Aggregate::Avg),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
    ("bool_and", Aggregate::BoolAnd),
    ("every", Aggregate::BoolAnd),
    ("bool_or", Aggregate::BoolOr),
    ("bit_and", Aggregate::BitAnd),
    ("bit_or", Aggregate::BitOr),
    ("bit_xor", Aggregate::BitXor),
    ("var_samp", Aggregate::VarSamp),
    ("variance", Aggregate::VarSamp),
    ("var_pop", Aggregate::VarPop),
    ("stddev_samp", Aggregate::StddevSamp),
    ("stddev", Aggregate::StddevSamp),
    ("stddev_pop", Aggregate::StddevPop),
    ("string_agg", Aggregate::StringAgg),
    ("array_agg", Aggregate::ArrayAgg),
    ("jsonb_agg", Aggregate::JsonAgg),
    ("json_agg", Aggregate::JsonAgg),
    ("jsonb_object_agg", Aggregate::JsonObjectAgg),
    ("json_object_agg", Aggregate::JsonObjectAgg),
    ("percentile_disc", Aggregate::PercentileDisc),
    ("percentile_cont", Aggregate::PercentileCont),
    ("mode", Aggregate::Mode),
];

/// The aggregate of a name.
pub fn aggregate_of(name: &str) -> Option<Aggregate> {
    AGGREGATES.iter().find(|(known, _)| *known == name).map(|(_, aggregate)| *aggregate)
}

impl Aggregate {
    /// Whether its arguments come in the order of `WITHIN GROUP`.
    pub fn is_ordered_set(self) -> bool {
        matches!(self, Self::PercentileDisc | Self::PercentileCont | Self::Mode)
    }

    /// Whether the order of its arguments makes a difference.
    pub fn has_order(self) -> bool {
        matches!(self, Self::StringAgg | Self::ArrayAgg | Self::JsonAgg | Self::JsonObjectAgg)
    }

    /// How many arguments it takes.
    pub fn arity(self) -> usize {
        if matches!(self, Self::StringAgg | Self::JsonObjectAgg) { 2 } else { 1 }
    }

    /// The type of its result; None where it does not take the argument.
    pub fn result_type(self, argument: &DataType) -> Option<DataType> {
        use Aggregate as A;
        use DataType::{Bigint, Boolean, Double, Integer, Jsonb, Numeric, Smallint, Text, Uuid};
        match (self, argument) {
            (A::Count, _) => Some(Bigint),
            (A::Sum, Smallint | Integer) => Some(Bigint),
            (A::Sum, Bigint | Numeric(_)) => Some(DataType::NUMERIC),
            (A::Avg, Smallint | Integer | Bigint | Numeric(_)) => Some(DataType::NUMERIC),
            (
                A::VarSamp | A::VarPop | A::StddevSamp | A::StddevPop,
                Smallint | Integer | Bigint | Numeric(_),
            ) => Some(DataType::NUMERIC),
            (A::Sum | A::Avg | A::VarSamp | A::VarPop | A::StddevSamp | A::StddevPop, Double) => Some(Double),
            (A::Min | A::Max, Boolean | Jsonb | Uuid) => None,
            (A::Min | A::Max | A::PercentileDisc | A::Mode, other) => Some(other.clone()),
            (A::BoolAnd | A::BoolOr, Boolean) => Some(Boolean),
            (A::BitAnd | A::BitOr | A::BitXor, Smallint | Integer | Bigint) => Some(argument.clone()),
            (A::StringAgg, Text) => Some(Text),
            (A::ArrayAgg, DataType::Array(_)) => None,
            (A::ArrayAgg, other) => Some(other.clone().array()),
            (A::JsonAgg | A::JsonObjectAgg, _) => Some(Jsonb),
            (A::PercentileCont, Double) => Some(Double),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AGGREGATES, Aggregate, DataType, aggregate_of};

    #[test]
    fn results_are_wide_enough_for_sums() {
        use DataType::{Bigint, Boolean, Double, Integer, Text};
        for (name, argument, result) in [
            ("sum", Integer, Some(Bigint)),
            ("sum", Bigint, Some(DataType::NUMERIC)),
            ("avg", Double, Some(Double)),
            ("sum", Text, None),
            ("max", Boolean, None),
            ("array_agg", Text, Some(Text.array())),
        ] {
            let aggregate = aggregate_of(name).unwrap();
            assert_eq!(aggregate.result_type(&argument), result, "{name}({argument})");
        }
        assert_eq!(aggregate_of("median"), None);
        let of_two = AGGREGATES.iter().filter(|(_, aggregate)| aggregate.arity() == 2).count();
        assert_eq!(of_two, 3);
        assert!(Aggregate::Mode.is_ordered_set() && !Aggregate::Sum.has_order());
    }
}
