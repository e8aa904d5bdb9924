//! [`Claims`]: which rows there are by the values that constraints look at; [`settle`]: which of them are seen.
//!
//! Constraints that each server kept by itself need not hold of what they wrote apart. They hold of what is seen: of the rows with one
//! value of a unique constraint only the one that had it first is seen; a row that refers to another is seen only while that is; and a
//! row that was deleted where a foreign key forbids it stays as long as a row refers to it. Invariant: what is seen is a function of the
//! merged rows alone, so that servers that hold the same writes show the same, and nothing is written to bring it about.
//!
//! The rules stand one above the other, and none asks one that is above it: which rows are *kept* (the least solution: rows that are gone do
//! not keep each other), which of two that claim the same is hidden, and what refers to what is not seen (the greatest solution: rows
//! that refer to each other are seen together).

use std::collections::{BTreeMap, BTreeSet};

use deltaic_crdt::Stamp;
use deltaic_types::{Row, Value};

use super::{
    name::{RowKey, TableTag},
    shape::{Merged, Shape},
};

/// The values of one list of columns, or of one foreign key, of a table.
type Place = (TableTag, usize, Row);

/// What a row claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claimed {
    /// Whether it is there, and not only kept if somebody refers to it.
    is_there: bool,
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

/// The rows of tables with constraints over rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    of: BTreeMap<RowKey, Claimed>,
    lists: BTreeMap<Place, BTreeMap<RowKey, Stamp>>,
    referring: BTreeMap<Place, BTreeSet<RowKey>>,
    hidden: BTreeMap<RowKey, Hidden>,
    /// Rows that are gone and stay for those that refer to them.
    kept: BTreeSet<RowKey>,
}

impl Claimed {
    /// Of a row; none if it is not there and cannot be kept.
    pub(crate) fn of(shape: &Shape, key: &RowKey, row: &Merged) -> Option<Self> {
        if !row.is_there() && !shape.is_kept {
            return None;
        }
        let began = row.generation()?;
        let values = shape.values_without_texts(key, row)?;
        let known = |columns: &[usize]| {
            let values = values.project(columns);
            (!values.iter().any(Value::is_null)).then_some(values)
        };
        let since = |columns: &[usize]| {
            let is_of = |place: &usize| columns.contains(place);
            let slots = shape.slots.iter().filter(|slot| slot.columns.iter().any(is_of));
            let written =
                slots.filter_map(|slot| slot.winner(row.cell(slot.number)?)).map(|(stamp, _)| stamp);
            written.chain([began]).max()
        };
        let lists = shape.lists.iter().enumerate();
        let references = shape.references.iter().enumerate();
        Some(Self {
            is_there: row.is_there(),
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

/// Which rows may be seen or not seen now where it was otherwise: those whose claims changed, those that claim the same, those that
/// refer to one of them, and those that one of them refers to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settled {
    /// Of rows that are there, or kept: why they are hidden.
    pub(crate) rows: BTreeMap<RowKey, Option<Hidden>>,
    /// Of rows that are gone: whether they are kept.
    pub(crate) kept: BTreeMap<RowKey, bool>,
}

/// The claims with changes above them.
struct View<'a> {
    shapes: &'a BTreeMap<TableTag, Shape>,
    base: &'a Claims,
    changed: &'a Changed,
    kept: BTreeMap<RowKey, bool>,
}

impl<'a> View<'a> {
    fn claimed(&self, key: &RowKey) -> Option<&'a Claimed> {
        match self.changed.get(key) {
            Some(claimed) => claimed.as_ref(),
            None => self.base.of.get(key),
        }
    }

    /// Whether a row takes part: it is there, or kept.
    fn counts(&self, key: &RowKey) -> bool {
        self.claimed(key).is_some_and(|claimed| claimed.is_there) || self.is_kept(key)
    }

    fn is_kept(&self, key: &RowKey) -> bool {
        self.kept.get(key).copied().unwrap_or_else(|| {
            self.base.kept.contains(key) && self.claimed(key).is_some_and(|claimed| !claimed.is_there)
        })
    }

    /// The rows that have values of a list, whether they count or not.
    fn having(&self, place: &Place) -> BTreeMap<&'a RowKey, Stamp> {
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

    /// The rows that refer to values by a foreign key, whether they count or not.
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

    /// The rows that refer to one with these values of a list, by foreign keys that keep it or by any.
    fn children(&self, (table, list, values): &Place, keeping: bool) -> Vec<&'a RowKey> {
        let mut children = Vec::new();
        for shape in self.shapes.values() {
            for (place, reference) in shape.references.iter().enumerate() {
                if (reference.parent, reference.list) == (*table, *list) && (reference.keeps || !keeping) {
                    children.extend(self.referring(&(shape.tag, place, values.clone())));
                }
            }
        }
        children
    }

