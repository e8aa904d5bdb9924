//! A `rich_text` column as a log of writes: what it reads as, and the write that a statement makes of it.
//!
//! Invariant: a write says what its author did to the text that it had seen. Who assigns a text replaces what it had seen of it, and
//! nothing that has come since; who makes the new text of what is here does not write again what others wrote. What the column begins
//! with is nobody's write: the same on each server, as the name of the slot has it.

use deltaic_causality::{ActorId, CausalContext};
use deltaic_crdt::{Cell, Change, Log};
use deltaic_text::{Client, Edit, TextError, TextLog};
use deltaic_types::Value;

use super::shape::{Merged, Shift};

/// Who writes to a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Author<'a> {
    pub(crate) actor: ActorId,
    /// What it had seen.
    pub(crate) seen: &'a CausalContext,
    /// The row as it is here; none of one that begins.
    pub(crate) row: Option<&'a Merged>,
}

/// The text of a cell, as far as it can be read; none of a cell of another kind. O(the cell's bytes).
pub(crate) fn read(cell: &Cell, beginning: &Value) -> Option<Value> {
    let Cell::Log(log) = cell else { return None };
    let text = TextLog::new(log, beginning.as_str().unwrap_or_default()).text().ok()?;
    Some(Value::from(text))
}

/// What a statement wrote to a text; none where it left it as it is. O(the cell's bytes), and once more for each further edit.
pub(crate) fn change(
    number: u32,
    beginning: &Value,
    value: &Value,
    shift: Option<&Shift>,
    author: Author<'_>,
) -> Result<Option<Change>, TextError> {
    let none = Log::default();
    let log = match author.row.and_then(|row| row.cell(number)) {
        Some(Cell::Log(log)) => log,
        _ => &none,
    };
    let text = TextLog::new(log, beginning.as_str().unwrap_or_default());
    let (client, seen) = (Client::of(author.actor), Some(author.seen));
    let value = value.as_str().unwrap_or_default();
    let written = match shift {
        Some(Shift::Edits(edits)) => text.edit(client, seen, edits),
        Some(Shift::Given) => text.assign(client, seen, value),
        _ => text.rewrite(client, seen, value),
    };
    match written {
        Ok(bytes) => Ok(Some(Change::Append(bytes.into()))),
        Err(TextError::Nothing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An edit of a text by its arguments, which the function has taken.
pub(crate) fn edit(is_inserted: bool, at: &Value, operand: &Value) -> Option<Edit> {
    let place = |value: &Value| if let Value::Integer(at) = value { usize::try_from(*at).ok() } else { None };
    let at = place(at)?;
    Some(if is_inserted {
        Edit::Insert(at, operand.as_str()?.to_owned())
    } else {
        Edit::Delete(at..at.saturating_add(place(operand)?))
    })
}
