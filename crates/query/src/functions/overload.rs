//! [`overload`]: which of the signatures of a name is meant by the types of the arguments.
//!
//! Invariant: the choice is PostgreSQL's: most exact types, then most preferred ones, then texts for what has no type;
//! among equals the one that stands first.

use deltaic_types::DataType;

use super::{Kind, SIGNATURES, Signature};
use crate::coercion::{Context, cast_context};

/// The signature for arguments of these types, None for one whose type is not known; None where no signature takes them.
pub fn overload(name: &str, types: &[Option<DataType>]) -> Option<&'static Signature> {
    let mut best: Option<(&'static Signature, (usize, usize, usize))> = None;
    for signature in SIGNATURES.iter().filter(|s| s.name == name && s.takes(types.len())) {
        if let Some(fit) = signature.fit(types)
            && best.is_none_or(|(_, found)| fit > found)
        {
            best = Some((signature, fit));
        }
    }
    best.map(|(signature, _)| signature)
}

impl Kind {
    /// The type, if the kind is one.
    pub fn data_type(self) -> Option<DataType> {
        Some(match self {
            Self::Boolean => DataType::Boolean,
            Self::Smallint => DataType::Smallint,
            Self::Integer => DataType::Integer,
            Self::Bigint => DataType::Bigint,
            Self::Double => DataType::Double,
            Self::Numeric => DataType::NUMERIC,
            Self::Text => DataType::Text,
            Self::Date => DataType::Date,
            Self::Timestamptz => DataType::Timestamptz,
            Self::Interval => DataType::Interval,
            Self::Jsonb => DataType::Jsonb,
            Self::TextArray => DataType::Text.array(),
            Self::Any | Self::AnyArray | Self::AnyElement => return None,
        })
    }

    /// Whether PostgreSQL prefers the type within its category.
    fn is_preferred(self) -> bool {
        matches!(self, Self::Double | Self::Text | Self::Timestamptz | Self::Interval | Self::Boolean)
    }
}

impl Signature {
    /// What the argument at a place must be.
    pub fn kind(&self, place: usize) -> Kind {
        let last = self.arguments.len().saturating_sub(1);
        self.arguments.get(place.min(last)).copied().unwrap_or(Kind::Any)
    }

    fn takes(&self, count: usize) -> bool {
        count == self.arguments.len() || (self.variadic && count > self.arguments.len())
    }

    /// How well the arguments fit: exact types, preferred types elsewhere, texts for unknowns; None where
    /// they do not.
    fn fit(&self, types: &[Option<DataType>]) -> Option<(usize, usize, usize)> {
        let mut fit = (0, 0, 0);
        for (place, given) in types.iter().enumerate() {
            let kind = self.kind(place);
            match (kind.data_type(), given) {
                (None, Some(given)) => match kind {
                    Kind::AnyArray if !matches!(given, DataType::Array(_)) => return None,
                    _ => {}
                },
                (None, None) => {}
                (Some(wanted), None) => fit.2 += usize::from(wanted == DataType::Text),
                (Some(DataType::Numeric(_)), Some(DataType::Numeric(_))) => fit.0 += 1,
                (Some(wanted), Some(given)) if wanted == *given => fit.0 += 1,
                (Some(wanted), Some(given)) => {
                    if cast_context(given, &wanted) != Some(Context::Implicit) {
                        return None;
                    }
                    fit.1 += usize::from(kind.is_preferred());
                }
            }
        }
        Some(fit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_signature_is_meant() {
        let chosen = |name: &str, types: &[Option<DataType>]| {
            overload(name, types).map(|signature| signature.arguments.to_vec())
        };
        let known = |data_type: &DataType| Some(data_type.clone());
        assert_eq!(chosen("abs", &[known(&DataType::Bigint)]), Some(vec![Kind::Bigint]));
        // Whole numbers prefer doubles where there is nothing of their own.
        assert_eq!(chosen("sqrt", &[known(&DataType::Integer)]), Some(vec![Kind::Double]));
        assert_eq!(chosen("sqrt", &[known(&DataType::NUMERIC)]), Some(vec![Kind::Numeric]));
        assert_eq!(chosen("length", &[None]), Some(vec![Kind::Text]));
        assert_eq!(chosen("sqrt", &[known(&DataType::Text)]), None);
        assert_eq!(chosen("sqrt", &[]), None);
        assert_eq!(chosen("no_such_function", &[None]), None);
    }
}
