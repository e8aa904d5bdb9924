//! [`Shape`]: how the rows of a table are cells, and back.
//!
//! Invariant: what is read of cells is a row of the table, whatever a peer has sent: a cell that is not there, or not what its column
//! says, reads as the column is before anything was written. An assignment that leaves a value as it was is no write.

use std::collections::BTreeMap;

use deltaic_crdt::{Cell, Change, DisableWinsFlag, Exact, MvRegister, Stamp, Written};
use deltaic_query::{
    evaluate,
    expression::{Comparison, Expr, ExprKind},
};
use deltaic_sql::{BindContext, bind_check, bind_custom, bind_default};
use deltaic_text::Edit;
use deltaic_types::{
    CONFLICTS, Catalog, Check, Column, ConflictPolicy, DataType, Merges, ReferentialAction, Row, TableId,
    TableSchema, Value,
};

use super::{
    name::{RowKey, TableTag, slot},
    rich_text::{self, Author},
};
use crate::error::MergeError;

/// A row with all that has been written to it and not replaced.
pub(crate) type Merged = deltaic_crdt::Row<DisableWinsFlag>;

/// What a statement did to a column that merges, where that is more than the value that came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shift {
    /// What it has more, or less, was added to the counter.
    Added,
    /// Elements that were added to the set (true) or removed from it, in their order.
    Elements(Vec<(bool, Value)>),
    /// Edits of the text, one after the other.
    Edits(Vec<Edit>),
    /// The text was assigned as the author had it, and not made of what is here.
    Given,
}

/// A column, or the columns of a group, in the rows of a table.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) number: u32,
    pub(crate) columns: Vec<usize>,
    merges: Merges,
    /// Whether it is a counter that nobody may take below zero.
    is_bounded: bool,
    pub(crate) policy: ConflictPolicy,
    /// The column whose own expression decides, and it, over what is here and what comes late.
    pub(crate) custom: Option<(usize, Expr)>,
}

/// Columns by whose values rows are found: a unique constraint, or what a foreign key refers to.
#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) name: String,
    pub(crate) columns: Vec<usize>,
    /// Whether only one row may be seen of those with one value. The primary key's are one row anyway.
    pub(crate) is_unique: bool,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) columns: Vec<usize>,
    pub(crate) parent: TableTag,
    /// The place of the columns referred to among the parent's lists.
    pub(crate) list: usize,
    /// Whether what it refers to cannot go before it: then a row that was deleted elsewhere stays as long as one refers to it.
    pub(crate) keeps: bool,
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) table: TableId,
    pub(crate) tag: TableTag,
    pub(crate) name: String,
    pub(crate) key: Vec<usize>,
    pub(crate) slots: Vec<Slot>,
    types: Vec<DataType>,
    pub(crate) names: Vec<String>,
    /// What each column is before anything was written to it.
    initial: Vec<Value>,
    pub(crate) deletions_win: bool,
    pub(crate) lists: Vec<List>,
    pub(crate) references: Vec<Reference>,
    /// Whether rows of it that are gone may stay for rows that refer to them, or may let others stay.
    pub(crate) is_kept: bool,
}

/// The tables of a catalog.
pub(crate) fn shapes(catalog: &Catalog) -> BTreeMap<TableTag, Shape> {
    let mut shapes: BTreeMap<TableTag, Shape> = catalog
        .tables()
        .chain(catalog.get(CONFLICTS))
        .map(|schema| (TableTag::of(schema), Shape::of(schema, catalog)))
        .collect();
    for schema in catalog.tables() {
        for foreign in &schema.foreign_keys {
            let Some(parent) = catalog.get(foreign.parent).map(TableTag::of) else { continue };
            let Some(of) = shapes.get_mut(&parent) else { continue };
            let place = of.lists.iter().position(|list| list.columns == foreign.parent_columns);
            let list = place.unwrap_or_else(|| {
                let (name, columns) = (String::new(), foreign.parent_columns.clone());
                of.lists.push(List { name, columns, is_unique: false });
                of.lists.len() - 1
            });
            let keeps = foreign.on_delete == ReferentialAction::Restrict;
            of.is_kept |= keeps;
            let (name, columns) = (foreign.name.clone(), foreign.columns.clone());
            let child = shapes.get_mut(&TableTag::of(schema)).expect("invariant: each table has its shape");
            child.is_kept |= keeps;
            child.references.push(Reference { name, columns, parent, list, keeps });
        }
    }
    for schema in catalog.tables() {
        let shape = shapes.get_mut(&TableTag::of(schema)).expect("invariant: each table has its shape");
        shape.references = in_order(std::mem::take(&mut shape.references), |of| &of.columns, schema);
    }
    shapes
}