    /// The rows that are gone and that a row's foreign keys would keep.
    fn gone_parents(&self, key: &RowKey, claimed: &Claimed) -> Vec<&'a RowKey> {
        let references = &self.shapes[&key.table].references;
        let keeping = claimed.references.iter().filter(|(place, _)| references[*place].keeps);
        let parents = keeping.flat_map(|(place, values)| {
            let reference = &references[*place];
            self.having(&(reference.parent, reference.list, values.clone())).into_keys()
        });
        let is_gone = |key: &&RowKey| self.claimed(key).is_some_and(|claimed| !claimed.is_there);
        parents.filter(is_gone).collect()
    }

    /// Finds out which rows that are gone stay: those above what changed, as far as it goes.
    fn keep(&mut self) {
        let mut open: BTreeSet<&'a RowKey> = BTreeSet::new();
        let mut next: Vec<&'a RowKey> = Vec::new();
        for (key, is) in self.changed {
            let was = self.base.of.get(key);
            if is.as_ref().is_some_and(|claimed| !claimed.is_there) {
                next.push(key);
            }
            for claimed in was.into_iter().chain(is.as_ref()) {
                next.extend(self.gone_parents(key, claimed));
            }
        }
        while let Some(key) = next.pop() {
            if open.insert(key)
                && let Some(claimed) = self.claimed(key)
            {
                next.extend(self.gone_parents(key, claimed));
            }
        }
        self.kept = open.iter().map(|key| ((*key).clone(), false)).collect();
        loop {
            let keeps = |key: &&&RowKey| {
                let lists = self.claimed(key).into_iter().flat_map(|claimed| &claimed.lists);
                let mut children = lists
                    .flat_map(|(list, values, _)| self.children(&(key.table, *list, values.clone()), true));
                children.any(|child| child != **key && self.counts(child))
            };
            let kept: Vec<&RowKey> =
                open.iter().filter(|key| !self.kept[**key]).filter(keeps).copied().collect();
            if kept.is_empty() {
                return;
            }
            for key in kept {
                self.kept.insert(key.clone(), true);
            }
        }
    }

    /// Why a row is hidden by those that claim the same.
    fn rival(&self, key: &RowKey, claimed: &Claimed) -> Option<Hidden> {
        let shape = &self.shapes[&key.table];
        let unique = claimed.lists.iter().filter(|(list, ..)| shape.lists[*list].is_unique);
        unique.clone().find_map(|(list, values, losing)| {
            let all = self.having(&(key.table, *list, values.clone()));
            let counting = all.into_iter().filter(|(key, _)| self.counts(key));
            let first = counting.min_by_key(|(key, stamp)| (*stamp, (*key).clone()));
            let (winner, winning) = first.filter(|(winner, _)| *winner != key)?;
            let constraint = shape.lists[*list].name.clone();
            Some(Hidden::Unique { constraint, losing: *losing, winner: winner.clone(), winning })
        })
    }

    /// Which foreign key of a row refers to nothing that is seen.
    fn orphan(&self, key: &RowKey, is_seen: &dyn Fn(&RowKey) -> bool) -> Option<Hidden> {
        self.claimed(key)?.references.iter().find_map(|(place, values)| {
            let reference = &self.shapes[&key.table].references[*place];
            let parents = self.having(&(reference.parent, reference.list, values.clone()));
            let mut counting = parents.into_keys().filter(|parent| self.counts(parent));
            let (constraint, values) = (reference.name.clone(), values.clone());
            (!counting.any(is_seen)).then_some(Hidden::Reference { constraint, values })
        })
    }
}

