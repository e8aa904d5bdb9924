//! What a column that merges keeps of a value that is written to it, where one writer comes after the other.
//!
//! Invariant: what is kept is what the column's type would have made of the two writes wherever they had met: a maximum
//! never falls, a grow-only counter neither, and a set says each value once, in order.

use deltaic_types::{Column, Merges, Row, TableSchema, Value, text_format};

use crate::error::ConstraintError;

/// The row as it is kept, for one that is written in the place of another. Work: the columns, and the values of sets.
pub(crate) fn kept(schema: &TableSchema, before: Option<&Row>, after: Row) -> Result<Row, ConstraintError> {
    if schema.columns.iter().all(|column| column.merges == Merges::LastWriter) {
        return Ok(after);
    }
    let mut values = after.to_vec();
    for (place, column) in schema.columns.iter().enumerate() {
        let was = before.map(|row| &row[place]);
        let value = std::mem::replace(&mut values[place], Value::Null);
        values[place] = value_kept(schema, column, was, value)?;
    }
    Ok(Row::from(values))
}

fn value_kept(
    schema: &TableSchema,
    column: &Column,
    before: Option<&Value>,
    after: Value,
) -> Result<Value, ConstraintError> {
    let place = || (schema.name.clone(), column.name.clone());
    match column.merges {
        Merges::LastWriter | Merges::Counter | Merges::Flag | Merges::RichText => Ok(after),
        Merges::GrowCounter => {
            let before = before.unwrap_or(&Value::Integer(0));
            if !after.is_null() && after < *before {
                let (table, column) = place();
                let (from, to) = (text_format::to_text(before), text_format::to_text(&after));
                return Err(ConstraintError::Shrinks { table, column, from, to });
            }
            Ok(after)
        }
        Merges::Max | Merges::Min => {
            let before = before.filter(|before| !before.is_null());
            let keeps = before.filter(|before| {
                after.is_null()
                    || if column.merges == Merges::Max { after < **before } else { after > **before }
            });
            Ok(keeps.cloned().unwrap_or(after))
        }
        Merges::AddWinsSet | Merges::RemoveWinsSet | Merges::MultiValue => {
            let Value::Array(items) = &after else { return Ok(after) };
            if items.iter().any(Value::is_null) {
                let (table, column) = place();
                return Err(ConstraintError::NullElement { table, column });
            }
            if items.is_sorted_by(|a, b| a < b) {
                return Ok(after);
            }
            let mut items = items.to_vec();
            items.sort_unstable();
            items.dedup();
            Ok(Value::array(items))
        }
    }
}