/// Rules by the names of their columns: an order that does not hang on that in which they were defined.
fn in_order<T>(mut rules: Vec<T>, columns: impl Fn(&T) -> &[usize], schema: &TableSchema) -> Vec<T> {
    rules.sort_by_cached_key(|rule| {
        columns(rule).iter().map(|place| schema.columns[*place].name.clone()).collect::<Vec<_>>()
    });
    rules
}

impl Shape {
    fn of(schema: &TableSchema, catalog: &Catalog) -> Self {
        let grouped: Vec<usize> = schema.groups.iter().flatten().copied().collect();
        let alone = |place: &usize| !schema.primary_key.contains(place) && !grouped.contains(place);
        let alone = (0..schema.columns.len()).filter(alone).map(|place| vec![place]);
        let slots = schema.groups.iter().cloned().chain(alone).map(|columns| {
            let first = &schema.columns[columns[0]];
            let mut policies = columns.iter().map(|place| &schema.columns[*place].conflict);
            let policy = policies.rfind(|policy| **policy != ConflictPolicy::LastWriter);
            let is_bounded = first.merges == Merges::Counter && is_bounded(schema, columns[0]);
            Slot {
                number: slot(schema, &columns, is_bounded),
                merges: first.merges,
                is_bounded,
                custom: columns
                    .iter()
                    .find_map(|place| custom(&schema.columns[*place]).map(|expr| (*place, expr))),
                policy: policy.cloned().unwrap_or_default(),
                columns,
            }
        });
        let uniques = schema.unique_keys().skip(1);
        let lists = uniques.map(|(name, columns)| List {
            name: name.to_owned(),
            columns: columns.to_vec(),
            is_unique: true,
        });
        Self {
            table: schema.id,
            tag: TableTag::of(schema),
            name: schema.name.clone(),
            key: schema.primary_key.clone(),
            slots: slots.collect(),
            types: schema.columns.iter().map(|column| column.data_type.clone()).collect(),
            names: schema.columns.iter().map(|column| column.name.clone()).collect(),
            initial: schema.columns.iter().map(|column| initial(column, catalog)).collect(),
            deletions_win: schema.remove_wins,
            lists: in_order(lists.collect(), |list: &List| &list.columns, schema),
            references: Vec::new(),
            is_kept: false,
        }
    }

    /// The name of a row by its values.
    pub(crate) fn key_of(&self, values: &[Value]) -> RowKey {
        let key: Vec<Value> = self.key.iter().map(|place| values[*place].clone()).collect();
        RowKey::new(self.tag, &key)
    }

    /// What a column is before anything was written to it.
    pub(crate) fn initial(&self, place: usize) -> &Value {
        &self.initial[place]
    }

    /// The type of a column.
    pub(crate) fn data_type(&self, place: usize) -> &DataType {
        &self.types[place]
    }

    /// Whether a value may stand in a column, and as which.
    fn fitting(&self, place: usize, value: &Value) -> Option<Value> {
        let data_type = &self.types[place];
        data_type.admits(value).then(|| data_type.fit(value.clone()).ok()).flatten()
    }