/// Finds out which rows are seen after changes. Cost: the rows that share values with those that changed, and those that refer to
/// them.
pub(crate) fn settle(shapes: &BTreeMap<TableTag, Shape>, base: &Claims, changed: &Changed) -> Settled {
    let mut view = View { shapes, base, changed, kept: BTreeMap::new() };
    view.keep();
    // A row that is gone may have been deleted once more, where it is kept and seen: then it claims what it did.
    let is_moved = |(key, is): &(&RowKey, &Option<Claimed>)| {
        base.of.get(*key) != is.as_ref() || is.as_ref().is_some_and(|claimed| !claimed.is_there)
    };
    let moved = changed.iter().filter(is_moved).map(|(key, _)| key);
    let turned = view.kept.iter().filter(|(key, is)| base.kept.contains(*key) != **is).map(|(key, _)| key);
    let mut next: Vec<&RowKey> = Vec::new();
    for key in moved.chain(turned) {
        next.push(key);
        for claimed in base.of.get(key).into_iter().chain(view.claimed(key)) {
            for (list, values, _) in &claimed.lists {
                let place = (key.table, *list, values.clone());
                next.extend(view.having(&place).into_keys());
                // Also those of a row that claims it no more.
                next.extend(view.children(&place, false));
            }
        }
    }
    let mut reached: BTreeSet<&RowKey> = BTreeSet::new();
    while let Some(key) = next.pop() {
        if !reached.insert(key) {
            continue;
        }
        for (list, values, _) in view.claimed(key).into_iter().flat_map(|claimed| &claimed.lists) {
            next.extend(view.children(&(key.table, *list, values.clone()), false));
        }
    }

    let mut rows: BTreeMap<RowKey, Option<Hidden>> = BTreeMap::new();
    let mut standing: BTreeSet<&RowKey> = BTreeSet::new();
    for key in reached.into_iter().filter(|key| view.counts(key)) {
        let Some(claimed) = view.claimed(key) else { continue };
        let rival = view.rival(key, claimed);
        if rival.is_none() {
            standing.insert(key);
        }
        rows.insert(key.clone(), rival);
    }
    // All that no rule hides is seen, until nothing that is seen refers to what is not.
    loop {
        let is_seen = |parent: &RowKey| {
            if rows.contains_key(parent) {
                standing.contains(parent)
            } else {
                !base.hidden.contains_key(parent)
            }
        };
        let orphan = |key: &&RowKey| Some(((*key).clone(), view.orphan(key, &is_seen)?));
        let orphans: Vec<(RowKey, Hidden)> = standing.iter().filter_map(orphan).collect();
        if orphans.is_empty() {
            return Settled { rows, kept: view.kept };
        }
        for (key, hidden) in orphans {
            standing.remove(&key);
            rows.insert(key, Some(hidden));
        }
    }
}

impl Claims {
    /// Whether a row that is there is not seen, and why.
    pub(crate) fn hidden(&self, key: &RowKey) -> Option<&Hidden> {
        self.hidden.get(key)
    }

    /// Whether a row that is gone stays, for those that refer to it.
    pub(crate) fn is_kept(&self, key: &RowKey) -> bool {
        self.kept.contains(key)
    }

    /// Whether some row refers to one that is gone by a foreign key that would keep it, or would if it came back.
    pub(crate) fn is_referred_to(&self, shapes: &BTreeMap<TableTag, Shape>, key: &RowKey) -> bool {
        let changed = Changed::new();
        let view = View { shapes, base: self, changed: &changed, kept: BTreeMap::new() };
        let lists = self.of.get(key).into_iter().flat_map(|claimed| &claimed.lists);
        let mut children =
            lists.flat_map(|(list, values, _)| view.children(&(key.table, *list, values.clone()), true));
        children.any(|child| child != key)
    }

    /// Takes in changes and what they came to.
    pub(crate) fn install(&mut self, changed: &Changed, settled: &Settled) {
        for (key, claimed) in changed {
            if self.of.get(key) == claimed.as_ref() {
                continue;
            }
            if let Some(was) = self.of.remove(key) {
                for (list, values, _) in was.lists {
                    let place = (key.table, list, values);
                    remove(&mut self.lists, &place, |rows| rows.remove(key).is_some(), BTreeMap::is_empty);
                }
                for (reference, values) in was.references {
                    let place = (key.table, reference, values);
                    remove(&mut self.referring, &place, |rows| rows.remove(key), BTreeSet::is_empty);
                }
                self.hidden.remove(key);
                self.kept.remove(key);
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
        for (key, is_kept) in &settled.kept {
            if *is_kept {
                self.kept.insert(key.clone());
            } else {
                self.kept.remove(key);
                self.hidden.remove(key);
            }
        }
        for (key, hidden) in &settled.rows {
            match hidden {
                Some(hidden) => drop(self.hidden.insert(key.clone(), hidden.clone())),
                None => drop(self.hidden.remove(key)),
            }
        }
    }
}

fn remove<T>(
    places: &mut BTreeMap<Place, T>,
    place: &Place,
    take: impl FnOnce(&mut T) -> bool,
    is_empty: impl FnOnce(&T) -> bool,
) {
    if let Some(rows) = places.get_mut(place) {
        take(rows);
        if is_empty(rows) {
            places.remove(place);
        }
    }
}
