//! [`Claims`]: which rows there are by the values that constraints look at; [`settle`]: which of them are seen.
//!
//! Constraints that each server kept by itself need not hold of what they wrote apart. They hold of what is seen: of the rows with one
//! value of a unique constraint only the one that had it first is seen, and a row that refers to another is seen only
//! while that is. Invariant: what is seen is a function of the merged rows alone, so that servers that hold the same writes show the same,
//! and nothing is written to bring it about.
//!
//! A row claims its values whether it is seen or not, so that uniqueness asks no other rule. References are the greatest solution: rows
//! that refer to each other are seen together.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_crdt::Stamp;
use deltaic_types::{Row, Value};

use super::{
    name::{RowKey, TableTag},
    shape::{Merged, Shape},
};

/// The values of one list of columns, or of one foreign key, of a table.
type Place = (TableTag, usize, Row);

/// What a row that is there claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claimed {
    /// By the place of the list: its values, and the write that brought them.
    lists: Vec<(usize, Row, Stamp)>,
    /// By the place of the foreign key: the values that it refers to.
    references: Vec<(usize, Row)>,
}

/// Why a row is there and not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// Another row had the values first.
    Unique { constraint: String, losing: Stamp, winner: RowKey, winning: Stamp },
    /// What it refers to is not there.
    Reference { constraint: String, values: Row },
}

/// The rows that are there, of tables with constraints over rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    of: BTreeMap<RowKey, Claimed>,
    lists: BTreeMap<Place, BTreeMap<RowKey, Stamp>>,
    referring: BTreeMap<Place, BTreeSet<RowKey>>,
    hidden: BTreeMap<RowKey, Hidden>,
}

impl Claimed {
    /// Of a row; none if it is not there.
    pub(crate) fn of(shape: &Shape, key: &RowKey, row: &Merged) -> Option<Self> {
        if !row.is_there() {
            return None;
        }
        let values = shape.values_without_texts(key, row)?;
        let known = |columns: &[usize]| {
            let values = values.project(columns);
            (!values.iter().any(Value::is_null)).then_some(values)
        };
        let began = row.generation()?;
        let since = |columns: &[usize]| {
            let slots =
                shape.slots.iter().filter(|slot| slot.columns.iter().any(|place| columns.contains(place)));
            let written =
                slots.filter_map(|slot| slot.winner(row.cell(slot.number)?)).map(|(stamp, _)| stamp);
            written.chain([began]).max()
        };
        let lists = shape.lists.iter().enumerate();
        let references = shape.references.iter().enumerate();
        Some(Self {
            lists: lists
                .filter_map(|(place, list)| Some((place, known(&list.columns)?, since(&list.columns)?)))
                .collect(),
            references: references
                .filter_map(|(place, reference)| Some((place, known(&reference.columns)?)))
                .collect(),
        })
    }
}

/// Rows whose claims have changed, with what they claim now; none where they are not there any more.
pub(crate) type Changed = BTreeMap<RowKey, Option<Claimed>>;

/// Which rows may be seen or not seen now where it was otherwise: those whose claims changed, those that claim the same, and those
/// that refer to one of them. Each with why it is hidden.
pub(crate) type Settled = BTreeMap<RowKey, Option<Hidden>>;

/// The claims with changes above them.
struct View<'a> {
    shapes: &'a BTreeMap<TableTag, Shape>,
    base: &'a Claims,
    changed: &'a Changed,
}

impl<'a> View<'a> {
    fn claimed(&self, key: &RowKey) -> Option<&'a Claimed> {
        match self.changed.get(key) {
            Some(claimed) => claimed.as_ref(),
            None => self.base.of.get(key),
        }
    }

    /// The rows that claim values of a list.
    fn claiming(&self, place: &Place) -> BTreeMap<&'a RowKey, Stamp> {
        let base = self.base.lists.get(place).into_iter().flatten();
        let stays = base.filter(|(key, _)| !self.changed.contains_key(key)).map(|(key, stamp)| (key, *stamp));
        let come =
            self.changed.iter().filter(|(key, _)| key.table == place.0).filter_map(|(key, claimed)| {
                let mut lists = claimed.iter().flat_map(|claimed| &claimed.lists);
                let list = lists.find(|(list, values, _)| *list == place.1 && *values == place.2)?;
                Some((key, list.2))
            });
        stays.chain(come).collect()
    }

    /// The rows that refer to values by a foreign key.
    fn referring(&self, place: &Place) -> Vec<&'a RowKey> {
        let base = self.base.referring.get(place).into_iter().flatten();
        let stays = base.filter(|key| !self.changed.contains_key(*key));
        let refers = |claimed: &Claimed| {
            claimed.references.iter().any(|(reference, values)| (*reference, values) == (place.1, &place.2))
        };
        let come = self
            .changed
            .iter()
            .filter(|(key, claimed)| key.table == place.0 && claimed.as_ref().is_some_and(refers));
        stays.chain(come.map(|(key, _)| key)).collect()
    }

    /// The rows that refer to one with these values of a list.
    fn children(&self, table: TableTag, list: usize, values: &Row) -> Vec<&'a RowKey> {
        let mut children = Vec::new();
        for shape in self.shapes.values() {
            for (place, reference) in shape.references.iter().enumerate() {
                if (reference.parent, reference.list) == (table, list) {
                    children.extend(self.referring(&(shape.tag, place, values.clone())));
                }
            }
        }
        children
    }

    /// Why a row is hidden by those that claim the same.
    fn rival(&self, key: &RowKey, claimed: &Claimed) -> Option<Hidden> {
        let shape = &self.shapes[&key.table];
        claimed.lists.iter().filter(|(list, ..)| shape.lists[*list].is_unique).find_map(
            |(list, values, losing)| {
                let all = self.claiming(&(key.table, *list, values.clone()));
                let first = all.into_iter().min_by_key(|(key, stamp)| (*stamp, (*key).clone()));
                let (winner, winning) = first.filter(|(winner, _)| *winner != key)?;
                let constraint = shape.lists[*list].name.clone();
                Some(Hidden::Unique { constraint, losing: *losing, winner: winner.clone(), winning })
            },
        )
    }
}