    /// The values of a row, as they are read; none of a name that is no key of the table. Each text is read anew, at O(its log).
    pub(crate) fn values(&self, key: &RowKey, row: &Merged) -> Option<Row> {
        self.values_with(key, row, |slot, cell| rich_text::read(cell, &self.initial[slot.columns[0]]))
    }

    /// The same without what is in texts, of which no constraint speaks.
    pub(crate) fn values_without_texts(&self, key: &RowKey, row: &Merged) -> Option<Row> {
        self.values_with(key, row, |_, _| None)
    }

    /// The same of a row that read as `before` until these writes.
    pub(crate) fn values_after(
        &self,
        key: &RowKey,
        row: &Merged,
        before: &[Value],
        writes: &[Vec<(u32, Change)>],
    ) -> Option<Row> {
        let is_written = |number| writes.iter().flatten().any(|(written, _)| *written == number);
        self.values_with(key, row, |slot, cell| {
            let place = slot.columns[0];
            if is_written(slot.number) {
                rich_text::read(cell, &self.initial[place])
            } else {
                Some(before[place].clone())
            }
        })
    }

    fn values_with(
        &self,
        key: &RowKey,
        row: &Merged,
        text: impl Fn(&Slot, &Cell) -> Option<Value>,
    ) -> Option<Row> {
        let mut values = self.initial.clone();
        let key = key.values().filter(|key| key.len() == self.key.len())?;
        for (place, value) in self.key.iter().zip(key.iter()) {
            values[*place] = self.fitting(*place, value).filter(|value| !value.is_null())?;
        }
        for slot in &self.slots {
            let Some(cell) = row.cell(slot.number) else { continue };
            if slot.has_conflicts() {
                let Some((_, written)) = slot.winner(cell) else { continue };
                for (place, value) in slot.columns.iter().zip(&written.values) {
                    if let Some(value) = self.fitting(*place, &value.0) {
                        values[*place] = value;
                    }
                }
            } else {
                let place = slot.columns[0];
                let value =
                    if slot.merges == Merges::RichText { text(slot, cell) } else { slot.merged(cell) };
                if let Some(value) = value.and_then(|value| self.fitting(place, &value)) {
                    values[place] = value;
                }
            }
        }
        Some(Row::from(values))
    }

    /// The writes that make a new row of these values: the first is its insertion.
    pub(crate) fn inserted(
        &self,
        values: &[Value],
        author: Author<'_>,
    ) -> Result<Vec<Vec<(u32, Change)>>, MergeError> {
        self.updated(&self.initial, values, &[], author)
    }

    /// The writes that make of one row another with the same key. A write takes one change of each column: further ones of a set
    /// follow in writes of their own.
    pub(crate) fn updated(
        &self,
        before: &[Value],
        after: &[Value],
        shifts: &[(usize, Shift)],
        author: Author<'_>,
    ) -> Result<Vec<Vec<(u32, Change)>>, MergeError> {
        let mut writes: Vec<Vec<(u32, Change)>> = vec![Vec::new()];
        for slot in &self.slots {
            let place = slot.columns[0];
            let shift = shifts.iter().find(|(shifted, _)| *shifted == place).map(|(_, shift)| shift);
            let changes = if slot.merges == Merges::RichText {
                let is_as_it_was = before[place] == after[place] && !matches!(shift, Some(Shift::Edits(_)));
                let change =
                    || rich_text::change(slot.number, &self.initial[place], &after[place], shift, author);
                let change = if is_as_it_was { Ok(None) } else { change() };
                let refused = |error| MergeError::Text { column: self.names[place].clone(), error };
                change.map_err(refused)?.into_iter().collect()
            } else {
                let is_given = shifts.iter().any(|(given, _)| slot.columns.contains(given));
                let cell = author.row.and_then(|row| row.cell(slot.number));
                let is_confirmed = is_given && cell.is_some_and(|cell| cell.conflict().is_some());
                let mut changes = slot.changes(before, after, shift, is_confirmed);
                // Who assigns a set takes away what they had seen of it.
                let is_unseen = |change: &Change| match (change, cell) {
                    (Change::RemoveFirst(element), Some(cell)) => cell.is_added_beyond(element, author.seen),
                    _ => false,
                };
                changes.retain(|change| shift.is_some() || !is_unseen(change));
                changes
            };
            for (turn, change) in changes.into_iter().enumerate() {
                if writes.len() == turn {
                    writes.push(Vec::new());
                }
                writes[turn].push((slot.number, change));
            }
        }
        Ok(writes)
    }
}

