//! What an allocation gives, as rows of `deltaic.allocations`.
//!
//! Invariant: a row says what the solution has, exactly, and there is none for nothing.

use bigdecimal::BigDecimal;
use deltaic_allocation::{Allocation, EdgeId, Level, Side, Tier};
use deltaic_types::{Allocation as Declared, AllocationPolicy, Numeric, Row, Value};

use super::book::Book;

/// The row of what an edge has in a tier.
pub(super) fn row(declared: &Declared, book: &Book, given: &Allocation) -> Row {
    let (level, reason) = match given.bound {
        Some(bound) => {
            let level = millionths(level(declared, bound.level));
            let text = level.to_plain_string();
            (numeric(&level), format!("{} at level {text}", book.node_name(bound.node)))
        }
        None => (Value::Null, given.tier.to_string()),
    };
    let place = (AllocationPolicy::MaxMin, given.edge, given.tier);
    values(declared, book, place, given.quantity.0, level, &reason)
}

/// The row of what another policy gives.
pub(super) fn row_of_policy(
    declared: &Declared,
    book: &Book,
    policy: AllocationPolicy,
    (edge, tier): (EdgeId, Tier),
    quantity: u64,
) -> Row {
    values(declared, book, (policy, edge, tier), quantity, Value::Null, policy.name())
}

fn values(
    declared: &Declared,
    book: &Book,
    (policy, edge, tier): (AllocationPolicy, EdgeId, Tier),
    quantity: u64,
    level: Value,
    reason: &str,
) -> Row {
    let EdgeId { capacity, need } = edge;
    let slot = book.allocator().market().slot(Side::Capacity, capacity);
    let (kind, unit) = slot.map_or(("", ""), |slot| (slot.kind.as_str(), slot.unit.as_str()));
    let parts = if declared.is_whole { 1_000_000 } else { 1 };
    let quantity = numeric(&millionths(u128::from(quantity) * parts));
    let texts = [
        declared.name.clone(),
        policy.name().to_owned(),
        book.participant_name(capacity.owner),
        book.slot_name(Side::Capacity, capacity),
        book.participant_name(need.owner),
        book.slot_name(Side::Need, need),
        tier.to_string(),
        kind.to_owned(),
        unit.to_owned(),
    ];
    let texts = texts.iter().map(|text| Value::from(text.as_str()));
    texts.chain([quantity, level, Value::from(reason)]).collect()
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
