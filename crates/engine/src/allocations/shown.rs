//! What an allocation gives, as rows of `deltaic.allocations`.
//!
//! Invariant: a row says what the solution has, exactly, and there is none for nothing.

use bigdecimal::BigDecimal;
use deltaic_allocation::{Allocation, EdgeId, Level, Side};
use deltaic_types::{Allocation as Declared, Numeric, Row, Value};

use super::book::Book;

/// The row of what an edge has in a tier.
pub(super) fn row(declared: &Declared, book: &Book, given: &Allocation) -> Row {
    let EdgeId { capacity, need } = given.edge;
    let slot = book.allocator().market().slot(Side::Capacity, capacity);
    let (kind, unit) = slot.map_or(("", ""), |slot| (slot.kind.as_str(), slot.unit.as_str()));
    let (level, reason) = match given.bound {
        Some(bound) => {
            let level = millionths(level(declared, bound.level));
            let text = level.to_plain_string();
            (numeric(&level), format!("{} at level {text}", book.node_name(bound.node)))
        }
        None => (Value::Null, given.tier.to_string()),
    };
    let quantity =
        if declared.is_whole { u128::from(given.quantity.0) * 1_000_000 } else { given.quantity.0.into() };
    let texts = [
        declared.name.clone(),
        declared.policy.name().to_owned(),
        book.participant_name(capacity.owner),
        book.slot_name(Side::Capacity, capacity),
        book.participant_name(need.owner),
        book.slot_name(Side::Need, need),
        given.tier.to_string(),
        kind.to_owned(),
        unit.to_owned(),
    ];
    let texts = texts.iter().map(|text| Value::from(text.as_str()));
    texts.chain([numeric(&millionths(quantity)), level, Value::from(reason.as_str())]).collect()
}

/// What whole recognition would get, in millionths of what quantities are counted in.
fn level(declared: &Declared, Level { quantity, weight }: Level) -> u128 {
    let parts = if declared.is_whole { 1_000_000 } else { 1 };
    (u128::from(quantity) << 40) * parts / u128::from(weight.max(1))
}

fn millionths(n: u128) -> BigDecimal {
    BigDecimal::new(n.into(), 6).normalized()
}

fn numeric(value: &BigDecimal) -> Value {
    Numeric::new(value).map_or(Value::Null, Value::numeric)
}