/// Whether `CHECK (column >= 0)` is said of a column.
pub(crate) fn is_bounded(schema: &TableSchema, column: usize) -> bool {
    let says = |check: &Check| {
        let Ok(expr) = bind_check(&check.expression, schema) else { return false };
        let ExprKind::Compare(Comparison::Ge, of, zero) = &expr.kind else { return false };
        of.kind == ExprKind::Column(column) && zero.kind == ExprKind::Literal(Value::Integer(0))
    };
    schema.checks.iter().any(says)
}

/// The expression that a column decides conflicts by.
fn custom(column: &Column) -> Option<Expr> {
    let ConflictPolicy::Custom { expression } = &column.conflict else { return None };
    bind_custom(expression, &column.data_type).ok()
}

/// A constant default; NULL where the default depends on when or where it is asked for. A counter, a set and the like are before
/// any write what their type is: what they begin with otherwise is a write.
pub(crate) fn initial(column: &Column, catalog: &Catalog) -> Value {
    let default = match column.merges {
        Merges::LastWriter | Merges::RichText => column.default.as_deref(),
        merges => merges.initially(),
    };
    let Some(default) = default else { return Value::Null };
    let bound = bind_default(default, &column.data_type, &BindContext { catalog, now: None });
    let constant = bound.ok().filter(|expr| !expr.reads_time());
    constant.and_then(|expr| evaluate(&expr, &Row::empty()).ok()).unwrap_or(Value::Null)
}

fn integer(value: &Value) -> i64 {
    if let Value::Integer(number) = value { *number } else { 0 }
}

fn elements(value: &Value) -> &[Value] {
    if let Value::Array(items) = value { items } else { &[] }
}

/// Values in SQL's order, each once.
fn set(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    values.sort_unstable();
    values.dedup();
    Value::array(values)
}