/// Finds out which rows are seen after changes. Cost: the rows that share values with those that changed, and those that refer to
/// them.
pub(crate) fn settle(shapes: &BTreeMap<TableTag, Shape>, base: &Claims, changed: &Changed) -> Settled {
    let view = View { shapes, base, changed };
    let mut reached: BTreeSet<&RowKey> = BTreeSet::new();
    let mut next: Vec<&RowKey> = Vec::new();
    for (key, is) in changed {
        let was = base.of.get(key);
        if was == is.as_ref() {
            continue;
        }
        next.push(key);
        for claimed in was.into_iter().chain(is.as_ref()) {
            for (list, values, _) in &claimed.lists {
                next.extend(view.claiming(&(key.table, *list, values.clone())).into_keys());
                // Also those of a row that claims it no more.
                next.extend(view.children(key.table, *list, values));
            }
        }
    }
    while let Some(key) = next.pop() {
        if !reached.insert(key) {
            continue;
        }
        for (list, values, _) in view.claimed(key).into_iter().flat_map(|claimed| &claimed.lists) {
            next.extend(view.children(key.table, *list, values));
        }
    }

    let mut settled: Settled = BTreeMap::new();
    let mut standing: BTreeSet<&RowKey> = BTreeSet::new();
    for key in reached {
        let Some(claimed) = view.claimed(key) else { continue };
        let rival = view.rival(key, claimed);
        if rival.is_none() {
            standing.insert(key);
        }
        settled.insert(key.clone(), rival);
    }
    // All that no rule hides is seen, until nothing that is seen refers to what is not.
    loop {
        let orphan = |key: &&RowKey| {
            let claimed = view.claimed(key)?;
            claimed.references.iter().find_map(|(place, values)| {
                let reference = &shapes[&key.table].references[*place];
                let parents = view.claiming(&(reference.parent, reference.list, values.clone()));
                let is_seen = |parent: &RowKey| {
                    if settled.contains_key(parent) {
                        standing.contains(parent)
                    } else {
                        !base.hidden.contains_key(parent)
                    }
                };
                let (constraint, values) = (reference.name.clone(), values.clone());
                (!parents.into_keys().any(is_seen)).then_some(Hidden::Reference { constraint, values })
            })
        };
        let orphans: Vec<(RowKey, Hidden)> =
            standing.iter().filter_map(|key| Some(((*key).clone(), orphan(key)?))).collect();
        if orphans.is_empty() {
            return settled;
        }
        for (key, hidden) in orphans {
            standing.remove(&key);
            settled.insert(key, Some(hidden));
        }
    }
}

impl Claims {
    /// Whether a row that is there is not seen, and why.
    pub(crate) fn hidden(&self, key: &RowKey) -> Option<&Hidden> {
        self.hidden.get(key)
    }

    /// Takes in changes and what they came to.
    pub(crate) fn install(&mut self, changed: &Changed, settled: &Settled) {
        for (key, claimed) in changed {
            if self.of.get(key) == claimed.as_ref() {
                continue;
            }
            if let Some(was) = self.of.remove(key) {
                for (list, values, _) in was.lists {
                    remove(
                        &mut self.lists,
                        (key.table, list, values),
                        |rows| rows.remove(key).is_some(),
                        BTreeMap::is_empty,
                    );
                }
                for (reference, values) in was.references {
                    remove(
                        &mut self.referring,
                        (key.table, reference, values),
                        |rows| rows.remove(key),
                        BTreeSet::is_empty,
                    );
                }
                self.hidden.remove(key);
            }
            let Some(claimed) = claimed else { continue };
            for (list, values, stamp) in &claimed.lists {
                let rows = self.lists.entry((key.table, *list, values.clone())).or_default();
                rows.insert(key.clone(), *stamp);
            }
            for (reference, values) in &claimed.references {
                let rows = self.referring.entry((key.table, *reference, values.clone())).or_default();
                rows.insert(key.clone());
            }
            self.of.insert(key.clone(), claimed.clone());
        }
        for (key, hidden) in settled {
            match hidden {
                Some(hidden) => drop(self.hidden.insert(key.clone(), hidden.clone())),
                None => drop(self.hidden.remove(key)),
            }
        }
    }
}

fn remove<T>(
    places: &mut BTreeMap<Place, T>,
    place: Place,
    take: impl FnOnce(&mut T) -> bool,
    is_empty: impl FnOnce(&T) -> bool,
) {
    if let Some(rows) = places.get_mut(&place) {
        take(rows);
        if is_empty(rows) {
            places.remove(&place);
        }
    }
}