impl Slot {
    /// Which of the writes that have not seen each other is read: its stamp, and what it wrote.
    pub(crate) fn winner<'c>(&self, cell: &'c Cell) -> Option<(Stamp, &'c Written)> {
        let Cell::Register(register) = cell else { return None };
        self.winner_of(register)
    }

    fn winner_of<'r>(&self, register: &'r MvRegister<Written>) -> Option<(Stamp, &'r Written)> {
        let by = match &self.policy {
            ConflictPolicy::Priority { by } => self.columns.iter().position(|column| column == by),
            _ => None,
        };
        let rank = |written: &Written| {
            let value = by.and_then(|place| written.values.get(place));
            // A write without a rank is before all that have one.
            value.filter(|value| !value.0.is_null()).cloned()
        };
        let stamp = |dot, written: &Written| Stamp { time: written.time, dot };
        let all = register.iter().map(|(dot, written)| (stamp(dot, written), written));
        all.max_by(|(one, a), (other, b)| rank(a).cmp(&rank(b)).then_with(|| one.cmp(other)))
    }

    /// The value of a column that merges; none of a cell of another kind.
    fn merged(&self, cell: &Cell) -> Option<Value> {
        let clamped = |total: i128| {
            Value::Integer(i64::try_from(total).unwrap_or(if total < 0 { i64::MIN } else { i64::MAX }))
        };
        let value = |value: Option<&Exact>| value.map_or(Value::Null, |value| value.0.clone());
        Some(match (self.merges, cell) {
            (Merges::Counter, Cell::Counter(counter)) => clamped(counter.value()),
            (Merges::Counter, Cell::Bounded(counter)) => clamped(counter.value()),
            (Merges::GrowCounter, Cell::GrowCounter(counter)) => {
                clamped(i128::try_from(counter.value()).unwrap_or(i128::MAX))
            }
            (Merges::AddWinsSet, Cell::AddWinsSet(all)) => set(all.iter().map(|value| value.0.clone())),
            (Merges::RemoveWinsSet, Cell::RemoveWinsSet(all)) => set(all.iter().map(|value| value.0.clone())),
            (Merges::MultiValue, Cell::Register(register)) => {
                let written = register.values().flat_map(|written| &written.values);
                set(written.flat_map(|value| elements(&value.0).to_vec()))
            }
            (Merges::Flag, Cell::Flag(flag)) => Value::Boolean(flag.is_enabled()),
            (Merges::Max, Cell::Max(max)) => value(max.get()),
            (Merges::Min, Cell::Min(min)) => value(min.get()),
            _ => return None,
        })
    }

    /// What was written to the columns, one change after the other.
    fn changes(
        &self,
        before: &[Value],
        after: &[Value],
        shift: Option<&Shift>,
        is_confirmed: bool,
    ) -> Vec<Change> {
        let place = self.columns[0];
        let (was, is) = (&before[place], &after[place]);
        if let Some(Shift::Elements(steps)) = shift {
            let step = |(is_added, value): &(bool, Value)| self.step(*is_added, value.clone());
            return steps.iter().filter_map(step).collect();
        }
        // Who assigns what stands beside others says that it is to stand.
        if !is_confirmed && self.columns.iter().all(|place| before[*place] == after[*place]) {
            return Vec::new();
        }
        match self.merges {
            Merges::LastWriter => {
                let values = self.columns.iter().map(|place| Exact(after[*place].clone()));
                vec![Change::Write(values.collect())]
            }
            Merges::Counter if self.is_bounded => {
                let by = integer(is).abs_diff(integer(was));
                vec![if is > was { Change::Mint(by) } else { Change::Spend(by) }]
            }
            // The difference of two numbers of 64 bits may not fit: then it is set.
            Merges::Counter => {
                let by = integer(is).checked_sub(integer(was)).filter(|_| shift.is_some());
                vec![by.map_or(Change::Set(integer(is)), Change::Increment)]
            }
            Merges::GrowCounter => vec![Change::Grow(integer(is).abs_diff(integer(was)))],
            Merges::AddWinsSet | Merges::RemoveWinsSet => {
                let (was, is) = (elements(was), elements(is));
                let gone = was.iter().filter(|value| !is.contains(value)).map(|value| (false, value));
                let come = is.iter().filter(|value| !was.contains(value)).map(|value| (true, value));
                gone.chain(come).filter_map(|(is_added, value)| self.step(is_added, value.clone())).collect()
            }
            Merges::MultiValue => vec![Change::Write(vec![Exact(is.clone())])],
            Merges::Flag => vec![Change::Switch(*is == Value::Boolean(true))],
            Merges::Max if !is.is_null() => vec![Change::Raise(Exact(is.clone()))],
            Merges::Min if !is.is_null() => vec![Change::Lower(Exact(is.clone()))],
            // A text is written by what its author had seen: `rich_text::change`.
            Merges::Max | Merges::Min | Merges::RichText => Vec::new(),
        }
    }

    fn step(&self, is_added: bool, value: Value) -> Option<Change> {
        let element = Exact(value);
        Some(match (self.merges, is_added) {
            (Merges::AddWinsSet, true) => Change::Add(element),
            (Merges::AddWinsSet, false) => Change::Remove(element),
            (Merges::RemoveWinsSet, true) => Change::AddUnlessRemoved(element),
            (Merges::RemoveWinsSet, false) => Change::RemoveFirst(element),
            _ => return None,
        })
    }

    /// Whether writes that have not seen each other are a conflict, and not what the column is for.
    pub(crate) fn has_conflicts(&self) -> bool {
        self.merges == Merges::LastWriter
    }
}
